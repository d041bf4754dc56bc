// What all elements share: facts of the server, making nodes, talking to the server, watching jobs.
// Text from outside is only ever set as text, never as markup.

import { t } from "./languages.js";

export const facts = JSON.parse(document.querySelector("meta[name=separate-facts]").content);
const root = facts.root;

export const at = (path) => `${root}/${path}`;

// The base of our elements: a shadow root with our style, filled once.
export class Element extends HTMLElement {
  connectedCallback() {
    if (this.shadowRoot) return;
    const style = document.createElement("link");
    style.rel = "stylesheet";
    style.href = new URL("elements.css", import.meta.url).href;
    this.attachShadow({ mode: "open" }).append(style);
    this.style.visibility = "hidden"; // until the style is there
    const show = () => { this.style.visibility = ""; };
    style.addEventListener("load", show);
    style.addEventListener("error", show);
    this.fill(this.shadowRoot);
  }
}

export function el(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (key === "class") node.className = value;
    else if (key === "text") node.textContent = value;
    else if (key in node && typeof value !== "string") node[key] = value;
    else node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

const shapes = {
  play: "M8 5.5v13l11-6.5z",
  pause: "M7 5h3.5v14H7zM13.5 5H17v14h-3.5z",
  download: "M12 4v10m0 0 4-4m-4 4-4-4M5 19h14",
  close: "M7 7l10 10M17 7 7 17",
  mic: "M12 4a2.5 2.5 0 0 1 2.5 2.5v5a2.5 2.5 0 0 1-5 0v-5A2.5 2.5 0 0 1 12 4zM6.5 11.5a5.5 5.5 0 0 0 11 0M12 17v3",
  file: "M12 16V5m0 0L8 9m4-4 4 4M5 15v4h14v-4",
  note: "M9 18V6l10-2v12M9 18a2.5 2.5 0 1 1-5 0 2.5 2.5 0 0 1 5 0zM19 16a2.5 2.5 0 1 1-5 0 2.5 2.5 0 0 1 5 0z",
  search: "M11 5a6 6 0 1 0 0 12 6 6 0 0 0 0-12zM20 20l-4.5-4.5",
};

export function icon(name) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("class", `icon icon-${name}`);
  const path = document.createElementNS(space, "path");
  path.setAttribute("d", shapes[name]);
  svg.append(path);
  return svg;
}

export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const minutes = Math.floor(whole / 60);
  const rest = String(whole % 60).padStart(2, "0");
  if (minutes < 60) return `${minutes}:${rest}`;
  return `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}:${rest}`;
}

export function duration(seconds) {
  if (seconds < 1.5) return t("1 second");
  if (seconds < 90) return t("{count} seconds", { count: Math.round(seconds) });
  return t("{count} minutes", { count: Math.round(seconds / 60) });
}

async function answer(response) {
  let content = null;
  try {
    content = await response.json();
  } catch {
    // Not from our routes; the status says enough.
  }
  if (!response.ok) throw new Error(content?.error?.message ?? t("The server answered {status}. Try again.", { status: response.status }));
  return content;
}

export async function get(path) {
  return answer(await reach(fetch(at(path))));
}

export async function post(path, content = {}) {
  const headers = { "content-type": "application/json" };
  return answer(await reach(fetch(at(path), { method: "POST", headers, body: JSON.stringify(content) })));
}

async function reach(promise) {
  try {
    return await promise;
  } catch {
    throw new Error(t("The server can't be reached. Check the connection and try again."));
  }
}

