"""MIR-1K: karaoke clips, voice against accompaniment; the metric of the ideal-binary-mask papers.

In: a folder with `vocals/` and `accompaniment/`, the same base name in both for one clip, and a
method. Out: GNSDR, GSIR and GSAR, the means over clips weighted by their length, of BSS Eval v3
(`bss_eval_sources`, one frame a clip, 512 taps); NSDR = SDR(estimate) - SDR(mixture).

The mixture is the sum at 0 dB, as the files are. Published split: the 825 clips of 17 singers are
the test, those of `abjones` and `amy` are for training.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from separate.audio import read_audio
from separate.errors import DataError
from separate.evals.data.songs import ACCOMPANIMENT, Song, align, audio_files, sum_parts
from separate.evals.metrics.bss_filters import bss_eval
from separate.evals.tasks.results import SongScores
from separate.evals.tasks.runner import Progress
from separate.evals.tasks.stems import StemsTask, run_task, separate_source

TRAIN_SINGERS = ("abjones", "amy")
SOURCES = ("vocals", ACCOMPANIMENT)
METRICS = ("nsdr", "sdr", "sir", "sar")


@dataclass(frozen=True)
class Clip:
    """One karaoke clip."""

    vocals: Path
    accompaniment: Path

    @property
    def name(self) -> str:
        """Singer, song and number."""
        return self.vocals.stem

    @property
    def singer(self) -> str:
        """The name before the first underscore."""
        return self.name.split("_")[0]

    @property
    def split(self) -> str:
        """Its side of the published split."""
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


def find_clips(path: Path, split: str | None = "test", singers: Sequence[str] = ()) -> list[Clip]:
    """List the clips of MIR-1K without reading them.

    Args:
        path: The folder that holds `vocals` and `accompaniment`.
        split: "test", "train", or None for both.
        singers: Only these; none takes all.

    Raises:
        DataError: The folders are not there, or no clip is left.
    """
    folders = [Path(path) / source for source in SOURCES]
    if not all(folder.is_dir() for folder in folders):
        raise DataError(f"{path}: expected the folders {SOURCES[0]} and {SOURCES[1]} there")
    voices, rests = ({file.stem: file for file in audio_files(folder)} for folder in folders)
    clips = [Clip(voices[name], rests[name]) for name in sorted(voices) if name in rests]
    clips = [clip for clip in clips if split is None or clip.split == split]
    clips = [clip for clip in clips if not singers or clip.singer in singers]
    if not clips:
        raise DataError(f"{path}: no clip of split {split!r} has both its files")
    return clips


@dataclass(frozen=True)
class Mir1kTask(StemsTask):
    """What is scored and how."""

    @property
    def metric(self) -> str:
        """The metric in words."""
        return (
            "BSS Eval v3 (bss_eval_sources, 512 taps, a clip at once);"
            " NSDR = SDR - SDR of the mixture; G: mean over clips weighted by length"
        )


def evaluate_mir1k(
    clips: Sequence[Clip],
    task: Mir1kTask,
    *,
    out: Path | None = None,
    resume: bool = False,
    jobs: int = 1,
    on_progress: Progress | None = None,
) -> dict[str, Any]:
    """Score clips; arguments as `evaluate_stems`."""
    score = partial(score_clip, task=task)
    run = run_task(clips, task, score, out=out, resume=resume, jobs=jobs, on_progress=on_progress)
    unseen = [clip for clip in run.songs if not clip.get("seen")]
    seen = [clip for clip in run.songs if clip.get("seen")]
    return {
        "kind": "mir1k",
        "dataset": task.dataset,
        "split": task.split,
        "method": task.method.describe(),
        "mask_rule": task.method.mask_rule,
        "metric": task.metric,
        "stems": list(SOURCES),
        "summary": weighted(unseen) | ({"seen": weighted(seen)} if seen else {}),
        "failed": run.failed,
        "songs": run.songs,
    }


def weighted(clips: Sequence[SongScores]) -> dict[str, Any]:
    """Average over clips by their length: GNSDR, GSDR, GSIR, GSAR by source."""
    table: dict[str, Any] = {}
    for source in SOURCES:
        entry: dict[str, Any] = {}
        for metric in METRICS:
            pairs = [
                (clip["stems"][source][metric], clip["seconds"])
                for clip in clips
                if source in clip["stems"] and _is_number(clip["stems"][source][metric])
            ]
            total = sum(seconds for _, seconds in pairs)
            mean = sum(value * seconds for value, seconds in pairs) / total if pairs else math.nan
            entry[f"g{metric}"] = {"mean": mean, "low": None, "high": None, "songs": len(pairs)}
        table[source] = entry
    return table


def _is_number(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def pair_scores(song: Song, guesses: Sequence[np.ndarray]) -> dict[str, dict[str, float]]:
    """Score voice and accompaniment against each other.

    Args:
        song: A clip with both references.
        guesses: Estimates `(1, time)`, in the order of `SOURCES`.

    Returns:
        `METRICS` by source; nothing where a reference or an estimate is silent.
    """
    references = [song.references[name] for name in SOURCES]
    if not all(array.any() for array in (*references, *guesses)):
        return {}
    before = bss_eval(references, [song.mixture] * 2, allow_filter=True)
    found = bss_eval(references, list(guesses), allow_filter=True)
    return {
        name: {
            "nsdr": found.sdr[index, 0] - before.sdr[index, 0],
            "sdr": found.sdr[index, 0],
            "sir": found.sir[index, 0],
            "sar": found.sar[index, 0],
        }
        for index, name in enumerate(SOURCES)
    }


def score_clip(source: Clip, task: Mir1kTask) -> SongScores:
    """Separate a clip and score voice and accompaniment against each other."""
    song, estimates, seconds = separate_source(source, task)
    stems = pair_scores(song, [estimates[name] for name in SOURCES])
    return {
        "song": song.name,
        "split": source.split,
        "singer": source.singer,
        "seconds": song.seconds,
        "separation_seconds": seconds,
        "missing": [name for name in SOURCES if name not in stems],
        "stems": {
            name: {key: value if np.isfinite(value) else None for key, value in entry.items()}
            for name, entry in stems.items()
        },
    }
