// Where a recording comes from: dropped, chosen, recorded, or our example. Gives the upload.
import { language, t } from "./languages.js";
import { Progress, clock, el, errorBox, facts, icon, post, send } from "./base.js";

export class Source {
  constructor({ onUpload, title = t("Drop a recording here"), example = true }) {
    this.onUpload = onUpload;
    this.upload = null;
    this.error = errorBox();
    this.progress = new Progress(t("Upload"), () => this.stop?.abort());
    this.input = el("input", { type: "file", class: "hidden-input", tabindex: "-1", "aria-label": t("Sound or video file"),
      onchange: () => { const [file] = this.input.files; this.input.value = ""; file && this.send(file, file.name); } });
    this.choose = el("button", { type: "button", onclick: () => this.input.click() }, icon("file"), t("Choose a file"));
    this.record = el("button", { type: "button", onclick: () => this.toggleRecording() }, icon("mic"), el("span", { text: t("Record") }));
    const more = example ? el("button", { type: "button", class: "quiet", onclick: () => this.takeExample(), text: t("Try the example") }) : null;
    this.empty = el("div", { class: "drop-empty" },
      el("p", { class: "drop-title", text: title }),
      el("p", { class: "hint", text: t("Any sound or video file, up to {minutes} minutes and {size} MB.", { minutes: facts.maxMinutes, size: Math.round(facts.maxBytes / 1e6) }) }),
      el("div", { class: "buttons" }, this.choose, this.record, more));
    this.name = el("strong", { class: "file-name", dir: "auto" });
    this.about = el("span", { class: "hint" });
    this.change = el("button", { type: "button", class: "quiet", onclick: () => this.clear(), text: t("Change") });
    this.full = el("div", { class: "drop-full" }, el("span", { class: "file-mark" }, icon("note")),
      el("span", { class: "file-words" }, this.name, this.about), this.change);
    this.full.hidden = true;
    this.node = el("div", { class: "drop", role: "group", "aria-label": t("Recording"),
      ondragover: (event) => { event.preventDefault(); this.node.classList.add("over"); },
      ondragleave: () => this.node.classList.remove("over"),
      ondrop: (event) => this.drop(event) }, this.empty, this.full, this.input, this.progress.node, this.error.node);
  }
  drop(event) {
    event.preventDefault();
    this.node.classList.remove("over");
    const [file] = event.dataTransfer.files;
    if (file) this.send(file, file.name);
  }
  async send(file, name) {
    await this.run(async () => {
      this.stop = new AbortController();
      this.progress.show(0, t("Uploading"));
      return send(file, name, (part) =>
        this.progress.show(part, part < 1 ? t("Uploading: {percent} %", { percent: Math.round(part * 100) }) : t("Looking into the file")), this.stop.signal);
    });
  }
  async takeExample() {
    await this.run(() => post("examples"));
  }
  async run(work) {
    this.error.show("");
    this.clear(false);
    this.empty.hidden = true;
    try {
      this.set(await work());
    } catch (error) {
      this.empty.hidden = false;
      if (error.name !== "AbortError") this.error.show(error.message);
    } finally {
      this.progress.hide();
    }
  }
  set(upload) {
    this.upload = upload;
    this.name.textContent = upload.name;
    const channels = upload.channels === 1 ? t("mono") : upload.channels === 2 ? t("stereo") : t("{count} channels", { count: upload.channels });
    this.about.textContent = `${clock(upload.seconds)} · ${(upload.sample_rate / 1000).toLocaleString(language)} kHz ${channels}`;
    this.empty.hidden = true;
    this.full.hidden = false;
    this.onUpload(upload);
  }
  clear(tell = true) {
    this.upload = null;
    this.full.hidden = true;
    this.empty.hidden = false;
    if (tell) this.choose.focus();
    this.onUpload(null);
  }
  async toggleRecording() {
    if (this.recorder) {
      this.recorder.stop();
      return;
    }
    this.error.show("");
    try {
      const stream = await navigator.mediaDevices.getUserMedia({ audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false } });
      this.listen(stream);
    } catch {
      this.error.show(t("The microphone can't be used: allow it in the browser (a page needs https for that, or localhost)."));
    }
  }
  listen(stream) {
    const parts = [];
    const words = this.record.lastChild;
    this.recorder = new MediaRecorder(stream);
    const began = Date.now();
    const limit = facts.maxMinutes * 60;
    const ticking = setInterval(() => {
      const seconds = (Date.now() - began) / 1000;
      words.textContent = t("Stop ({time})", { time: clock(seconds) });
      if (seconds > limit - 1) this.recorder?.stop();
    }, 250);
    words.textContent = t("Stop ({time})", { time: clock(0) });
    this.record.classList.add("live");
    this.recorder.addEventListener("dataavailable", (event) => parts.push(event.data));
    this.recorder.addEventListener("stop", async () => {
      clearInterval(ticking);
      stream.getTracks().forEach((track) => track.stop());
      const type = this.recorder.mimeType;
      this.recorder = null;
      this.record.classList.remove("live");
      words.textContent = t("Record");
      try {
        this.send(await toWav(new Blob(parts, { type })), "recording.wav");
      } catch {
        this.error.show(t("The recording is empty. Try again."));
      }
    });
    this.recorder.start();
  }
}

// Browsers record in containers that tell no length; a plain WAV does.
async function toWav(blob) {
  const context = new AudioContext();
  const sound = await context.decodeAudioData(await blob.arrayBuffer());
  context.close();
  const [channels, frames, rate] = [sound.numberOfChannels, sound.length, sound.sampleRate];
  const view = new DataView(new ArrayBuffer(44 + frames * channels * 2));
  const write = (place, text) => [...text].forEach((c, index) => view.setUint8(place + index, c.charCodeAt(0)));
  write(0, "RIFF"); view.setUint32(4, view.byteLength - 8, true); write(8, "WAVEfmt ");
  view.setUint32(16, 16, true); view.setUint16(20, 1, true); view.setUint16(22, channels, true);
  view.setUint32(24, rate, true); view.setUint32(28, rate * channels * 2, true);
  view.setUint16(32, channels * 2, true); view.setUint16(34, 16, true);
  write(36, "data"); view.setUint32(40, frames * channels * 2, true);
  const data = Array.from({ length: channels }, (_, channel) => sound.getChannelData(channel));
  let place = 44;
  for (let frame = 0; frame < frames; frame += 1) {
    for (let channel = 0; channel < channels; channel += 1) {
      view.setInt16(place, Math.max(-1, Math.min(1, data[channel][frame])) * 32767, true);
      place += 2;
    }
  }
  return new Blob([view], { type: "audio/wav" });
}
