"""The effect of a query's wording on SDR, and the ROC AUC of presence.

The cost of a synonym or paraphrase is its loss of SDR against the plain label of a stem. The ROC
AUC of presence is over labels that are in a clip mixture and labels that are not.

Phrases are those that were held out of the query net's training captions, and the label in
everyday sentences. Each phrase is a free query: its mask separates it from all the rest.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from separate.evals.data.songs import Song, SongReader
from separate.evals.metrics.sdr import FRAME_SECONDS, bootstrap, median_of_frames
from separate.evals.tasks.clips import ClipMixture
from separate.evals.tasks.evaluation import Evaluation, opened_separator
from separate.evals.tasks.methods import separate_song
from separate.evals.tasks.phrases import PresencePhrase, clear_phrases, reading_scores
from separate.evals.tasks.results import SongScores
from separate.queries.presence import NOT_FOUND
from separate.queries.query import Query
from separate.queries.vocabulary import FRESH_PROBES, PROBES, label_of, labels
from separate.sdr import frame_sdr

if TYPE_CHECKING:
    from separate.separator import Separator

PARAPHRASES = ("please take out the {}", "I want to hear only {}", "extract {} from this song")
_ASKED = 12  # phrases at most that are asked of each mixture, present and absent ones each
_ABSENT = 4  # absent labels that are asked of each mixture


@dataclass(frozen=True)
class QueriesEval(Evaluation):
    """Cost of other wordings on songs, and presence on clip mixtures."""

    phrases: int = 8  # synonyms a stem at most; paraphrases are added
    seconds: float = 30.0  # of the middle of each song
    seed: int = 0  # of the absent labels that are asked for
    locked: bool = False  # ask the locked half of the phrases for presence too

    kind = "queries"

    @property
    def metric(self) -> str:
        """The metric in words."""
        return (
            f"cost = SDR(plain label) - SDR(phrase), median of {FRAME_SECONDS:g} s frames of"
            f" {self.seconds:g} s of a song, no filters, free queries; presence: ROC AUC"
        )

    def fingerprint(self) -> dict[str, Any]:
        """Return all that a song's scores depend on."""
        chosen = {"phrases": self.phrases, "excerpt_seconds": self.seconds, "seed": self.seed,
                  "locked": self.locked}  # fmt: skip
        return {**super().fingerprint(), **chosen}

    def score(self, reader: SongReader) -> SongScores:
        """Score phrases for the stems of a song, or presence in a clip mixture."""
        song = reader.load().middle(self.seconds)
        separator = opened_separator(self.method)
        stems: dict[str, Any] = {}
        presence: list[dict[str, Any]] = []
        if isinstance(reader, ClipMixture):
            present = [label_of(label).name for label in song.references]
            asked = [*present, *absent_labels(present, f"{self.seed} {song.name}")]
            _, scores = separate_song(separator, song, asked)
            presence = [{"label": a, "present": a in present, "score": scores[a]} for a in asked]
        else:
            found = [stem for stem in self.stems if stem in song.references]
            stems = {stem: self._score_phrases(song, stem, separator) for stem in found}
        sounding = getattr(reader, "labels", lambda: list(song.references))()
        return {
            "song": song.name,
            "split": reader.split,
            "seconds": song.seconds,
            "stems": {stem: entry for stem, entry in stems.items() if entry},
            "presence": presence,
            "phrases": self._ask_phrases(song, sounding, separator),
        }

    def _ask_phrases(
        self, song: Song, sounding: Sequence[str], separator: "Separator"
    ) -> list[dict[str, Any]]:
        """Ask for phrases whose source surely sounds, and as many whose source doesn't."""
        clear = {p: there for p, there in clear_phrases(sounding).items()
                 if self.locked or not p.is_locked}  # fmt: skip
        generator = random.Random(f"{self.seed} {song.name}")
        asked: list[PresencePhrase] = []
        for there in (True, False):
            some = [phrase for phrase, found in clear.items() if found == there]
            asked += generator.sample(some, min(_ASKED, len(some)))
        if not asked:
            return []
        _, scores = separate_song(separator, song, [Query(p.text, (p.text,)) for p in asked])
        return [
            {"phrase": p.text, "locked": p.is_locked, "present": clear[p], "score": scores[p.text]}
            for p in asked
        ]

    def _score_phrases(self, song: Song, stem: str, separator: "Separator") -> dict[str, Any]:
        kinds = phrases_for(stem, self.phrases)
        queries = [Query(phrase, (phrase,)) for phrase in (stem, *kinds)]
        estimates, _ = separate_song(separator, song, queries)
        frame = round(FRAME_SECONDS * song.sample_rate)
        reference = song.references[stem]
        sdr = {
            phrase: median_of_frames(frame_sdr(reference, audio, frame, self.sounding_dbfs))
            for phrase, audio in estimates.items()
        }
        if np.isnan(sdr[stem]):
            return {}
        rows = {p: {"kind": kinds[p], "sdr": sdr[p], "cost": sdr[stem] - sdr[p]} for p in kinds}
        return {"label_sdr": sdr[stem], "phrases": rows}

    def outcome(self, songs: Sequence[SongScores]) -> dict[str, Any]:
        """Average costs over songs; the ROC AUC is over all labels asked of all mixtures."""
        unseen = [entry for entry in songs if not entry.get("seen")]
        answers = [answer for entry in unseen for answer in entry["presence"]]
        present = [answer["present"] for answer in answers]
        return {
            "stems": list(self.stems),
            "summary": costs(unseen, self.stems),
            "presence": {
                "auc": roc_auc([answer["score"] for answer in answers], present),
                "present": sum(present),
                "absent": len(present) - sum(present),
            },
            "phrases": {
                half: presence_errors(
                    [
                        a
                        for entry in unseen
                        for a in entry.get("phrases", ())
                        if a["locked"] == (half == "locked")
                    ]
                )
                for half in ("open", "locked")
            },
            "reading": reading_scores(),
        }


