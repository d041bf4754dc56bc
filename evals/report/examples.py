"""The best and the worst song of a result, separated again for eye and ear.

In: a result, its songs, its task. Out: excerpts of mixture, reference and estimate.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from separate.errors import SeparateError
from separate.evals.data.songs import Song, SongSource
from separate.evals.tasks.stems import StemsTask, separate_loaded

_SECONDS = 10.0


@dataclass(frozen=True)
class Example:
    """One stem of one song, an excerpt; arrays are `(channels, time)`."""

    title: str
    sample_rate: int  # Hz
    mixture: np.ndarray
    reference: np.ndarray
    estimate: np.ndarray


def song_examples(
    result: Mapping[str, Any], songs: Sequence[SongSource], task: StemsTask
) -> list[Example]:
    """Separate excerpts of the best and the worst song of each stem.

    The excerpt is where the reference is loudest. Songs that the model was trained on, and those
    that cannot be read again, are left out.
    """
    metric = "SDR" if result["kind"] == "musdb" else "sdr"
    by_name = {(song.split, song.name): song for song in songs}
    examples = []
    for stem in result["stems"]:
        ranked = sorted(
            (entry["stems"][stem][metric], entry["split"], entry["song"])
            for entry in result["songs"]
            if not entry.get("seen") and entry["stems"].get(stem, {}).get(metric) is not None
        )
        chosen = [("best", ranked[-1])] if ranked else []
        chosen += [("worst", ranked[0])] if len(ranked) > 1 else []
        for word, (score, split, name) in chosen:
            source = by_name.get((split, name))
            title = f"{stem}, {word}: {name}, {score:.2f} dB"
            if source is not None:
                examples += _example(source, stem, title, task)
    return examples


def _example(source: SongSource, stem: str, title: str, task: StemsTask) -> list[Example]:
    try:
        song = loudest(source.load().with_accompaniment(), stem, _SECONDS)
        estimates = separate_loaded(song, task)
    except SeparateError:
        return []
    if stem not in estimates:
        return []
    arrays = (song.mixture, song.references[stem], estimates[stem])
    return [Example(title, song.sample_rate, *arrays)]


def loudest(song: Song, stem: str, seconds: float) -> Song:
    """Cut out the stretch in which a stem has the most energy."""
    length = min(song.mixture.shape[1], round(seconds * song.sample_rate))
    power = np.square(song.references[stem]).sum(axis=0, dtype=np.float64)
    energy = np.concatenate([[0.0], np.cumsum(power)])
    start = int(np.argmax(energy[length:] - energy[:-length]))
    cut = slice(start, start + length)
    references = {name: audio[:, cut] for name, audio in song.references.items()}
    return Song(song.name, song.sample_rate, song.mixture[:, cut], references)
