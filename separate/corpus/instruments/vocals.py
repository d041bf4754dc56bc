"""Sung voices from recorded speech: syllables are moved to a melody by the WORLD vocoder.

The result is float32 `(2, samples)` at 44.1 kHz. The recordings reach to 8 kHz; above it, noise
continues the slope of the spectrum, as recorded voices have energy there.
"""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import soxr
from scipy import signal

from separate.corpus.composing.notes import Note
from separate.corpus.rendering.effects import (
    active_rms,
    chorus,
    compressed,
    db,
    echoes,
    filtered,
    panned,
    peaking,
    room,
    saturated,
    tone,
    with_room,
)
from separate.corpus.sources.store import SAMPLE_RATE

_SPEECH_RATE = 16000
_FRAME = 0.005  # seconds
_VOICE_RATE = 32000  # of the synthesis: half the work of 44.1 kHz, and air up to 16 kHz
_BINS = 513  # of its spectral envelope
_TOP_HZ = 7000.0  # of what the recordings hold


@dataclass(frozen=True)
class Syllable:
    """One syllable, as WORLD frames of 5 ms."""

    envelope: np.ndarray  # power spectrum, (frames, bins) at 16 kHz
    aperiodicity: np.ndarray  # (frames, bins)
    voiced: np.ndarray  # bool (frames,)
    onset: int  # frames before the vowel


@dataclass(frozen=True)
class Singer:
    """How a voice sounds and sings."""

    formants: float  # 0.85 larger and darker .. 1.2 smaller and brighter
    breath: float  # added noise, 0-0.4
    vibrato_hz: float
    vibrato_cents: float
    glide: float  # seconds between notes; 0: hard steps as of a tuning effect
    drift_cents: float  # how far off the pitch wanders


def random_singer(rng: np.random.Generator) -> Singer:
    """Return a singer; one in six is tuned by machine."""
    tuned = rng.random() < 1 / 6
    return Singer(
        formants=float(rng.uniform(0.84, 1.2)),
        breath=float(rng.uniform(0, 0.3)),
        vibrato_hz=float(rng.uniform(4.5, 6.5)),
        vibrato_cents=0.0 if tuned else float(rng.uniform(5, 55)),
        glide=0.0 if tuned else float(rng.uniform(0.03, 0.09)),
        drift_cents=0.0 if tuned else float(rng.uniform(3, 15)),
    )


def read_speech(path: Path) -> np.ndarray:
    """Return a recording, float64 `(samples,)` at 16 kHz; ffmpeg decodes it."""
    command = ["ffmpeg", "-nostdin", "-v", "error", "-i", f"file:{path}", "-f", "f32le", "-ac", "1",
               "-ar", str(_SPEECH_RATE), "-"]  # fmt: skip
    done = subprocess.run(command, check=False, capture_output=True)
    audio = np.frombuffer(done.stdout, dtype="<f4").astype(np.float64)
    return audio / max(float(np.abs(audio).max()), 1e-3) if len(audio) else audio


def syllables_of(audio: np.ndarray) -> list[Syllable]:
    """Return the syllables of a recording, `(samples,)` at 16 kHz, in order."""
    import pyworld

    if len(audio) < _SPEECH_RATE // 4:
        return []
    pitch, times = pyworld.dio(audio, _SPEECH_RATE, frame_period=_FRAME * 1000)
    pitch = pyworld.stonemask(audio, pitch, times, _SPEECH_RATE)
    envelope = pyworld.cheaptrick(audio, pitch, times, _SPEECH_RATE)
    aperiodicity = pyworld.d4c(audio, pitch, times, _SPEECH_RATE)
    voiced = pitch > 0
    level = np.log(envelope[:, 3:200].mean(axis=1) + 1e-12)
    level = np.convolve(level, np.hanning(9) / np.hanning(9).sum(), mode="same")
    minima = signal.find_peaks(-level, distance=16, prominence=0.7)[0]
    edges = np.flatnonzero(np.diff(voiced.astype(int))) + 1
    cuts = [0, *sorted({*minima.tolist()}), len(voiced)]
    found = []
    for first, last in pairwise(cuts):
        part = slice(first, last)
        if voiced[part].sum() < 8 or level[part].max() < level.max() - 5:
            continue
        inside = [edge for edge in edges if first <= edge < last and voiced[edge]]
        onset = min((inside[0] if inside else first) - first, 24)
        start = (inside[0] if inside else first) - onset
        part = slice(start, last)
        found.append(Syllable(envelope[part], aperiodicity[part], voiced[part], onset))
    return found