// Send a file; onPart is told the part that has gone. Returns what the server knows of it.
export function send(file, name, onPart = () => {}, signal = null) {
  if (file.size > facts.maxBytes) {
    const limit = Math.round(facts.maxBytes / 1e6);
    return Promise.reject(new Error(t("{name}: is larger than {limit} MB, the most that this server takes", { name, limit })));
  }
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", at(`upload?name=${encodeURIComponent(name)}`));
    request.upload.addEventListener("progress", (event) => event.total && onPart(event.loaded / event.total));
    request.addEventListener("load", () => {
      let content = {};
      try {
        content = JSON.parse(request.responseText);
      } catch {
        content = {};
      }
      if (request.status === 200) resolve(content);
      else reject(new Error(content.error?.message ?? t("The server answered {status}. Try again.", { status: request.status })));
    });
    request.addEventListener("error", () => reject(new Error(t("The upload broke off. Try again."))));
    request.addEventListener("abort", () => reject(new DOMException("stopped", "AbortError")));
    signal?.addEventListener("abort", () => request.abort());
    request.send(file);
  });
}

// Jobs: one question to the server, twice a second, for all jobs that anybody watches.
const watched = new Map();
let timer = null;

export function watch(id, onState) {
  watched.set(id, onState);
  timer ??= setTimeout(look, 150);
  return () => watched.delete(id);
}

async function look() {
  let states = [];
  try {
    states = await get("jobs");
  } catch {
    // The next look may succeed; what the job does goes on meanwhile.
  }
  for (const state of states) {
    const onState = watched.get(state.id);
    if (!onState) continue;
    if (isOver(state)) watched.delete(state.id);
    onState(state.state === "done" ? await get(`jobs/${state.id}`).catch(() => state) : state);
  }
  timer = watched.size ? setTimeout(look, 500) : null;
}

export const isOver = (state) => ["done", "failed", "cancelled"].includes(state.state);

export function progressText(state) {
  if (state.state === "waiting") {
    if (state.place === null || state.place === undefined) return t("Waiting");
    return state.place === 1 ? t("You are next in the queue") : t("You are number {place} in the queue", { place: state.place });
  }
  const steps = { starting: t("Starting"), separating: t("Separating"), drawing: t("Drawing"), listening: t("Listening"),
    transcribing: t("Writing down") };
  const percent = `${Math.round(state.part * 100)} %`;
  const step = steps[state.step] ?? t("Starting");
  if (state.seconds_left === null) return `${step}: ${percent}`;
  return t("{step}: {percent}, about {time} left", { step, percent, time: duration(state.seconds_left) });
}

// A bar with words and a way to stop.
export class Progress {
  constructor(label, onCancel) {
    this.bar = el("div", { class: "bar", role: "progressbar", "aria-label": label, "aria-valuemin": "0", "aria-valuemax": "100" },
      el("div", { class: "bar-done" }));
    this.text = el("span", { class: "progress-text", role: "status" });
    this.cancel = el("button", { type: "button", class: "quiet", onclick: onCancel, text: t("Cancel") });
    this.node = el("div", { class: "progress" }, el("div", { class: "progress-line" }, this.text, this.cancel), this.bar);
    this.node.hidden = true;
  }
  show(part, text) {
    this.node.hidden = false;
    this.bar.classList.toggle("unknown", part === null);
    this.bar.firstChild.style.width = part === null ? "" : `${Math.round(part * 100)}%`;
    if (part === null) this.bar.removeAttribute("aria-valuenow");
    else this.bar.setAttribute("aria-valuenow", String(Math.round(part * 100)));
    if (this.text.textContent !== text) this.text.textContent = text;
  }
  hide() {
    this.node.hidden = true;
  }
}

export function errorBox() {
  const node = el("p", { class: "error", role: "alert" });
  node.hidden = true;
  return {
    node,
    show(message) {
      node.textContent = message;
      node.hidden = !message;
    },
  };
}

let numbers = 0;
export const unique = (stem) => `${stem}-${++numbers}`;

// Keep a view (play, draw, node) in step with its engine: the button, and a drawing each frame.
export function follow(view) {
  const { playing } = view.engine;
  view.play.classList.toggle("on", playing);
  view.play.setAttribute("aria-label", playing ? t("Pause") : t("Play"));
  view.draw();
  if (playing && !view.drawing) tick(view);
}

function tick(view) {
  view.drawing = true;
  view.draw();
  if (view.engine.playing && view.node.isConnected) requestAnimationFrame(() => tick(view));
  else view.drawing = false;
}
