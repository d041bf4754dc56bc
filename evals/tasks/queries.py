"""How a query's wording matters, and whether presence is told; comes in: songs or clip mixtures.

Out: what synonyms and paraphrases cost in SDR against the plain label of a stem, and the ROC AUC of
presence ("is it in the mix?") over sources that are there and sources that are not.

Phrases are those that were held out of the query net's training captions, and the label in
everyday sentences. Each phrase is a free query by itself: its mask stands against all the rest.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from separate.evals.data.songs import Song, SongSource
from separate.evals.metrics.sdr import FRAME_SECONDS, bootstrap, median_of_frames
from separate.evals.tasks.clips import ClipMixture
from separate.evals.tasks.methods import separate_song
from separate.evals.tasks.results import SongScores
from separate.evals.tasks.runner import Progress
from separate.evals.tasks.stems import StemsTask, opened_separator, run_task
from separate.queries.query import Query
from separate.queries.vocabulary import FRESH_PROBES, PROBES, label_of, labels
from separate.sdr import frame_sdr

PARAPHRASES = ("please take out the {}", "I want to hear only {}", "extract {} from this song")
_ABSENT = 4  # labels that are not in it, asked of each mixture


@dataclass(frozen=True)
class QueriesTask(StemsTask):
    """What is asked and how."""

    phrases: int = 8  # synonyms a stem at most; paraphrases come on top
    seconds: float = 30.0  # of the middle of each song
    seed: int = 0  # of the labels that are asked for though they are not there

    @property
    def metric(self) -> str:
        """The metric in words."""
        return (
            f"cost = SDR(plain label) - SDR(phrase), median of {FRAME_SECONDS:g} s frames of"
            f" {self.seconds:g} s of a song, no filters, free queries; presence: ROC AUC"
        )

    def fingerprint(self) -> dict[str, Any]:
        """What a song's scores depend on."""
        chosen = {"phrases": self.phrases, "excerpt_seconds": self.seconds, "seed": self.seed}
        return {**super().fingerprint(), **chosen}


def phrases_for(stem: str, count: int) -> dict[str, str]:
    """Return phrases for a stem with their kind, "synonym" or "paraphrase"."""
    words = [*PROBES.get(stem, ()), *FRESH_PROBES.get(stem, ())]
    chosen = dict.fromkeys(words[:count], "synonym")
    name = "other instruments" if stem == "other" else stem
    return {**chosen, **{text.format(name): "paraphrase" for text in PARAPHRASES}}


def evaluate_queries(
    songs: Sequence[SongSource],
    mixtures: Sequence[ClipMixture],
    task: QueriesTask,
    *,
    out: Path | None = None,
    resume: bool = False,
    jobs: int = 1,
    on_progress: Progress | None = None,
) -> dict[str, Any]:
    """Score phrases on songs and presence on clip mixtures; arguments as `evaluate_stems`."""
    score = partial(score_queries, task=task)
    sources: list[Any] = [*songs, *mixtures]
    run = run_task(sources, task, score, out=out, resume=resume, jobs=jobs, on_progress=on_progress)
    unseen = [entry for entry in run.songs if not entry.get("seen")]
    answers = [answer for entry in unseen for answer in entry["presence"]]
    return {
        "kind": "queries",
        "dataset": task.dataset,
        "split": task.split,
        "method": task.method.describe(),
        "mask_rule": task.method.mask_rule,
        "metric": task.metric,
        "stems": list(task.stems),
        "summary": costs(unseen, task.stems),
        "presence": {
            "auc": roc_auc([a["score"] for a in answers], [a["present"] for a in answers]),
            "present": sum(a["present"] for a in answers),
            "absent": sum(not a["present"] for a in answers),
        },
        "failed": run.failed,
        "songs": run.songs,
    }


