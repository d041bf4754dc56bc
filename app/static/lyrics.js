// The second tab: what is sung, with the current line and word lit while the song plays.
import { Engine } from "./engine.js";
import { drawOutline } from "./mixer.js";
import { Source } from "./source.js";
import { languageName, t } from "./languages.js";
import { at, clock, el, Element, errorBox, follow, get, icon, isOver, post, Progress, progressText, unique, watch } from "./base.js";

const formats = ["lrc", "srt", "ass", "txt"];
const spoken = ["en", "de", "es", "fr", "it", "pt", "nl", "pl", "sv", "tr", "ja", "ko", "zh"];

class LyricsTab extends Element {
  fill(root) {
    this.source = new Source({ onUpload: () => this.refresh(), title: t("Drop a song here"), example: false });
    this.error = errorBox();
    this.progress = new Progress(t("Transcription"), () => this.running && post(`jobs/${this.running}/cancel`).catch(() => {}));
    this.language = el("select", { id: unique("language") }, el("option", { value: "", text: t("Find out") }),
      ...spoken.map((value) => el("option", { value, text: languageName(value) })));
    this.go = el("button", { type: "submit", class: "main big", text: t("Write down the lyrics") });
    this.missing = el("p", { class: "notice", role: "status" });
    this.missing.hidden = true;
    this.results = el("div", { class: "results" });
    root.append(el("form", { class: "card", onsubmit: (event) => { event.preventDefault(); this.start(); } }, this.missing, this.source.node,
      el("div", { class: "field" }, el("label", { for: this.language.id, text: t("Language") }), this.language),
      el("div", { class: "go" }, this.go), this.error.node, this.progress.node), this.results);
    this.refresh();
    this.check();
  }
  async check() {
    const { missing } = await get("lyrics").catch(() => ({ missing: "" }));
    const [words, command] = missing.split(": ");
    this.missing.replaceChildren(words, ...(command ? [": ", el("code", { text: command })] : []));
    this.missing.hidden = !missing;
  }
  refresh() {
    if (this.go) this.go.disabled = !this.source.upload || Boolean(this.running);
  }
  async start() {
    this.error.show("");
    try {
      const state = await post("jobs", { kind: "lyrics", upload: this.source.upload.upload, language: this.language.value });
      this.running = state.id;
      this.progress.show(null, progressText(state));
      watch(state.id, (next) => this.onState(next));
    } catch (error) {
      this.error.show(error.message);
    }
    this.refresh();
  }
  onState(state) {
    if (!isOver(state)) {
      this.progress.show(state.state === "waiting" ? null : state.part, progressText(state));
      return;
    }
    this.running = null;
    this.progress.hide();
    this.refresh();
    if (state.state !== "done") {
      this.error.show(state.state === "failed" ? state.message : t("Stopped."));
      return;
    }
    this.karaoke?.close();
    this.karaoke = new Karaoke(state);
    this.results.replaceChildren(el("div", { class: "card" }, el("h2", { dir: "auto", text: state.title }), this.karaoke.node));
    this.karaoke.update();
  }
}

