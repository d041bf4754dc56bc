"""Synthesizers: subtractive voices with detuned oscillators, filter envelopes and glides.

The result is float32 `(2, samples)` at 44.1 kHz.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np

from separate.corpus.composing.notes import Note
from separate.corpus.sources.store import SAMPLE_RATE


@dataclass(frozen=True)
class Patch:
    """The knobs of a synthesizer."""

    saw: float  # level of the sawtooth
    pulse: float  # level of the pulse wave
    width: float  # of the pulse, 0.05-0.5
    sine: float  # level of the sine
    sub: float  # level of a sine an octave below
    noise: float  # level of the noise
    fm: float  # modulation index of the sine
    fm_ratio: float
    voices: int  # detuned copies
    detune: float  # semitones between the outermost
    spread: float  # stereo width of the copies, 0-1
    cutoff_hz: float  # of the low-pass filter
    keytrack: float  # how far the filter follows the pitch, 0-1
    sweep: float  # octaves that the filter's envelope opens it
    resonance: float  # 0-0.95
    filter_decay: float  # seconds
    attack: float  # seconds
    decay: float  # seconds
    sustain: float  # 0-1
    release: float  # seconds
    glide: float  # seconds from the last note's pitch
    lfo_hz: float  # wobble of the filter
    lfo_depth: float  # octaves


def random_patch(rng: np.random.Generator, role: str) -> Patch:
    """Return a patch for a bass, pad, lead, arpeggio, or stab."""
    bass, pad = role == "synth_bass", role == "synth_pad"
    lead, short = role == "synth_lead", role in ("arpeggio", "stab")
    kind = rng.choice(["saw", "pulse", "fm", "sine"], p=[0.45, 0.25, 0.2, 0.1])
    if pad and kind == "sine":
        kind = "saw"
    log = lambda low, high: float(np.exp(rng.uniform(np.log(low), np.log(high))))  # noqa: E731
    return Patch(
        saw=1.0 if kind == "saw" else 0.3 * (rng.random() < 0.3),
        pulse=1.0 if kind == "pulse" else 0.4 * (rng.random() < 0.3),
        width=float(rng.uniform(0.1, 0.5)),
        sine=1.0 if kind in ("fm", "sine") else 0.0,
        sub=float(rng.uniform(0.3, 1.0)) if bass else 0.3 * (rng.random() < 0.2),
        noise=float(rng.uniform(0, 0.06)) if rng.random() < 0.3 else 0.0,
        fm=float(rng.uniform(0.5, 4.0)) if kind == "fm" else 0.0,
        fm_ratio=float(rng.choice([0.5, 1, 1, 2, 2, 3, 3.5, 7])),
        voices=int(rng.integers(1, 3) if bass else rng.integers(2, 8) if not lead else 3),
        detune=float(rng.uniform(0.02, 0.12) if bass else rng.uniform(0.05, 0.45)),
        spread=0.2 * float(rng.random()) if bass else float(rng.uniform(0.3, 1.0)),
        cutoff_hz=log(150, 900) if bass else log(400, 3500) if pad else log(700, 7000),
        keytrack=float(rng.uniform(0.2, 0.8)),
        sweep=float(rng.uniform(0, 4)) if not pad else float(rng.uniform(-0.5, 2)),
        resonance=float(rng.uniform(0, 0.75)) ** 1.3,
        filter_decay=log(0.5, 3) if pad else log(0.06, 0.6),
        attack=float(rng.uniform(0.08, 0.9)) if pad else float(rng.uniform(0.002, 0.02)),
        decay=log(0.5, 2) if pad else log(0.1, 0.8),
        sustain=float(rng.uniform(0.6, 1)) if pad or lead or bass else float(rng.uniform(0, 0.4)),
        release=float(rng.uniform(0.3, 1.5)) if pad else float(rng.uniform(0.03, 0.35)),
        glide=float(rng.uniform(0.02, 0.12)) if (bass or lead) and rng.random() < 0.4 else 0.0,
        lfo_hz=float(rng.uniform(0.1, 6)) if not short else 0.0,
        lfo_depth=float(rng.uniform(0, 1.2)) if rng.random() < 0.35 else 0.0,
    )


def play_synth(
    notes: Sequence[Note], seconds: float, patch: Patch, rng: np.random.Generator
) -> np.ndarray:
    """Render notes with a patch; float32 `(2, samples)`."""
    out = np.zeros((2, int(seconds * SAMPLE_RATE)), dtype=np.float32)
    last_hz = 0.0
    for note in notes:
        start = int(note.start * SAMPLE_RATE)
        total = min(int((note.length + patch.release) * SAMPLE_RATE), out.shape[1] - max(start, 0))
        if start < 0 or total < 16:
            continue
        hz = 440.0 * 2 ** ((note.pitch - 69) / 12)
        spots = np.linspace(-1, 1, patch.voices) if patch.voices > 1 else np.zeros(1)
        ratios = 2 ** (spots * patch.detune / 24) * hz / SAMPLE_RATE
        pans = (rng.permutation(spots) * patch.spread + 1) / 2
        glide_from = last_hz / hz if patch.glide and last_hz else 1.0
        knobs = _knobs(patch, hz, note.velocity)
        gain = 0.25 * (note.velocity / 127) ** 1.3 / np.sqrt(patch.voices)
        phases, noise_seed = rng.random(patch.voices), int(rng.integers(2**31))
        held = int(note.length * SAMPLE_RATE)
        oscillators = _oscillators(total, ratios, pans, phases, glide_from, knobs, noise_seed)
        out[:, start : start + total] += _shaped(oscillators, held, knobs) * np.float32(gain)
        last_hz = hz
    return out


def _knobs(patch: Patch, hz: float, velocity: int) -> np.ndarray:
    """Return what the compiled loops need, in samples and cycles a sample."""
    return np.array([
        patch.saw, patch.pulse, patch.width, patch.sine, patch.sub, patch.noise, patch.fm,
        patch.fm_ratio, patch.glide * SAMPLE_RATE + 1,
        patch.cutoff_hz * (hz / 261.6) ** patch.keytrack,
        patch.sweep * (0.4 + 0.6 * velocity / 127), 2.0 - 2.0 * patch.resonance,
        patch.filter_decay * SAMPLE_RATE, patch.attack * SAMPLE_RATE + 1,
        patch.decay * SAMPLE_RATE, patch.sustain, patch.release * SAMPLE_RATE,
        patch.lfo_hz / SAMPLE_RATE, patch.lfo_depth,
    ])  # fmt: skip


@numba.njit(cache=True, fastmath=True)
def _step(phase: float, increment: float) -> float:  # pragma: no cover
    """Return the correction that rounds a saw's step off (PolyBLEP)."""
    if phase < increment:
        t = phase / increment
        return t + t - t * t - 1.0
    if phase > 1.0 - increment:
        t = (phase - 1.0) / increment
        return t * t + t + t + 1.0
    return 0.0


