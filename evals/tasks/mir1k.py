"""MIR-1K: karaoke clips, voice against accompaniment; the metric of the ideal-binary-mask papers.

The data set is a folder with `vocals/` and `accompaniment/`; the two files of a clip have the same
name. iKala (`Wavfile/`: the accompaniment left, the voice right) and DSD100 (`Sources/`, mixed down
to mono) are read too. GNSDR, GSIR and GSAR are means over clips weighted by their length, of BSS
Eval v3 (`bss_eval_sources`, one frame a clip, 512 taps); NSDR = SDR(estimate) - SDR(mixture).

The mixture is the sum of the files at 0 dB. In the published split, the 825 clips of 17 singers are
the test set, and the clips of `abjones` and `amy` are for training.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from separate.audio import read_audio
from separate.corpus.sources.convert import IKALA, IKALA_CHANNELS, TRAIN_SINGERS
from separate.errors import DataError
from separate.evals.data.layouts import audio_files
from separate.evals.data.songs import (
    ACCOMPANIMENT,
    Song,
    SongReader,
    align,
    sum_parts,
)
from separate.evals.metrics.bss_filters import bss_eval
from separate.evals.tasks.evaluation import Evaluation, read_and_separate
from separate.evals.tasks.results import SongScores
from separate.queries.vocabulary import STEMS

SOURCES = ("vocals", ACCOMPANIMENT)
METRICS = ("nsdr", "sdr", "sir", "sar")


Part = tuple[Path, int | None]  # an audio file, and its channel; None: all


@dataclass(frozen=True)
class KaraokeClip:
    """One karaoke clip, or a song, as a voice and its accompaniment."""

    name: str  # in MIR-1K: singer, song and number
    split: str
    vocals: tuple[Part, ...]  # that sum to the voice
    accompaniment: tuple[Part, ...]

    @property
    def singer(self) -> str:
        """Name of the singer."""
        return singer_of(self.name)

    def load(self) -> Song:
        """Read both sources, mono.

        Raises:
            InputError: A file is damaged.
            DataError: Their rates differ.
        """
        sounds, rates = zip(*map(_mono, (*self.vocals, *self.accompaniment)), strict=True)
        if len(set(rates)) != 1:
            found = ", ".join(str(rate) for rate in sorted(set(rates)))
            raise DataError(f"{self.name}: its files differ in sample rate ({found} Hz)")
        mono = align(sounds)
        parts = mono[: len(self.vocals)], mono[len(self.vocals) :]
        references = dict(zip(SOURCES, map(sum_parts, parts), strict=True))
        return Song(self.name, rates[0], sum_parts(mono), references)


def _mono(part: Part) -> tuple[np.ndarray, int]:
    """Read `(1, time)` and the rate."""
    path, channel = part
    audio, rate = read_audio(path)
    chosen = audio if channel is None else audio[channel : channel + 1]
    return chosen.mean(axis=0, keepdims=True), rate


def singer_of(clip: str) -> str:
    """Return a clip's singer: its name up to the first underscore."""
    return clip.split("_")[0]


def find_clips(
    path: Path, split: str | None = "test", singers: Sequence[str] = ()
) -> list[KaraokeClip]:
    """List the clips of MIR-1K or iKala, or the songs of DSD100, without reading them.

    Args:
        path: The folder that holds `vocals` and `accompaniment`, or `Wavfile`, or `Sources`.
        split: "test", "train", or None for both; iKala, which has none, is all test.
        singers: Names of singers; empty for all.

    Raises:
        DataError: A folder is missing, or no clip is found.
    """
    path = Path(path)
    if (path / IKALA).is_dir():
        clips = _ikala(path / IKALA)
    elif all((path / source).is_dir() for source in SOURCES):
        clips = _mir1k(path)
    elif (path / "Sources").is_dir():
        clips = _dsd100(path / "Sources")
    else:
        raise DataError(
            f"{path}: expected the folders {SOURCES[0]} and {SOURCES[1]} (MIR-1K), {IKALA} (iKala)"
            " or Sources (DSD100) there"
        )
    clips = [clip for clip in clips if split is None or clip.split == split]
    clips = [clip for clip in clips if not singers or clip.singer in singers]
    if not clips:
        raise DataError(f"{path}: no clip of split {split!r} has all its files")
    return clips


