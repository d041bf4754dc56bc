"""Which threshold suits a binary-mask model: the likelihoods once, the scores for each threshold.

In: clips of MIR-1K and a model. Out: GNSDR, GSIR and GSAR of the voice by threshold, as
`separate.evals.tasks.mir1k` has them.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from separate.evals.report.table import Result, Table, number
from separate.evals.tasks.mir1k import METRICS, SOURCES, Clip, pair_scores
from separate.evals.tasks.runner import Progress
from separate.insides import VoiceFinder


def sweep(
    clips: Sequence[Clip],
    model: str,
    thresholds: Sequence[float],
    on_progress: Progress | None = None,
) -> dict[str, Any]:
    """Score every threshold on every clip; what falls out of the voice is the accompaniment.

    Args:
        clips: Of the training singers, if a threshold is to be chosen.
        model: Name or path of a model of `separate train ibm`.
        thresholds: To try.
        on_progress: Called after each clip.

    Raises:
        CheckpointError: There is no such model.
        SettingsError: It is of another kind.
    """
    finder = VoiceFinder(model)
    scored: dict[float, list[dict[str, float]]] = {threshold: [] for threshold in thresholds}
    for done, clip in enumerate(clips):
        song = clip.load()
        found = finder.listen(song.mixture, song.sample_rate)
        for threshold in thresholds:
            voice = found.voice(threshold)
            if scores := pair_scores(song, [voice, song.mixture - voice]):
                scored[threshold].append({**scores[SOURCES[0]], "seconds": song.seconds})
        if on_progress:
            on_progress(done + 1, len(clips), clip.name)
    rows = [
        {
            "threshold": threshold,
            "silent": len(clips) - len(entries),  # clips of which nothing is left
            **{f"g{metric}": _mean(entries, metric) for metric in METRICS},
        }
        for threshold, entries in scored.items()
    ]
    return {
        "kind": "thresholds", "model": finder.name, "clips": len(clips), "rows": rows,
        "songs": [], "failed": [],
    }  # fmt: skip


def _mean(entries: Sequence[Mapping[str, float]], metric: str) -> float:
    """Average over clips by their length; NaN where there are none."""
    weights = [entry["seconds"] for entry in entries]
    values = [entry[metric] for entry in entries]
    return float(np.average(values, weights=weights)) if entries else math.nan


def thresholds_table(results: Sequence[Result]) -> Table:
    """A threshold a row."""
    header = ("model", "threshold", *(f"G{metric.upper()}" for metric in METRICS), "silent")
    rows = [
        (
            result["model"],
            number(row["threshold"], 2),
            *(number(row[f"g{metric}"], 2) for metric in METRICS),
            str(row["silent"]),
        )
        for result in results
        for row in result["rows"]
    ]
    clips = ", ".join(str(result["clips"]) for result in results)
    note = (
        f"Voice, {clips} clips; BSS Eval v3, means weighted by length, without clips of which"
        " nothing is left (silent). dB."
    )
    return Table("Thresholds", header, tuple(rows), note)
