"""Render notes by sampled instruments: SFZ by our sampler, soundfonts by fluidsynth.

The result is float32 `(2, samples)` at 44.1 kHz, without effects.
"""

import subprocess
import tempfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from separate.corpus.composing.notes import Note
from separate.corpus.instruments.sfz import Region, read_sfz
from separate.corpus.sources.catalogue import CatalogueEntry
from separate.corpus.sources.store import SAMPLE_RATE, read_stereo
from separate.errors import DataError

_TICKS = 480  # a beat
_BEND = 8192  # full deflection of the pitch wheel


@lru_cache(maxsize=8)
def _regions(path: Path) -> tuple[Region, ...]:
    return tuple(read_sfz(path))


@lru_cache(maxsize=128)
def _sample(path: Path) -> np.ndarray:
    return read_stereo(path)


def play_sfz(
    source: CatalogueEntry, notes: Sequence[Note], seconds: float, rng: np.random.Generator
) -> np.ndarray:
    """Render notes with an SFZ instrument.

    Round robins go round from a random start; a note that begins soon after another's end on the
    same key cuts it, as on a string.

    Args:
        source: An SFZ source, prepared.
        notes: What is played; keys outside the instrument stay silent.
        seconds: Length of the result.
        rng: CatalogueEntry of chance.

    Returns:
        float32 `(2, samples)`.

    Raises:
        DataError: The instrument cannot be read.
    """
    regions = _regions(Path(source.path))
    by_key = {
        key: [region for region in regions if region.keys[0] <= key <= region.keys[1]]
        for key in {note.pitch for note in notes}
    }
    out = np.zeros((2, int(seconds * SAMPLE_RATE)), dtype=np.float32)
    turn = int(rng.integers(64))
    for note in notes:
        turn += 1
        chance = float(rng.random())
        for region in by_key[note.pitch]:
            low, high = region.velocities
            position, length = region.sequence
            if not (low <= note.velocity <= high and region.chance[0] <= chance < region.chance[1]):
                continue
            if turn % length == position - 1:
                _add(out, region, note)
    return out


def _add(out: np.ndarray, region: Region, note: Note) -> None:
    """Add one sounding region to the output."""
    released = region.trigger == "release"
    start = int((note.end if released else note.start) * SAMPLE_RATE)
    room = out.shape[1] - start
    if room <= 0 or start < 0:
        return
    ratio = 2.0 ** ((note.pitch - region.keycenter) * region.keytrack / 12)
    sample = _sample(region.sample)[:, region.offset :]
    held = sample.shape[1] / ratio
    if not released:
        held = (note.length + region.release) * SAMPLE_RATE
    sound = _resampled(sample, ratio, int(min(held, room)), region.loop)
    velocities, gains = zip(*region.velocity_curve, strict=True)
    gain = region.gain * float(np.interp(note.velocity, velocities, gains))
    sound *= gain * _envelope(sound.shape[1], region, None if released else note.length)
    out[:, start : start + sound.shape[1]] += sound


def _resampled(
    sample: np.ndarray, ratio: float, wanted: int, loop: tuple[int, int] | None
) -> np.ndarray:
    """Return the sample played `ratio` times as fast, at most `wanted` samples of it."""
    available = sample.shape[1]
    if loop is None:
        wanted = min(wanted, int((available - 2) / ratio))
    if wanted <= 0:
        return np.zeros((2, 0), dtype=np.float32)
    if ratio == 1.0 and loop is None:
        return sample[:, :wanted].copy()
    position = np.arange(wanted) * ratio
    if loop is not None:
        first, last = loop[0], min(loop[1], available - 2)
        wrapped = first + np.mod(position - first, max(last - first, 1))
        position = np.where(position > last, wrapped, position)
    index = position.astype(np.int64)
    part = (position - index).astype(np.float32)
    index = np.minimum(index, available - 3)
    before, here = sample[:, np.maximum(index - 1, 0)], sample[:, index]
    after, later = sample[:, index + 1], sample[:, index + 2]
    # Four-point cubic (Hermite): a linear one dulls the treble.
    slope = 0.5 * (after - before)
    square = before - 2.5 * here + 2 * after - 0.5 * later
    cube = 0.5 * (later - before) + 1.5 * (here - after)
    return ((cube * part + square) * part + slope) * part + here