def sing(
    syllables: Sequence[Syllable],
    notes: Sequence[Note],
    seconds: float,
    singer: Singer,
    rng: np.random.Generator,
    first: int | None = None,
) -> np.ndarray:
    """Sing notes, one syllable each, vowels held as long as the notes.

    Args:
        syllables: At least one.
        notes: One voice; a note ends where the next begins.
        seconds: Length of the result.
        singer: The voice.
        rng: Source of chance.
        first: The syllable of the first note; None: any.

    Returns:
        float32 `(samples,)`.
    """
    import pyworld

    frames = int(seconds / _FRAME) + 1
    pitch = np.zeros(frames)
    envelope = np.full((frames, _BINS), 1e-12)
    aperiodicity = np.ones((frames, _BINS))
    if first is None:
        first = int(rng.integers(len(syllables)))
    hz_before = 0.0
    for index, note in enumerate(notes):
        syllable = syllables[(first + index) % len(syllables)]
        following = notes[index + 1].start if index + 1 < len(notes) else seconds
        place, chosen = _placed(syllable, note, following, frames, rng)
        if len(chosen) < 4:
            continue
        wide, aperiodicity[place] = _widened(syllable, chosen, singer)
        loud = (note.velocity / 100) ** 2 / max(float(wide.sum(axis=1).mean()), 1e-9)
        envelope[place] = wide * _fades(len(chosen))[:, None] * loud + 1e-12
        hz = 440.0 * 2 ** ((note.pitch - 69) / 12)
        curve = _pitch_curve(len(chosen), hz, hz_before, singer, rng)
        pitch[place] = np.where(syllable.voiced[chosen], curve, 0.0)
        hz_before = hz if following - note.end < 0.15 else 0.0
    audio = pyworld.synthesize(pitch, envelope, aperiodicity, _VOICE_RATE, _FRAME * 1000)
    return _levelled(audio, int(seconds * SAMPLE_RATE))


def _placed(
    syllable: Syllable, note: Note, following: float, frames: int, rng: np.random.Generator
) -> tuple[slice, np.ndarray]:
    """Return where a syllable sounds, and which of its frames: the vowel begins with the note."""
    length = max(6, int(min(note.length, following - note.start) / _FRAME))
    chosen = _frame_map(syllable, length, rng)
    start = int(note.start / _FRAME) - syllable.onset
    skip = max(0, -start)
    chosen = chosen[skip : max(skip, frames - start)]
    return slice(start + skip, start + skip + len(chosen)), chosen


def _levelled(audio: np.ndarray, total: int) -> np.ndarray:
    """Return the synthesis at 44.1 kHz, `total` samples long, at an active level of -20 dB."""
    audio = soxr.resample(audio, _VOICE_RATE, SAMPLE_RATE)[:total]
    audio = np.pad(audio, (0, max(0, total - len(audio))))
    return (audio * (0.1 / max(active_rms(audio[None]), 1e-9))).astype(np.float32)