@numba.njit(cache=True, fastmath=True)
def _oscillators(
    total: int,
    ratios: np.ndarray,
    pans: np.ndarray,
    phases: np.ndarray,
    glide_from: float,
    knobs: np.ndarray,
    noise_seed: int,
) -> np.ndarray:  # pragma: no cover
    """Return the oscillators' sum, float32 (2, total)."""
    saw, pulse, width, sine, sub, noise, fm, fm_ratio, glide = knobs[:9]
    filter_decay = knobs[12]
    out = np.empty((2, total), dtype=np.float32)
    count = len(ratios)
    lcg = noise_seed
    mod_phase = sub_phase = 0.0
    for i in range(total):
        bend = 1.0
        if glide_from != 1.0 and i < glide * 4:
            bend = 1.0 + (glide_from - 1.0) * np.exp(-i / glide)
        center = ratios[count // 2] * bend
        left = right = 0.0
        mod_phase = (mod_phase + center * fm_ratio) % 1.0
        modulation = fm * np.sin(2 * np.pi * mod_phase) * np.exp(-i / (filter_decay * 2))
        for v in range(count):
            step = ratios[v] * bend
            phase = (phases[v] + step) % 1.0
            phases[v] = phase
            other = (phase + width) % 1.0
            x = saw * (2.0 * phase - 1.0 - _step(phase, step))
            x += pulse * 0.7 * (2.0 * (phase - other) - _step(phase, step) + _step(other, step))
            x += sine * np.sin(2 * np.pi * phase + modulation)
            left += x * (1 - pans[v])
            right += x * pans[v]
        sub_phase = (sub_phase + center * 0.5) % 1.0
        lcg = (lcg * 1103515245 + 12345) % 2147483648
        both = sub * np.sin(2 * np.pi * sub_phase) * 0.4 + noise * (lcg / 1073741824.0 - 1.0)
        out[0, i] = left + both * count
        out[1, i] = right + both * count
    return out


@numba.njit(cache=True, fastmath=True)
def _shaped(audio: np.ndarray, held: int, knobs: np.ndarray) -> np.ndarray:  # pragma: no cover
    """Return audio through the swept low-pass (Zavalishin's state-variable one) and envelope."""
    cutoff, sweep, damping, filter_decay, attack, decay, sustain, release, lfo, depth = knobs[9:]
    out = np.empty_like(audio)
    low, band = np.zeros(2), np.zeros(2)
    level = last = g = 0.0
    for i in range(audio.shape[1]):
        if i < attack and i < held:
            last = level = i / attack
        elif i < held:
            last = level = sustain + (1 - sustain) * np.exp(-(i - attack) / decay)
        else:
            level = last * np.exp(-5.0 * (i - held) / release)
        if i % 16 == 0:
            octaves = sweep * np.exp(-i / filter_decay) + depth * np.sin(2 * np.pi * lfo * i)
            hz = min(max(cutoff * 2.0**octaves, 30.0), 17000.0)
            g = np.tan(np.pi * hz / 44100.0)
        a = 1.0 / (1.0 + g * (g + damping))
        for side in range(2):
            high = (audio[side, i] - (g + damping) * band[side] - low[side]) * a
            middle = g * high + band[side]
            band[side] = g * high + middle
            passed = g * middle + low[side]
            low[side] = g * middle + passed
            out[side, i] = passed * level
    return out