def costs(scores: Sequence[SongScores], stems: Sequence[str]) -> dict[str, Any]:
    """Average over songs: SDR of the label, and cost by kind of phrase and by phrase."""
    table: dict[str, Any] = {}
    for stem in stems:
        entries = [song["stems"][stem] for song in scores if stem in song["stems"]]
        kinds: dict[str, list[float]] = {"synonym": [], "paraphrase": []}
        phrases: dict[str, list[float]] = {}
        for entry in entries:
            for phrase, value in entry["phrases"].items():
                phrases.setdefault(phrase, []).append(value["cost"])
            for kind, values in kinds.items():
                found = [v["cost"] for v in entry["phrases"].values() if v["kind"] == kind]
                values.append(float(np.mean(found)) if found else float("nan"))
        table[stem] = {
            "label_sdr": bootstrap([entry["label_sdr"] for entry in entries]).__dict__,
            **{f"{kind}_cost": bootstrap(values).__dict__ for kind, values in kinds.items()},
            "phrases": {phrase: float(np.mean(values)) for phrase, values in phrases.items()},
        }
    return table


def score_queries(source: Any, task: QueriesTask) -> SongScores:
    """Ask a song or a clip mixture: phrases for its stems, labels that are there and are not."""
    song = middle(source.load(), task.seconds)
    separator = opened_separator(task.method)
    stems: dict[str, Any] = {}
    presence: list[dict[str, Any]] = []
    if isinstance(source, ClipMixture):
        here = [label_of(label).name for label in song.references]
        asked = [*here, *absent_labels(here, f"{task.seed} {song.name}")]
        _, likely = separate_song(separator, song, asked)
        presence = [{"label": a, "present": a in here, "score": likely[a]} for a in asked]
    else:
        for stem in task.stems:
            if stem in song.references:
                stems[stem] = _score_phrases(song, stem, separator, task)
    return {
        "song": song.name,
        "split": source.split,
        "seconds": song.seconds,
        "stems": {stem: entry for stem, entry in stems.items() if entry},
        "presence": presence,
    }


def _score_phrases(song: Song, stem: str, separator: Any, task: QueriesTask) -> dict[str, Any]:
    kinds = phrases_for(stem, task.phrases)
    queries = [Query(phrase, (phrase,)) for phrase in (stem, *kinds)]
    estimates, _ = separate_song(separator, song, queries)
    frame = round(FRAME_SECONDS * song.sample_rate)
    reference = song.references[stem]
    sdr = {
        phrase: median_of_frames(frame_sdr(reference, audio, frame, task.sounding_dbfs))
        for phrase, audio in estimates.items()
    }
    if np.isnan(sdr[stem]):
        return {}
    rows = {p: {"kind": kinds[p], "sdr": sdr[p], "cost": sdr[stem] - sdr[p]} for p in kinds}
    return {"label_sdr": sdr[stem], "phrases": rows}


def middle(song: Song, seconds: float) -> Song:
    """Cut the middle out of a song."""
    length = min(song.mixture.shape[1], round(seconds * song.sample_rate))
    start = (song.mixture.shape[1] - length) // 2
    cut = slice(start, start + length)
    references = {stem: audio[:, cut] for stem, audio in song.references.items()}
    return Song(song.name, song.sample_rate, song.mixture[:, cut], references)


def absent_labels(present: Sequence[str], seed: str, count: int = _ABSENT) -> list[str]:
    """Draw labels of which none is in the mixture, nor above or below one that is."""
    table = labels()
    lines = {name: set(_line(name, table)) for name in table}
    related = set().union(*(lines[name] for name in present))
    free = [
        name
        for name in table
        if name not in related and name != "silence" and not lines[name] & set(present)
    ]
    return random.Random(seed).sample(free, count)


def _line(name: str | None, table: Mapping[str, Any]) -> list[str]:
    """A label and its parents."""
    found = []
    while name is not None:
        found.append(name)
        name = table[name].parent
    return found


def roc_auc(scores: Sequence[float], present: Sequence[bool]) -> float:
    """How often a source that is there scores above one that is not; ties count half.

    Returns:
        0..1, NaN where one of the two kinds is missing.
    """
    values, truth = np.asarray(scores, float), np.asarray(present, bool)
    positive, negative = values[truth], values[~truth]
    if not positive.size or not negative.size:
        return float("nan")
    wins = (positive[:, None] > negative).sum() + 0.5 * (positive[:, None] == negative).sum()
    return float(wins / (positive.size * negative.size))
