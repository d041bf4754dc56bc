// Plays several sounds together, sample by sample, while they stream in: raw 16-bit samples are
// fetched in short pieces and scheduled one after another. Memory does not grow with length.

const piece = 4; // seconds that are fetched at once
const ahead = 8; // seconds that are scheduled in advance
const kept = 48; // pieces that stay in memory

export class Engine {
  // tracks: [{url, sample_rate, channels, frames}], all of one length and rate
  constructor(tracks, onChange = () => {}) {
    this.tracks = tracks;
    this.onChange = onChange;
    this.rate = tracks[0].sample_rate;
    this.frames = Math.min(...tracks.map((track) => track.frames));
    this.gains = tracks.map(() => 1);
    this.pieces = new Map();
    this.sounding = [];
    this.run = 0;
    this.playing = false;
    this.place = 0; // seconds, while it stands
  }
  get seconds() {
    return this.frames / this.rate;
  }
  get position() {
    if (!this.playing || !this.anchor) return this.place;
    const passed = Math.max(0, this.context.currentTime - this.anchor.time);
    return Math.min(this.seconds, this.anchor.place + passed);
  }
  setGain(index, gain) {
    this.gains[index] = gain;
    if (this.nodes) this.nodes[index].gain.setTargetAtTime(gain, this.context.currentTime, 0.015);
  }
  open() {
    if (this.context) return;
    this.context = new AudioContext({ sampleRate: this.rate });
    this.nodes = this.gains.map((gain) => {
      const node = this.context.createGain();
      node.gain.value = gain;
      node.connect(this.context.destination);
      return node;
    });
  }
  async play() {
    this.open();
    await this.context.resume();
    if (this.position >= this.seconds - 0.01) this.place = 0;
    this.anchor = null;
    this.playing = true;
    this.onChange();
    this.schedule(++this.run);
  }
  pause() {
    this.place = this.position;
    this.halt();
  }
  halt() {
    this.run += 1;
    this.playing = false;
    this.sounding.forEach((source) => source.stop());
    this.sounding = [];
    this.onChange();
  }
  seek(seconds) {
    const was = this.playing;
    if (was) this.halt();
    this.place = Math.max(0, Math.min(this.seconds, seconds));
    if (was) this.play();
    else this.onChange();
  }
  close() {
    this.halt();
    this.context?.close();
    this.context = null;
    this.pieces.clear();
  }
  async schedule(run) {
    let frame = Math.round(this.place * this.rate);
    let time = 0;
    while (frame < this.frames) {
      const step = piece * this.rate;
      const end = Math.min(this.frames, (Math.floor(frame / step) + 1) * step);
      let blocks;
      try {
        blocks = await Promise.all(this.tracks.map((track) => this.load(track, frame, end)));
      } catch {
        if (run === this.run) this.pause();
        return;
      }
      if (run !== this.run) return;
      const soonest = this.context.currentTime + 0.05;
      if (time < soonest) { // the first piece, or the network was late
        time = soonest;
        this.anchor = { time, place: frame / this.rate };
      }
      blocks.forEach((block, index) => this.start(block, index, time));
      time += (end - frame) / this.rate;
      frame = end;
      while (time - this.context.currentTime > ahead) {
        await new Promise((resolve) => setTimeout(resolve, 200));
        if (run !== this.run) return;
      }
    }
    while (run === this.run && this.position < this.seconds - 0.005) await new Promise((resolve) => setTimeout(resolve, 50));
    if (run !== this.run) return;
    this.halt();
    this.place = 0;
    this.onChange();
  }
  start(block, index, time) {
    const source = this.context.createBufferSource();
    source.buffer = block;
    source.connect(this.nodes[index]);
    source.addEventListener("ended", () => { this.sounding = this.sounding.filter((other) => other !== source); });
    source.start(time);
    this.sounding.push(source);
  }
  async load(track, from, to) {
    const key = `${track.url}:${from}:${to}`;
    if (!this.pieces.has(key)) {
      const promise = this.fetch(track, from, to);
      promise.catch(() => this.pieces.delete(key));
      this.pieces.set(key, promise);
      for (const old of this.pieces.keys()) {
        if (this.pieces.size <= kept * this.tracks.length) break;
        this.pieces.delete(old);
      }
    }
    return this.pieces.get(key);
  }
  async fetch(track, from, to) {
    const size = 2 * track.channels;
    const response = await fetch(track.url, { headers: { range: `bytes=${from * size}-${to * size - 1}` } });
    if (!response.ok) throw new Error(`answered ${response.status}`);
    let samples = new Int16Array(await response.arrayBuffer());
    if (response.status === 200) samples = samples.subarray(from * track.channels, to * track.channels);
    const buffer = this.context.createBuffer(track.channels, to - from, this.rate);
    for (let channel = 0; channel < track.channels; channel += 1) {
      const data = buffer.getChannelData(channel);
      for (let frame = 0; frame < data.length; frame += 1) data[frame] = samples[frame * track.channels + channel] / 32768;
    }
    return buffer;
  }
}
