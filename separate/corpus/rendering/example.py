"""Make the bundled example: our own song, rendered by mma, fluidsynth and espeak-ng.

It needs the Debian packages `mma`, `fluidsynth`, `fluid-soundfont-gm` and `espeak-ng`. The
soundfont is FluidR3 (MIT); chords, melody, beat and words are ours.
"""

import io
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import soundfile
import soxr

from separate.corpus.composing import chords
from separate.corpus.composing.harmony import MAJOR, Chart, Chord
from separate.corpus.composing.notes import Note
from separate.corpus.instruments.pitched import play_soundfont
from separate.corpus.instruments.vocals import Singer, Syllable, sing, syllables_of, vocal_channel
from separate.corpus.rendering import mixdown
from separate.corpus.rendering.effects import (
    amplifier,
    compressed,
    db,
    panned,
    peaking,
    room,
    with_room,
)
from separate.corpus.sources.catalogue import CatalogueEntry, find_sources
from separate.corpus.sources.store import SAMPLE_RATE
from separate.errors import DataError

BPM = 112.0
_CHORDS = ((9, "m"), (5, ""), (0, ""), (7, ""), (9, "m"), (5, ""), (7, ""), (0, ""))
# (beat, length in beats, key, syllable)
_SONG = (
    (0, 1, 64, "take"), (1, 0.5, 64, "the"), (1.5, 1, 65, "sing"), (2.5, 1.2, 67, "er"),
    (4, 0.5, 69, "from"), (4.5, 0.5, 67, "the"), (5, 2.2, 65, "song"),
    (8, 1, 67, "leave"), (9, 0.5, 67, "the"), (9.5, 1, 69, "drums"), (10.5, 1.2, 67, "and"),
    (12, 1, 71, "bass"), (13, 2.4, 67, "on"),
    (16, 1, 72, "all"), (17, 0.5, 71, "the"), (17.5, 1, 69, "words"), (18.5, 1.2, 67, "you"),
    (20, 1, 69, "say"), (21.5, 2, 65, "now"),
    (24, 1, 67, "bring"), (25, 0.5, 67, "the"), (25.5, 1, 71, "mu"), (26.5, 1.2, 69, "sic"),
    (28, 3, 72, "home"),
)  # fmt: skip


def make_example(seed: int = 3) -> dict[str, np.ndarray]:
    """Return the example's stems: vocals, drums, bass, other; float32 `(2, samples)`.

    Raises:
        DataError: A package is missing.
    """
    rng = np.random.default_rng(seed)
    font = find_sources(None, ("free",)).found.get("fluid")
    if font is None:
        raise DataError("FluidR3_GM.sf2 is missing; install the package fluid-soundfont-gm")
    bars = tuple((Chord(root, quality),) for root, quality in _CHORDS)
    chart = Chart(0, MAJOR, bars, (0,) * len(bars))
    seconds = len(bars) * 240 / BPM + 1.0
    found, _ = chords.accompany(chart, ["softrock"], BPM, rng)
    hall = room(rng, 1.2, 5000.0)
    stems: dict[str, np.ndarray] = {}
    for part in [part for part in found if part.role != "percussion"]:
        label, program = ("bass", 33) if part.role == "bass" else ("other", part.program)
        audio = play_soundfont(font, part.notes, seconds, program)
        audio = _at(_treated(label, program, audio, rng, hall), -17.0 if label == "bass" else -24.0)
        stems[label] = stems.get(label, 0) + audio
    drums = play_soundfont(font, _beat(rng), seconds, 8, bank=128)
    stems["drums"] = _at(with_room(compressed(drums, -4.0, 3.0), hall, -15.0), -16.0)
    stems["other"] = stems["other"] + _at(_lead(font, seconds, rng, hall), -24.0)
    stems["vocals"] = _at(_voice(seconds, rng), -16.0)
    stems = mixdown.mastered(stems, rng)
    peak = float(np.abs(np.sum(list(stems.values()), axis=0)).max())
    return {label: stem * np.float32(0.8 / peak) for label, stem in stems.items()}


def write_example(out: Path, stems_folder: Path | None = None, seed: int = 3) -> Path:
    """Write the example as Ogg Vorbis or FLAC, by its name, and the stems as 16-bit WAV."""
    stems = make_example(seed)
    out.parent.mkdir(parents=True, exist_ok=True)
    mixture = np.sum(list(stems.values()), axis=0)
    with soundfile.SoundFile(out, "w", SAMPLE_RATE, 2) as file:
        for start in range(0, mixture.shape[1], SAMPLE_RATE):  # libsndfile's Vorbis wants blocks
            file.write(mixture[:, start : start + SAMPLE_RATE].T)
    if stems_folder:
        stems_folder.mkdir(parents=True, exist_ok=True)
        for label, stem in stems.items():
            soundfile.write(stems_folder / f"{label}.wav", stem.T, SAMPLE_RATE, subtype="PCM_16")
    return out