def _envelope(samples: int, region: Region, length: float | None) -> np.ndarray:
    envelope = np.ones(samples, dtype=np.float32)
    attack = min(int(region.attack * SAMPLE_RATE), samples)
    envelope[:attack] = np.linspace(0, 1, attack, endpoint=False)
    if length is not None:
        off = int(length * SAMPLE_RATE)
        if off < samples:
            fade = np.exp(-np.arange(samples - off) * 5 / (region.release * SAMPLE_RATE))
            envelope[off:] *= fade.astype(np.float32)
    last = min(64, samples)
    envelope[samples - last :] *= np.linspace(1, 0, last)
    return envelope


def play_soundfont(
    source: CatalogueEntry, notes: Sequence[Note], seconds: float, program: int = 0, bank: int = 0
) -> np.ndarray:
    """Render notes with one program of a soundfont.

    Args:
        source: A soundfont.
        notes: What is played.
        seconds: Length of the result.
        program: General MIDI program, 0-127.
        bank: 0, or 128 for the drum kits.

    Returns:
        float32 `(2, samples)`.

    Raises:
        DataError: fluidsynth is missing or fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        midi, wav = Path(folder) / "in.mid", Path(folder) / "out.wav"
        _write_midi(midi, notes, seconds, program, bank)
        command = [
            "fluidsynth", "-ni", "-q", "-R", "0", "-C", "0", "-g", "0.5", "-r", str(SAMPLE_RATE),
            "-o", "synth.dynamic-sample-loading=1", "-o", "synth.polyphony=96",
            "-o", "synth.cpu-cores=1", "-o", "audio.file.format=float",
            "-T", "wav", "-F", str(wav), source.path, str(midi),
        ]  # fmt: skip
        try:
            done = subprocess.run(command, check=False, capture_output=True)
        except OSError as error:
            raise DataError("fluidsynth is missing; install the package fluidsynth") from error
        if done.returncode or not wav.exists():
            reason = done.stderr.decode(errors="replace").strip()[-200:]
            raise DataError(f"fluidsynth failed on {source.path}: {reason}")
        audio = read_stereo(wav)
    total = int(seconds * SAMPLE_RATE)
    return np.pad(audio[:, :total], ((0, 0), (0, max(0, total - audio.shape[1]))))


def _write_midi(path: Path, notes: Sequence[Note], seconds: float, program: int, bank: int) -> None:
    import mido

    channel = 9 if bank == 128 else 0
    file = mido.MidiFile(ticks_per_beat=_TICKS)
    track = mido.MidiTrack()
    file.tracks.append(track)
    track.append(mido.MetaMessage("set_tempo", tempo=500_000))  # a beat lasts half a second
    track.append(mido.Message("program_change", channel=channel, program=program))
    events = []
    for note in notes:
        start, end = (round(time * 2 * _TICKS) for time in (note.start, note.end))
        events.append((start, 1, note.pitch, int(np.clip(note.velocity, 1, 127))))
        events.append((max(end, start + 1), 0, note.pitch, 0))
    now = 0
    for tick, on, key, velocity in sorted(events):
        kind = "note_on" if on else "note_off"
        wait, now = tick - now, tick
        track.append(
            mido.Message(kind, channel=channel, note=key, velocity=velocity, time=max(wait, 0))
        )
    rest = max(0, round(seconds * 2 * _TICKS) - now)
    track.append(mido.MetaMessage("end_of_track", time=rest))
    file.save(path)
