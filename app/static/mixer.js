// The result: every stem with its outline, volume, mute, solo and download, all on one transport.
import { t } from "./languages.js";
import { Engine } from "./engine.js";
import { at, clock, el, follow, icon, unique } from "./base.js";

const absent = 0.1; // as on the command line: below, the source was not found
const colours = 6;

export class Mixer {
  constructor(state) {
    const result = state.result;
    this.state = state;
    this.tracks = result.stems.map((stem, index) => this.track(stem, index, stem.name === result.residual));
    const url = (part) => at(`results/${state.id}/play/${part}`);
    this.engine = new Engine([...result.stems.map((stem, index) => ({ ...stem, url: url(index) })),
      { ...result.mixture, url: url("mixture") }], () => this.update());
    this.original = false;
    this.node = el("section", { class: "result", "aria-label": t("Result") }, this.head(), this.notes(result),
      el("ul", { class: "tracks" }, ...this.tracks.map((track) => track.node)), this.foot(), this.pictures(result));
    const rest = this.tracks.find((track) => track.isRest);
    if (rest && this.tracks.length > 1) this.toggle(rest, "muted"); // first you hear what you asked for
    this.mix();
    this.update();
  }
  head() {
    this.play = el("button", { type: "button", class: "round main", onclick: () => this.playAll() }, icon("play"), icon("pause"));
    this.now = el("span", { class: "time", text: "0:00" });
    this.seek = el("input", { type: "range", class: "seek", min: "0", max: "1000", value: "0", step: "1", "aria-label": t("Position"),
      oninput: () => this.engine.seek((this.seek.value / 1000) * this.engine.seconds) });
    const name = unique("listen");
    const choice = (text, original) => el("label", {}, el("input", { type: "radio", name, checked: !original,
      onchange: () => { this.original = original; this.mix(); } }), el("span", { text }));
    return el("div", { class: "transport" }, this.play, this.now, this.seek,
      el("span", { class: "time", text: clock(this.state.result.duration) }),
      el("div", { class: "switch", role: "radiogroup", "aria-label": t("What you hear") }, choice(t("Your mix"), false), choice(t("Original"), true)));
  }
  notes(result) {
    const lines = result.warnings.map((line) => line.split("; clip_mode")[0]).filter((line) => !line.includes("was not found"));
    return lines.length ? el("p", { class: "hint warning", text: lines.join(". ") }) : null;
  }
  track(stem, index, isRest) {
    const shown = isRest ? t("The rest") : stem.name;
    const track = { stem, index, isRest, volume: 1, muted: false, solo: false };
    track.play = el("button", { type: "button", class: "round", "aria-label": t("Play {name} alone", { name: shown }), onclick: () => this.playAlone(track) },
      icon("play"), icon("pause"));
    track.canvas = el("canvas", { class: "outline", "aria-hidden": "true",
      onpointerdown: (event) => this.engine.seek((event.offsetX / track.canvas.clientWidth) * this.engine.seconds) });
    const button = (key, letter, word, whole) => el("button", { type: "button", class: `flag ${key}`, "aria-pressed": "false",
      "aria-label": whole, title: word, onclick: () => this.toggle(track, key), text: letter });
    track.mute = button("muted", "M", t("Mute"), t("Mute {name}", { name: shown }));
    track.soloButton = button("solo", "S", t("Solo"), t("Solo {name}", { name: shown }));
    const volume = el("input", { type: "range", class: "volume", min: "0", max: "150", value: "100", "aria-label": t("Volume of {name}", { name: shown }), title: t("Volume"),
      oninput: () => { track.volume = volume.value / 100; volume.setAttribute("aria-valuetext", `${volume.value} %`); this.mix(); } });
    const file = stem.file.split("/").at(-1);
    const save = el("a", { class: "button icon-only", href: at(`results/${this.state.id}/stem/${index}`), download: file,
      "aria-label": t("Download {name} ({file})", { name: shown, file }), title: t("Download {name}", { name: file }) }, icon("download"));
    track.node = el("li", { class: `track colour-${isRest ? "rest" : index % colours}` }, track.play,
      el("div", { class: "track-name" }, el("strong", { dir: "auto", text: shown }), presence(stem)), track.canvas,
      el("div", { class: "track-tools" }, track.mute, track.soloButton, volume, save));
    return track;
  }
  foot() {
    const all = el("a", { class: "button", href: at(`results/zip?jobs=${this.state.id}`), download: "" }, icon("download"), t("Download all (zip)"));
    this.remix = el("a", { class: "button", href: "#", download: "" }, icon("download"), t("Download this mix"));
    return el("div", { class: "buttons foot" }, all, this.remix);
  }
  pictures(result) {
    const picture = (part, text) => el("figure", {}, el("img", { src: at(`results/${this.state.id}/picture/${part}`), loading: "lazy",
      width: "720", height: "160", alt: t("Spectrogram of {name}", { name: text }) }), el("figcaption", { text }));
    const rows = [picture("mixture", t("before: the recording")),
      ...result.stems.map((stem, index) => picture(index, t("after: {name}", { name: stem.name === result.residual ? t("the rest") : stem.name })))];
    return el("details", { class: "pictures" }, el("summary", { text: t("Spectrograms, before and after") }), ...rows);
  }
  gain(track) {
    const anySolo = this.tracks.some((other) => other.solo);
    return (anySolo ? track.solo : !track.muted) ? track.volume : 0;
  }
  mix() {
    const gains = this.tracks.map((track) => this.gain(track));
    gains.forEach((gain, index) => {
      this.engine.setGain(index, this.original ? 0 : gain);
      this.tracks[index].node.classList.toggle("silent", gain === 0);
    });
    this.engine.setGain(gains.length, this.original ? 1 : 0);
    const silent = gains.every((gain) => gain === 0);
    this.remix.setAttribute("href", at(`results/${this.state.id}/remix?gains=${gains.join(",")}`));
    this.remix.toggleAttribute("aria-disabled", silent);
    this.draw();
  }
  toggle(track, key) {
    track[key] = !track[key];
    (key === "solo" ? track.soloButton : track.mute).setAttribute("aria-pressed", String(track[key]));
    this.mix();
  }
  playAll() {
    if (this.engine.playing) this.engine.pause();
    else this.engine.play();
  }
  playAlone(track) {
    const isAlone = track.solo && this.tracks.every((other) => other === track || !other.solo) && !this.original;
    if (isAlone && this.engine.playing) {
      this.engine.pause();
      this.toggle(track, "solo");
      return;
    }
    this.tracks.filter((other) => other.solo !== (other === track)).forEach((other) => this.toggle(other, "solo"));
    this.original = false;
    this.node.querySelector(".switch input").checked = true;
    this.mix();
    if (!this.engine.playing) this.engine.play();
  }
  update() {
    if (!this.node) return;
    const { playing } = this.engine;
    for (const track of this.tracks) track.play.classList.toggle("on", playing && track.solo && !this.original);
    follow(this);
  }
  draw() {
    const place = this.engine.position;
    this.now.textContent = clock(place);
    if (this.seek.getRootNode().activeElement !== this.seek || this.engine.playing) this.seek.value = (place / this.engine.seconds) * 1000;
    this.seek.setAttribute("aria-valuetext", t("{now} of {all}", { now: clock(place), all: clock(this.engine.seconds) }));
    for (const track of this.tracks) drawOutline(track.canvas, track.stem.outline, place / this.engine.seconds);
  }
  close() {
    this.engine.close();
  }
}