class Karaoke {
  constructor(state) {
    this.state = state;
    const { lyrics, mixture, note } = state.result;
    this.mixture = mixture;
    this.engine = new Engine([{ ...mixture, url: at(`results/${state.id}/play/mixture`) }], () => this.update());
    this.play = el("button", { type: "button", class: "round main", onclick: () => (this.engine.playing ? this.engine.pause() : this.engine.play()) }, icon("play"), icon("pause"));
    this.now = el("span", { class: "time", text: "0:00" });
    this.canvas = el("canvas", { class: "outline", "aria-hidden": "true",
      onpointerdown: (event) => this.engine.seek((event.offsetX / this.canvas.clientWidth) * this.engine.seconds) });
    this.lines = lyrics.lines.map((line, index) => this.line(line, index));
    this.list = el("ol", { class: "karaoke", "aria-label": t("Lyrics") }, ...this.lines.map((line) => line.node));
    this.edit = el("button", { type: "button", "aria-pressed": "false", onclick: () => this.toggleEdit(), text: t("Edit the lines") });
    this.error = errorBox();
    const saves = formats.map((format) => el("button", { type: "button", onclick: () => this.save(format) }, icon("download"), format));
    this.node = el("section", { class: "result", "aria-label": t("Lyrics of the song") },
      el("div", { class: "transport" }, this.play, this.now, this.canvas, el("span", { class: "time", text: clock(state.result.duration) })),
      note ? el("p", { class: "notice", text: note }) : null, this.list,
      el("div", { class: "buttons foot" }, this.edit, ...saves), this.error.node);
  }
  line(line, index) {
    const words = line.words.length ? line.words.map((word) => el("span", { class: "word", text: word.text })) : [el("span", { class: "word", text: line.text })];
    const button = el("button", { type: "button", class: "karaoke-line", "aria-label": `${clock(line.start)}: ${line.text}`,
      onclick: () => { this.engine.seek(line.start); if (!this.engine.playing) this.engine.play(); } });
    words.forEach((word, position) => button.append(...(position ? [" ", word] : [word])));
    const input = el("input", { type: "text", value: line.text, maxlength: "500", "aria-label": t("Line {number}, {time}", { number: index + 1, time: clock(line.start) }) });
    input.hidden = true;
    return { ...line, button, input, spans: words, node: el("li", {}, el("span", { class: "time", text: clock(line.start) }), button, input) };
  }
  toggleEdit() {
    this.editing = !this.editing;
    this.edit.setAttribute("aria-pressed", String(this.editing));
    this.edit.textContent = this.editing ? t("Done editing") : t("Edit the lines");
    for (const line of this.lines) {
      line.button.hidden = this.editing;
      line.input.hidden = !this.editing;
      const text = line.input.value.trim();
      if (!this.editing && text !== line.text) this.change(line, text);
    }
    if (this.editing) this.lines[0]?.input.focus();
  }
  change(line, text) {
    const parts = text.split(/\s+/);
    const same = parts.length === line.spans.length && line.words.length;
    line.text = text;
    line.button.setAttribute("aria-label", `${clock(line.start)}: ${text}`);
    if (same) line.spans.forEach((span, index) => { span.textContent = parts[index]; });
    else {
      line.words = [];
      line.spans = [el("span", { class: "word", text })];
      line.button.replaceChildren(...line.spans);
    }
  }
  async save(format) {
    this.error.show("");
    const body = JSON.stringify({ lines: this.lines.map((line) => line.input.value) });
    const response = await fetch(at(`results/${this.state.id}/lyrics/${format}`), { method: "POST", headers: { "content-type": "application/json" }, body }).catch(() => null);
    if (!response?.ok) {
      this.error.show(t("These lyrics are no longer on the server. Write them down again."));
      return;
    }
    const url = URL.createObjectURL(await response.blob());
    const name = `${this.state.result.track}.${format}`;
    el("a", { href: url, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10000);
  }
  update() {
    follow(this);
  }
  draw() {
    const place = this.engine.position;
    this.now.textContent = clock(place);
    drawOutline(this.canvas, this.mixture.outline, place / this.engine.seconds);
    const current = this.engine.playing || place > 0 ? this.lines.findLastIndex((line) => line.start <= place + 0.05) : -1;
    const gone = current >= 0 && place > this.lines[current].end + 2;
    this.lines.forEach((line, index) => {
      const lit = index === current && !gone;
      line.node.classList.toggle("past", index < current);
      if (lit) line.spans.forEach((span, word) => span.classList.toggle("sung", !line.words.length || line.words[word].start <= place + 0.05));
      if (lit === (line.node.getAttribute("aria-current") === "true")) return;
      line.node.toggleAttribute("aria-current", lit);
      if (!lit) line.spans.forEach((span) => span.classList.remove("sung"));
      if (!lit) return;
      line.node.setAttribute("aria-current", "true");
      const box = this.list;
      box.scrollTo({ top: line.node.offsetTop - box.clientHeight / 2 + line.node.clientHeight / 2, behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
    });
  }
  close() {
    this.engine.close();
  }
}

customElements.define("separate-lyrics", LyricsTab);