def _at(audio: np.ndarray, level_db: float) -> np.ndarray:
    level = float(np.sqrt(np.mean(audio**2)))
    return audio * np.float32(db(level_db) / max(level, 1e-6))


def _treated(
    label: str, program: int, audio: np.ndarray, rng: np.random.Generator, hall: np.ndarray
) -> np.ndarray:
    if label == "bass":
        return compressed(audio.mean(axis=0, keepdims=True).repeat(2, axis=0), -8.0, 4.0)
    audio = amplifier(audio, rng, 6.0) if 24 <= program < 32 else audio
    return with_room(panned(audio, float(rng.uniform(-0.5, 0.5))), hall, -14.0)


def _beat(rng: np.random.Generator) -> list[Note]:
    """Return the drummer's part as General MIDI keys: kick 36, snare 38, hi-hat 42 and 46."""
    strokes: list[tuple[float, int, int]] = []  # (beat, key, velocity)
    for bar in range(len(_CHORDS)):
        start, last = bar * 4.0, bar == len(_CHORDS) - 1
        if bar % 4 == 0:
            strokes.append((start, 49, 105))
        kicks = (0, 1.5, 2, 3.5) if bar % 2 else (0, 2, 2.5)
        strokes += [(start + beat, 36, 112) for beat in kicks]
        strokes += [(start + 1, 38, 114), (start + (2.75 if bar % 2 else 1.75), 38, 48)]
        strokes += [
            (start + half / 2, 42, 96 - 24 * (half % 2)) for half in range(6 if last else 8)
        ]
        if last:
            toms = ((3, 38), (3.25, 48), (3.5, 45), (3.75, 41))
            strokes += [(start + beat, key, 110) for beat, key in toms]
        else:
            strokes.append((start + 3, 38, 116))
            if bar % 2:
                strokes.append((start + 3.75, 46, 88))
    beat = 60 / BPM
    return [
        Note(max(0.0, at * beat + rng.normal(0, 0.004)), 0.2, key, int(velocity + rng.normal(0, 4)))
        for at, key, velocity in sorted(strokes)
    ]


def _lead(
    font: CatalogueEntry, seconds: float, rng: np.random.Generator, hall: np.ndarray
) -> np.ndarray:
    """Return a guitar that answers the voice: broken chords in eighths."""
    notes = []
    beat = 60 / BPM
    for bar, (root, quality) in enumerate(_CHORDS):
        keys = Chord(root, quality).pitches(52)
        for eighth, degree in enumerate((0, 1, 2, 1, 0, 2, 1, 2)):
            time = (bar * 4 + eighth / 2) * beat + float(rng.uniform(0, 0.012))
            notes.append(Note(time, beat * 0.9, keys[degree], int(rng.integers(70, 95))))
    audio = amplifier(play_soundfont(font, notes, seconds, 27), rng, 14.0)
    return with_room(panned(audio, 0.45), hall, -12.0)


def _voice(seconds: float, rng: np.random.Generator) -> np.ndarray:
    beat = 60 / BPM
    notes = [Note(start * beat, length * beat, key - 7, 100) for start, length, key, _ in _SONG]
    singer = Singer(1.05, 0.1, 5.4, 28.0, 0.05, 6.0)
    syllables = [_spoken(word) for *_, word in _SONG]
    sung = sing(syllables, notes, seconds, singer, rng, first=0)
    return peaking(vocal_channel(sung, rng, beat, wet=False), 3000.0, 3.0)


def _spoken(word: str) -> Syllable:
    command = ["espeak-ng", "-v", "en-us+f3", "-s", "110", "-p", "45", "--stdout", word]
    try:
        done = subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise DataError("espeak-ng is missing; install the package espeak-ng") from error
    audio, rate = soundfile.read(io.BytesIO(done.stdout), dtype="float64")
    found = syllables_of(soxr.resample(audio, rate, 16000))
    if not found:
        raise DataError(f"espeak-ng spoke no syllable for {word!r}")
    longest = max(found, key=lambda syllable: len(syllable.voiced))
    return replace(longest, onset=min(longest.onset, 20))