def _mir1k(path: Path) -> list[KaraokeClip]:
    voices, rests = ({file.stem: file for file in audio_files(path / s)} for s in SOURCES)
    return [
        KaraokeClip(
            name,
            "train" if singer_of(name) in TRAIN_SINGERS else "test",
            ((voices[name], None),),
            ((rests[name], None),),
        )
        for name in sorted(set(voices) & set(rests))
    ]


def _ikala(folder: Path) -> list[KaraokeClip]:
    rest, voice = IKALA_CHANNELS["rest"], IKALA_CHANNELS["vocals"]
    return [
        KaraokeClip(file.stem, "test", ((file, voice),), ((file, rest),))
        for file in audio_files(folder)
    ]


def _dsd100(sources: Path) -> list[KaraokeClip]:
    """List its songs: a folder of four stems each, below `Dev` and `Test`."""
    clips = []
    for split in ("Dev", "Test"):
        for song in sorted((sources / split).glob("*/")):
            files: dict[str, Part] = {file.stem: (file, None) for file in audio_files(song)}
            if set(files) == set(STEMS):
                voice = files.pop("vocals")
                name = "test" if split == "Test" else "train"
                clips.append(KaraokeClip(song.name, name, (voice,), tuple(files.values())))
    return clips


@dataclass(frozen=True)
class Mir1kEval(Evaluation):
    """Voice and accompaniment of karaoke clips."""

    kind = "mir1k"

    @property
    def metric(self) -> str:
        """The metric in words."""
        return (
            "BSS Eval v3 (bss_eval_sources, 512 taps, a clip at once);"
            " NSDR = SDR - SDR of the mixture; G: mean over clips weighted by length"
        )

    def score(self, reader: SongReader) -> SongScores:
        """Score voice and accompaniment against each other."""
        song, estimates, head = read_and_separate(reader, self)
        stems = pair_scores(song, [estimates[name] for name in SOURCES])
        return {
            **head,
            "singer": singer_of(reader.name),
            "missing": [name for name in SOURCES if name not in stems],
            "stems": {
                name: {key: value if np.isfinite(value) else None for key, value in entry.items()}
                for name, entry in stems.items()
            },
        }

    def outcome(self, songs: Sequence[SongScores]) -> dict[str, Any]:
        """Average over clips; clips that the model was trained on are averaged by themselves."""
        unseen = [clip for clip in songs if not clip.get("seen")]
        seen = [clip for clip in songs if clip.get("seen")]
        summary = weighted(unseen) | ({"seen": weighted(seen)} if seen else {})
        return {"stems": list(SOURCES), "summary": summary}


def weighted(clips: Sequence[SongScores]) -> dict[str, Any]:
    """Average over clips by their length: GNSDR, GSDR, GSIR, GSAR by source."""
    return {
        source: {
            f"g{metric}": _average(
                [(clip["stems"].get(source, {}).get(metric), clip["seconds"]) for clip in clips]
            )
            for metric in METRICS
        }
        for source in SOURCES
    }


def _average(values: Sequence[tuple[float | None, float]]) -> dict[str, Any]:
    """Average values with weights; None and NaN are left out."""
    pairs = [(v, weight) for v, weight in values if v is not None and math.isfinite(v)]
    total = sum(weight for _, weight in pairs)
    mean = sum(value * weight for value, weight in pairs) / total if pairs else math.nan
    return {"mean": mean, "low": None, "high": None, "songs": len(pairs)}


def pair_scores(song: Song, guesses: Sequence[np.ndarray]) -> dict[str, dict[str, float]]:
    """Score voice and accompaniment against each other.

    Args:
        song: A clip with both references.
        guesses: Estimates `(1, time)`, in the order of `SOURCES`.

    Returns:
        `METRICS` by source; empty where a reference or an estimate is silent.
    """
    references = [song.references[name] for name in SOURCES]
    if not all(array.any() for array in (*references, *guesses)):
        return {}
    before = bss_eval(references, [song.mixture] * 2, allow_filter=True)
    found = bss_eval(references, list(guesses), allow_filter=True)
    rows = (found.sdr - before.sdr, found.sdr, found.sir, found.sar)
    return {
        name: {metric: row[index, 0] for metric, row in zip(METRICS, rows, strict=True)}
        for index, name in enumerate(SOURCES)
    }
