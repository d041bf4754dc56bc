"""GNSDR, GSIR and GSAR of a binary-mask model for each of several thresholds, on MIR-1K.

The likelihoods of a clip are computed once for all thresholds.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from separate.evals.tasks.mir1k import METRICS, SOURCES, KaraokeClip, pair_scores
from separate.evals.tasks.runner import Progress
from separate.insides import VoiceFinder


def sweep(
    clips: Sequence[KaraokeClip],
    model: str,
    thresholds: Sequence[float],
    on_progress: Progress | None = None,
) -> dict[str, Any]:
    """Score every threshold on every clip; the accompaniment is mixture minus voice.

    Args:
        clips: Clips; those of the training singers to choose a threshold.
        model: Name or path of a model of `separate train ibm`.
        thresholds: Thresholds to score.
        on_progress: Called after each clip.

    Raises:
        CheckpointError: There is no such model.
        SettingsError: The model is of another kind.
    """
    finder = VoiceFinder(model)
    scored: dict[float, list[dict[str, float]]] = {threshold: [] for threshold in thresholds}
    for done, clip in enumerate(clips):
        song = clip.load()
        found = finder.find(song.mixture, song.sample_rate)
        for threshold in thresholds:
            voice = found.voice(threshold)
            if scores := pair_scores(song, [voice, song.mixture - voice]):
                scored[threshold].append({**scores[SOURCES[0]], "seconds": song.seconds})
        if on_progress:
            on_progress(done + 1, len(clips), clip.name)
    rows = [
        {
            "threshold": threshold,
            "silent": len(clips) - len(entries),  # clips whose estimate is silent
            **{f"g{metric}": _mean(entries, metric) for metric in METRICS},
        }
        for threshold, entries in scored.items()
    ]
    return {
        "kind": "thresholds", "model": finder.name, "clips": len(clips), "rows": rows,
        "songs": [], "failed": [],
    }  # fmt: skip


def _mean(entries: Sequence[Mapping[str, float]], metric: str) -> float:
    """Average over clips, weighted by their length; NaN without clips."""
    weights = [entry["seconds"] for entry in entries]
    values = [entry[metric] for entry in entries]
    return float(np.average(values, weights=weights)) if entries else math.nan
