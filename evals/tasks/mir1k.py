"""MIR-1K: karaoke clips, voice against accompaniment; the metric of the ideal-binary-mask papers.

The data set is a folder with `vocals/` and `accompaniment/`; the two files of a clip have the same
name. GNSDR, GSIR and GSAR are means over clips weighted by their length, of BSS Eval v3
(`bss_eval_sources`, one frame a clip, 512 taps); NSDR = SDR(estimate) - SDR(mixture).

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
from separate.errors import DataError
from separate.evals.data.songs import (
    ACCOMPANIMENT,
    Song,
    SongReader,
    align,
    audio_files,
    sum_parts,
)
from separate.evals.metrics.bss_filters import bss_eval
from separate.evals.tasks.evaluation import Evaluation, read_and_separate
from separate.evals.tasks.results import SongScores

TRAIN_SINGERS = ("abjones", "amy")
SOURCES = ("vocals", ACCOMPANIMENT)
METRICS = ("nsdr", "sdr", "sir", "sar")


@dataclass(frozen=True)
class KaraokeClip:
    """One karaoke clip."""

    vocals: Path
    accompaniment: Path

    @property
    def name(self) -> str:
        """Singer, song and number."""
        return self.vocals.stem

    @property
    def singer(self) -> str:
        """Name of the singer."""
        return singer_of(self.name)

    @property
    def split(self) -> str:
        """Split of the published division."""
        return "train" if self.singer in TRAIN_SINGERS else "test"

    def load(self) -> Song:
        """Read both sources, mono.

        Raises:
            InputError: A file is damaged.
            DataError: Their rates differ.
        """
        parts, rates = zip(*map(read_audio, (self.vocals, self.accompaniment)), strict=True)
        if len(set(rates)) != 1:
            raise DataError(f"{self.name}: voice at {rates[0]} Hz, accompaniment at {rates[1]}")
        mono = align([part.mean(axis=0, keepdims=True) for part in parts])
        references = dict(zip(SOURCES, mono, strict=True))
        return Song(self.name, rates[0], sum_parts(mono), references)


def singer_of(clip: str) -> str:
    """Return a clip's singer: its name up to the first underscore."""
    return clip.split("_")[0]


def find_clips(
    path: Path, split: str | None = "test", singers: Sequence[str] = ()
) -> list[KaraokeClip]:
    """List the clips of MIR-1K without reading them.

    Args:
        path: The folder that holds `vocals` and `accompaniment`.
        split: "test", "train", or None for both.
        singers: Names of singers; empty for all.

    Raises:
        DataError: A folder is missing, or no clip is found.
    """
    folders = [Path(path) / source for source in SOURCES]
    if not all(folder.is_dir() for folder in folders):
        raise DataError(f"{path}: expected the folders {SOURCES[0]} and {SOURCES[1]} there")
    voices, rests = ({file.stem: file for file in audio_files(folder)} for folder in folders)
    clips = [KaraokeClip(voices[name], rests[name]) for name in sorted(voices) if name in rests]
    clips = [clip for clip in clips if split is None or clip.split == split]
    clips = [clip for clip in clips if not singers or clip.singer in singers]
    if not clips:
        raise DataError(f"{path}: no clip of split {split!r} has both its files")
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