function presence(stem) {
  if (stem.presence === null || stem.presence === undefined) return el("span", { class: "hint", text: t("all else") });
  const percent = Math.round(stem.presence * 100);
  if (stem.presence < absent) return el("span", { class: "badge", title: t("Presence {percent} %", { percent }), text: t("probably not in this mix") });
  return el("span", { class: "hint", title: t("How likely this is in the recording at all"), text: t("presence {percent} %", { percent }) });
}

export function drawOutline(canvas, outline, part) {
  const scale = window.devicePixelRatio || 1;
  const [width, height] = [Math.round(canvas.clientWidth * scale), Math.round(canvas.clientHeight * scale)];
  if (!width || !height) return;
  if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
  const context = canvas.getContext("2d");
  const style = getComputedStyle(canvas);
  const [played, still] = [style.getPropertyValue("--played"), style.getPropertyValue("--still")];
  context.clearRect(0, 0, width, height);
  const bar = 3 * scale;
  const count = Math.max(1, Math.floor(width / bar));
  for (let index = 0; index < count; index += 1) {
    const from = Math.floor((index / count) * outline.length);
    const to = Math.max(from + 1, Math.floor(((index + 1) / count) * outline.length));
    const level = Math.max(...outline.slice(from, to));
    const tall = Math.max(scale, Math.sqrt(level) * height * 0.96);
    context.fillStyle = (index + 0.5) / count <= part ? played : still;
    context.fillRect(index * bar, (height - tall) / 2, bar - scale, tall);
  }
}