def _frame_map(syllable: Syllable, length: int, rng: np.random.Generator) -> np.ndarray:
    """Return which frames of a syllable sound when its vowel is held for `length` frames."""
    total, onset = len(syllable.voiced), syllable.onset
    vowel = total - onset
    if length <= vowel:
        tail = np.linspace(onset, total - 1, length)
    else:
        attack, release = min(10, vowel // 3), min(10, vowel // 3)
        middle = np.linspace(onset + attack, total - release - 1, length - attack - release)
        wander = np.cumsum(rng.normal(0, 0.2, len(middle)))
        middle = np.clip(middle + wander - wander.mean(), onset + attack, total - release - 1)
        tail = np.concatenate(
            [np.arange(onset, onset + attack), middle, np.arange(total - release, total)]
        )
    return np.concatenate([np.arange(onset), tail]).round().astype(int).clip(0, total - 1)


def _widened(
    syllable: Syllable, chosen: np.ndarray, singer: Singer
) -> tuple[np.ndarray, np.ndarray]:
    """Return envelope and aperiodicity at 32 kHz, formants moved, with air above 7 kHz."""
    hz = np.linspace(0, _VOICE_RATE / 2, _BINS)
    bins = syllable.envelope.shape[1]
    known = np.minimum(hz / singer.formants, _TOP_HZ) / (_SPEECH_RATE / 2) * (bins - 1)
    index = known.astype(int).clip(0, bins - 2)
    part = known - index
    logs = np.log(syllable.envelope[chosen] + 1e-14)
    wide = logs[:, index] * (1 - part) + logs[:, index + 1] * part
    beyond = np.maximum(hz / singer.formants - _TOP_HZ, 0) / 1000
    voiced = syllable.voiced[chosen][:, None]
    wide = wide - beyond * np.where(voiced, 0.55, 0.3)  # nepers of power a kHz
    airy = syllable.aperiodicity[chosen]
    airy = airy[:, index] * (1 - part) + airy[:, index + 1] * part
    airy = np.clip(airy + singer.breath * np.minimum(hz / 4000, 1) + beyond / 4, 0.001, 0.999)
    return np.exp(wide), airy


def _fades(length: int) -> np.ndarray:
    fade = np.ones(length)
    edge = min(4, length // 2)
    fade[:edge] = np.linspace(0.1, 1, edge)
    fade[-edge:] = np.linspace(1, 0.05, edge)
    return fade


def _pitch_curve(
    length: int, hz: float, hz_before: float, singer: Singer, rng: np.random.Generator
) -> np.ndarray:
    time = np.arange(length) * _FRAME
    cents = np.zeros(length)
    if singer.glide and hz_before:
        cents += 1200 * np.log2(hz_before / hz) * np.exp(-time / singer.glide)
    elif singer.glide:
        cents -= rng.uniform(30, 150) * np.exp(-time / singer.glide)
    swell = np.clip((time - 0.25) / 0.3, 0, 1)
    rate, phase = singer.vibrato_hz, rng.uniform(0, 6.28)
    cents += singer.vibrato_cents * swell * np.sin(2 * np.pi * rate * time + phase)
    drift = np.cumsum(rng.normal(0, 1, length))
    drift = (drift - drift.mean()) / max(float(np.abs(drift).max()), 1)
    return hz * 2 ** ((cents + singer.drift_cents * drift) / 1200)


def vocal_channel(
    voice: np.ndarray, rng: np.random.Generator, beat: float, wet: bool, width: float = 0.0
) -> np.ndarray:
    """Return a voice as records have it: equalised, compressed, with echoes and a room.

    Args:
        voice: float32 `(samples,)`.
        rng: Source of chance.
        beat: Seconds, for the echoes.
        wet: Heavy effects: chorus, saturation, long echoes.
        width: Place of the voice, -1 to 1.
    """
    audio = np.stack([voice, voice])
    audio = filtered(audio, "highpass", float(rng.uniform(70, 160)))
    audio = tone(audio, rng, 4.0)
    audio = peaking(audio, float(rng.uniform(250, 450)), float(rng.uniform(-6, 0)), 0.7)
    audio = peaking(audio, float(rng.uniform(900, 2200)), float(rng.uniform(0, 7)), 0.6)
    audio = peaking(audio, float(rng.uniform(7000, 11000)), float(rng.uniform(-5, 3)), 0.7)
    audio = compressed(audio, float(rng.uniform(-16, -6)), float(rng.uniform(2.5, 6)), 0.005, 0.12)
    if wet and rng.random() < 0.5:
        audio = saturated(audio * (0.15 / max(active_rms(audio), 1e-6)), float(rng.uniform(4, 18)))
    if wet and rng.random() < 0.25:  # telephone
        audio = filtered(audio, "bandpass", (float(rng.uniform(300, 500)), 3400.0))
    if wet or rng.random() < 0.15:
        audio = chorus(audio, rng, float(rng.uniform(0.2, 0.7)))
    if rng.random() < (0.8 if wet else 0.4):
        step = beat * float(rng.choice([0.25, 0.5, 0.75, 1.0]))
        audio = echoes(audio, step, float(rng.uniform(0.2, 0.5)), float(rng.uniform(-24, -10)))
    if rng.random() < 0.9:
        seconds = float(np.exp(rng.uniform(np.log(0.4), np.log(2.8))))
        impulse = room(rng, seconds, float(rng.uniform(3000, 9000)), near=rng.random() < 0.5)
        audio = with_room(audio, impulse, float(rng.uniform(-24, -8)))
    level = active_rms(audio)
    return panned(audio, width) * np.float32(db(-20) / max(level, 1e-6))