def presence_errors(answers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Score presence of phrases: ROC AUC, and the errors at the threshold of "not found".

    Args:
        answers: `phrase`, `present`, `score` each.

    Returns:
        Also `missed`, the part of present sources that are not found, with the phrases, and
        `wrongly_found`, the part of absent ones that are.
    """
    there = [a for a in answers if a["present"]]
    absent = [a for a in answers if not a["present"]]
    missed = [a["phrase"] for a in there if a["score"] < NOT_FOUND]
    wrongly = [a["phrase"] for a in absent if a["score"] >= NOT_FOUND]
    return {
        "auc": roc_auc([a["score"] for a in answers], [a["present"] for a in answers]),
        "present": len(there),
        "absent": len(absent),
        "missed": len(missed) / len(there) if there else float("nan"),
        "wrongly_found": len(wrongly) / len(absent) if absent else float("nan"),
        "missed_phrases": missed,
        "wrongly_found_phrases": wrongly,
    }


def phrases_for(stem: str, count: int) -> dict[str, str]:
    """Return phrases for a stem with their kind, "synonym" or "paraphrase"."""
    words = [*PROBES.get(stem, ()), *FRESH_PROBES.get(stem, ())]
    chosen = dict.fromkeys(words[:count], "synonym")
    name = "other instruments" if stem == "other" else stem
    return {**chosen, **{text.format(name): "paraphrase" for text in PARAPHRASES}}


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
            "label_sdr": asdict(bootstrap([entry["label_sdr"] for entry in entries])),
            **{f"{kind}_cost": asdict(bootstrap(values)) for kind, values in kinds.items()},
            "phrases": {phrase: float(np.mean(values)) for phrase, values in phrases.items()},
        }
    return table


def absent_labels(present: Sequence[str], seed: str, count: int = _ABSENT) -> list[str]:
    """Draw labels that are not in the mixture and not related to a label that is."""
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
    """Return a label and its parents."""
    found = []
    while name is not None:
        found.append(name)
        name = table[name].parent
    return found


def roc_auc(scores: Sequence[float], present: Sequence[bool]) -> float:
    """Return the area under the ROC curve.

    Returns:
        The part of pairs in which the present source scores above the absent one, ties counted
        half; 0..1, NaN where one of the two kinds is missing.
    """
    values, truth = np.asarray(scores, float), np.asarray(present, bool)
    positive, negative = values[truth], values[~truth]
    if not positive.size or not negative.size:
        return float("nan")
    wins = (positive[:, None] > negative).sum() + 0.5 * (positive[:, None] == negative).sum()
    return float(wins / (positive.size * negative.size))
