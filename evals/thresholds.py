"""Which threshold suits a binary-mask model: the likelihoods once, the scores for each threshold.

In: clips of MIR-1K and a model. Out: GNSDR, GSIR and GSAR of the voice by threshold, as
`separate.evals.mir1k` has them.
"""

from collections.abc import Sequence
from typing import Any

from separate.evals.mir1k import METRICS, Clip, pair_scores
from separate.evals.runner import Progress
from separate.evals.table import Result, Table, number
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
    sums = {threshold: dict.fromkeys(METRICS, 0.0) for threshold in thresholds}
    total = 0.0
    for done, clip in enumerate(clips):
        song = clip.load()
        found = finder.listen(song.mixture, song.sample_rate)
        total += song.seconds
        for threshold in thresholds:
            voice = found.voice(threshold)
            scores = pair_scores(song, [voice, song.mixture - voice])[0]
            for metric in METRICS:
                sums[threshold][metric] += scores[metric] * song.seconds
        if on_progress:
            on_progress(done + 1, len(clips), clip.name)
    rows = [
        {"threshold": threshold, **{f"g{key}": value / total for key, value in row.items()}}
        for threshold, row in sums.items()
    ]
    return {
        "kind": "thresholds", "model": finder.name, "clips": len(clips), "rows": rows,
        "songs": [], "failed": [],
    }  # fmt: skip


def thresholds_table(results: Sequence[Result]) -> Table:
    """A threshold a row."""
    header = ("model", "threshold", *(f"G{metric.upper()}" for metric in METRICS))
    rows = [
        (
            result["model"],
            number(row["threshold"], 2),
            *(number(row[f"g{metric}"], 2) for metric in METRICS),
        )
        for result in results
        for row in result["rows"]
    ]
    clips = ", ".join(str(result["clips"]) for result in results)
    note = f"Voice, {clips} clips; BSS Eval v3, means weighted by length. dB."
    return Table("Thresholds", header, tuple(rows), note)
