// Several files with the same words: a queue with a progress bar each, and a zip of all.
import { t } from "./languages.js";
import { Chips } from "./chips.js";
import { at, clock, el, Element, errorBox, facts, icon, isOver, post, progressText, send, unique, watch } from "./base.js";

class Batch extends Element {
  fill(root) {
    this.files = [];
    this.error = errorBox();
    this.input = el("input", { type: "file", multiple: true, class: "hidden-input", tabindex: "-1", "aria-label": t("Sound or video files"),
      onchange: () => { this.add([...this.input.files]); this.input.value = ""; } });
    const choose = el("button", { type: "button", onclick: () => this.input.click() }, icon("file"), t("Choose files"));
    const drop = el("div", { class: "drop", role: "group", "aria-label": t("Recordings"),
      ondragover: (event) => { event.preventDefault(); drop.classList.add("over"); },
      ondragleave: () => drop.classList.remove("over"),
      ondrop: (event) => { event.preventDefault(); drop.classList.remove("over"); this.add([...event.dataTransfer.files]); } },
      el("div", { class: "drop-empty" }, el("p", { class: "drop-title", text: t("Drop several recordings here") }),
        el("p", { class: "hint", text: t("Each up to {minutes} minutes and {size} MB.", { minutes: facts.maxMinutes, size: Math.round(facts.maxBytes / 1e6) }) }),
        el("div", { class: "buttons" }, choose)), this.input);
    this.chips = new Chips({ label: t("What do you want to hear?"), placeholder: t("Type “vocals” and press Enter"), hint: t("The same for all files."), onChange: () => this.refresh() });
    this.chips.input.addEventListener("input", () => this.refresh());
    this.format = el("select", { id: unique("format") }, ...facts.formats.map((name) => el("option", { value: name, text: name })));
    this.go = el("button", { type: "submit", class: "main big", text: t("Separate all") });
    this.stop = el("button", { type: "button", class: "quiet", onclick: () => this.cancelAll(), text: t("Cancel all") });
    this.stop.hidden = true;
    this.zip = el("a", { class: "button main", href: "#", download: "" }, icon("download"), t("Download all (zip)"));
    this.zip.hidden = true;
    this.list = el("ul", { class: "queue", "aria-label": t("Files") });
    root.append(el("form", { class: "card", onsubmit: (event) => { event.preventDefault(); this.start(); } }, drop, this.chips.node,
      el("div", { class: "field" }, el("label", { for: this.format.id, text: t("File format") }), this.format),
      this.list, el("div", { class: "go" }, this.go, this.stop, this.zip), this.error.node));
    this.refresh();
  }
  add(files) {
    for (const file of files) {
      const item = { file, state: "new" };
      item.text = el("span", { class: "hint", role: "status", text: `${(file.size / 1e6).toFixed(1)} MB` });
      item.bar = el("div", { class: "bar-done" });
      item.remove = el("button", { type: "button", class: "quiet icon-only", "aria-label": t("Remove {name}", { name: file.name }), onclick: () => this.remove(item) }, icon("close"));
      item.node = el("li", {}, el("div", { class: "queue-line" }, el("strong", { dir: "auto", text: file.name }), item.text, item.remove),
        el("div", { class: "bar", role: "progressbar", "aria-label": file.name, "aria-valuemin": "0", "aria-valuemax": "100" }, item.bar));
      this.files.push(item);
      this.list.append(item.node);
    }
    this.refresh();
  }
  remove(item) {
    if (item.job) post(`jobs/${item.job}/cancel`).catch(() => {});
    item.gone = true;
    item.abort?.abort();
    this.files = this.files.filter((other) => other !== item);
    item.node.remove();
    this.refresh();
  }
  tell(item, state, text, part) {
    item.state = state;
    item.text.textContent = text;
    item.node.classList.toggle("failed", state === "failed");
    item.bar.style.width = `${Math.round(part * 100)}%`;
    item.bar.parentNode.setAttribute("aria-valuenow", String(Math.round(part * 100)));
    this.refresh();
  }
  refresh() {
    if (!this.zip) return;
    const busy = this.files.some((item) => ["sending", "running"].includes(item.state));
    const open = this.files.some((item) => ["new", "failed"].includes(item.state));
    const asks = this.chips.words.length > 0 || this.chips.input.value.trim() !== "";
    this.go.disabled = busy || !open || !asks;
    this.stop.hidden = !busy;
    const done = this.files.filter((item) => item.state === "done");
    this.zip.hidden = busy || !done.length;
    this.zip.setAttribute("href", at(`results/zip?jobs=${done.map((item) => item.job).join(",")}`));
  }
  async start() {
    this.chips.take();
    this.error.show("");
    const asked = { kind: "separate", queries: this.chips.value, settings: { format: this.format.value } };
    const waiting = this.files.filter((item) => ["new", "failed"].includes(item.state));
    waiting.forEach((item) => this.tell(item, "sending", t("Waiting to upload"), 0));
    for (const item of waiting) await this.one(item, asked);
  }
  async one(item, asked) {
    if (item.gone || item.state !== "sending") return;
    try {
      item.abort = new AbortController();
      const upload = await send(item.file, item.file.name, (part) => this.tell(item, "sending", t("Uploading: {percent} %", { percent: Math.round(part * 100) }), 0), item.abort.signal);
      if (item.gone || item.state !== "sending") return;
      const state = await post("jobs", { ...asked, upload: upload.upload });
      item.job = state.id;
      this.onState(item, state);
      watch(state.id, (next) => this.onState(item, next));
    } catch (error) {
      this.tell(item, "failed", error.name === "AbortError" ? t("Stopped") : error.message, 0);
    }
  }
  onState(item, state) {
    if (!isOver(state)) this.tell(item, "running", progressText(state), state.part);
    else if (state.state === "done") this.tell(item, "done", t("Done: {time}, {count} files", { time: clock(state.result.duration), count: state.result.stems.length }), 1);
    else this.tell(item, "failed", state.state === "failed" ? state.message : t("Stopped"), 0);
  }
  cancelAll() {
    for (const item of this.files) {
      if (item.state === "sending") {
        item.abort?.abort();
        this.tell(item, "failed", t("Stopped"), 0);
      } else if (item.state === "running") post(`jobs/${item.job}/cancel`).catch(() => {});
    }
  }
}

customElements.define("separate-batch", Batch);
