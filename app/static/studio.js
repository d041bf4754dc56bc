// The first tab: a recording, words, one button, and the result.
import { t } from "./languages.js";
import { Chips } from "./chips.js";
import { Mixer } from "./mixer.js";
import { Source } from "./source.js";
import { clock, el, Element, errorBox, facts, get, icon, isOver, post, Progress, progressText, send, unique, watch } from "./base.js";

const memory = "separate-last";
const quick = ["vocals", "drums", "bass", "guitar", "piano"];

class Studio extends Element {
  fill(root) {
    this.source = new Source({ onUpload: (upload) => this.onUpload(upload) });
    this.chips = new Chips({ label: t("What do you want to hear?"), placeholder: t("Type “drums” and press Enter"),
      hint: t("Any English words. Several give several files."), onChange: () => this.refresh() });
    this.chips.input.addEventListener("input", () => this.refresh());
    this.error = errorBox();
    this.progress = new Progress(t("Separation"), () => this.cancel());
    this.results = el("div", { class: "results" });
    this.goHint = el("span", { class: "hint" });
    this.go = el("button", { type: "submit", class: "main big", text: t("Separate") });
    this.form = el("form", { class: "card", onsubmit: (event) => { event.preventDefault(); this.start(); } },
      this.source.node, this.chips.node, this.quickWords(), this.finder(), this.choices(),
      el("div", { class: "go" }, this.go, this.goHint), this.error.node, this.progress.node);
    root.append(this.form, this.results);
    this.refresh();
    this.restore();
  }
  quickWords() {
    this.quick = quick.map((word) => el("button", { type: "button", class: "pill", "aria-pressed": "false",
      onclick: () => (this.chips.has(word) ? this.chips.remove(word) : this.chips.add(word)), text: word }));
    return el("div", { class: "pills", role: "group", "aria-label": t("Often wanted") }, ...this.quick);
  }
  finder() {
    this.find = el("button", { type: "button", class: "quiet", onclick: () => this.findSources() }, icon("search"), t("Find sources in this recording"));
    this.findProgress = new Progress(t("Search"), () => this.finding && post(`jobs/${this.finding}/cancel`).catch(() => {}));
    this.found = el("ul", { class: "found", "aria-label": t("Found in this recording") });
    this.found.hidden = true;
    this.finderNode = el("div", { class: "finder" }, this.find, this.findProgress.node, this.found);
    return this.finderNode;
  }
  choices() {
    this.exclude = new Chips({ label: t("But not"), placeholder: t("for example “backing vocals”"), hint: t("What is left out of every result.") });
    const strength = unique("strength");
    this.strength = el("input", { type: "range", id: strength, min: "-2", max: "2", step: "0.25", value: "0",
      oninput: () => this.strengthText() });
    this.strengthValue = el("output", { for: strength });
    this.share = el("input", { type: "checkbox", id: unique("share") });
    this.format = el("select", { id: unique("format") }, ...facts.formats.map((name) => el("option", { value: name, text: name })));
    this.likeInput = el("input", { type: "file", class: "hidden-input", tabindex: "-1", "aria-label": t("Example sound"),
      onchange: () => { const [file] = this.likeInput.files; this.likeInput.value = ""; file && this.addExample(file); } });
    this.likeButton = el("button", { type: "button", onclick: () => this.likeInput.click() }, icon("file"), t("Give an example sound"));
    this.likeText = el("span", { class: "hint", text: t("A recording of what you want to hear, instead of words or with one.") });
    this.strengthText();
    return el("details", { class: "choices" }, el("summary", { text: t("More choices") }),
      this.exclude.node,
      el("div", { class: "field" }, el("span", { class: "label", text: t("Example sound") }), el("div", { class: "buttons" }, this.likeButton, this.likeText), this.likeInput),
      el("div", { class: "field two" },
        el("div", {}, el("label", { for: strength, text: t("Strength") }), this.strength, this.strengthValue),
        el("div", {}, el("label", { for: this.format.id, text: t("File format") }), this.format)),
      el("label", { class: "check" }, this.share, el("span", { text: t("The parts share out the recording, so that together they sum to it") })));
  }
  strengthText() {
    const value = 2 ** Number(this.strength.value);
    const words = value > 1.3 ? t("cleaner, with more holes") : value < 0.77 ? t("softer, with more of the rest") : t("balanced");
    this.strengthValue.textContent = words;
    this.strength.setAttribute("aria-valuetext", words);
  }
  async addExample(file) {
    if (this.like) {
      this.like = null;
    }
    this.error.show("");
    this.likeText.textContent = t("Uploading {name} …", { name: file.name });
    try {
      this.like = await send(file, file.name);
      const drop = el("button", { type: "button", class: "quiet", text: t("Remove"), onclick: () => { this.like = null; this.likeText.replaceChildren(t("Removed.")); this.refresh(); } });
      this.likeText.replaceChildren(`${this.like.name}, ${clock(this.like.seconds)} `, drop);
    } catch (error) {
      this.likeText.textContent = error.message;
    }
    this.refresh();
  }
  onUpload(upload) {
    this.found.hidden = true;
    if (upload) this.chips.input.focus();
    this.refresh();
  }
  refresh() {
    if (!this.go) return;
    const upload = this.source.upload;
    const asks = this.chips.words.length > 0 || this.chips.input.value.trim() !== "" || Boolean(this.like);
    this.go.disabled = !upload || !asks || Boolean(this.running);
    this.finderNode.hidden = !upload;
    const hint = this.running ? "" : !upload ? t("First choose a recording.") : !asks ? t("Then say what you want to hear.") : "";
    this.goHint.textContent = hint;
    for (const pill of this.quick) pill.setAttribute("aria-pressed", String(this.chips.has(pill.textContent)));
  }
  settings() {
    const settings = { format: this.format.value, share: this.share.checked };
    if (Number(this.strength.value)) settings.strength = 2 ** Number(this.strength.value);
    return settings;
  }
  async start() {
    this.chips.take();
    this.exclude.take();
    this.error.show("");
    const asked = { kind: "separate", upload: this.source.upload.upload, queries: this.chips.value, exclude: this.exclude.value,
      like: this.like ? [this.like.upload] : [], settings: this.settings() };
    try {
      this.follow(await post("jobs", asked));
    } catch (error) {
      this.error.show(error.message);
    }
    this.refresh();
  }
  follow(state) {
    this.running = state.id;
    sessionStorage.setItem(memory, state.id);
    this.progress.show(null, progressText(state));
    watch(state.id, (next) => this.onState(next));
    this.refresh();
  }
  onState(state) {
    if (!isOver(state)) {
      if (!this.stopping) this.progress.show(state.state === "waiting" ? null : state.part, progressText(state));
      return;
    }
    this.running = null;
    this.stopping = false;
    this.progress.hide();
    if (state.state === "done") this.show(state);
    else if (state.state === "failed") this.error.show(state.message);
    else this.error.show(t("Stopped."));
    this.refresh();
  }
  async cancel() {
    this.stopping = true;
    this.progress.show(null, t("Stopping"));
    await post(`jobs/${this.running}/cancel`).catch((error) => this.error.show(error.message));
  }
  show(state) {
    this.mixer?.close();
    this.mixer = new Mixer(state);
    const words = [...state.asked.queries, ...state.asked.like.map((name) => t("like {name}", { name }))].join(", ");
    const title = el("h2", { tabindex: "-1", dir: "auto", text: `${state.title}: ${words}` });
    this.results.replaceChildren(el("div", { class: "card" }, title, this.mixer.node));
    this.mixer.draw();
    title.focus({ preventScroll: true });
    this.results.scrollIntoView({ behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth", block: "nearest" });
  }
  async restore() { // after a reload: what this tab was doing
    const id = sessionStorage.getItem(memory);
    if (!id) return;
    const state = await get(`jobs/${id}`).catch(() => null);
    if (!state || this.running) return;
    if (state.state === "done") this.show(state);
    else if (!isOver(state)) this.follow(state);
  }
  async findSources() {
    this.find.disabled = true;
    this.found.hidden = true;
    this.error.show("");
    try {
      const state = await post("jobs", { kind: "find", upload: this.source.upload.upload });
      this.finding = state.id;
      this.findProgress.show(null, progressText(state));
      watch(state.id, (next) => this.onFound(next));
    } catch (error) {
      this.error.show(error.message);
      this.find.disabled = false;
    }
  }
  onFound(state) {
    if (!isOver(state)) {
      this.findProgress.show(state.state === "waiting" ? null : state.part, progressText(state));
      return;
    }
    this.findProgress.hide();
    this.find.disabled = false;
    this.finding = null;
    if (state.state === "failed") this.error.show(state.message);
    if (state.state !== "done") return;
    const found = state.result.found;
    const lines = found.map((source) => el("li", {}, el("button", { type: "button", class: "found-one", onclick: () => this.chips.add(source.name) },
      el("span", { class: "found-name", text: source.name }),
      el("span", { class: "meter", "aria-hidden": "true" }, el("span", { style: `width:${Math.round(source.likelihood * 100)}%` })),
      el("span", { class: "found-part", text: `${Math.round(source.likelihood * 100)} %` }),
      el("span", { class: "hint", text: spans(source.spans) }))));
    this.found.replaceChildren(...(lines.length ? lines : [el("li", { class: "hint", text: t("Nothing that we know was found.") })]));
    this.found.hidden = false;
  }
}

function spans(list) {
  const shown = list.slice(0, 3).map(([from, to]) => `${clock(from)}–${clock(to)}`).join(", ");
  return list.length > 3 ? t("{list} and {count} more", { list: shown, count: list.length - 3 }) : shown;
}

customElements.define("separate-studio", Studio);
