"""Phrases with what they mean and name: data files that anybody can extend.

`meanings.txt` holds what users type and how it must be read; `presence.txt` phrases for labels, of
which every second one is locked: it chooses nothing and is only scored.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

from separate.errors import QueryError
from separate.queries.grammar import parse_meaning
from separate.queries.vocabulary import STEMS, ancestors, label_of, labels

ASKED_BACK = "?"
_KIT = ("kick", "snare", "hi-hat", "cymbals")  # that every drum kit of a song has
_VOICES = ("vocals", "speech")  # one kind can't be told from the others: never clearly absent


@dataclass(frozen=True)
class PresencePhrase:
    """A phrase for a label."""

    text: str
    label: str
    is_locked: bool  # it is only scored


@lru_cache(maxsize=1)
def meanings() -> dict[str, list[tuple[str, str]]]:
    """Return phrases and their meanings by kind."""
    table: dict[str, list[tuple[str, str]]] = {}
    for line in _lines("meanings.txt"):
        if line.startswith("## "):
            kind = table.setdefault(line.removeprefix("## "), [])
        elif not line.startswith("#"):
            phrase, meaning = (part.strip() for part in line.split("|"))
            kind.append((phrase, meaning))
    return table


@lru_cache(maxsize=1)
def presence_phrases() -> tuple[PresencePhrase, ...]:
    """Return all phrases for labels, in the file's order."""
    rows = (line.split("|") for line in _lines("presence.txt") if not line.startswith("#"))
    return tuple(
        PresencePhrase(text.strip(), label.strip(), bool(number % 2))
        for number, (text, label) in enumerate(rows)
    )


def reading_scores() -> dict[str, dict[str, Any]]:
    """Return for each kind of phrase how many are read as they must be, and which are not."""
    scores: dict[str, dict[str, Any]] = {}
    for kind, rows in meanings().items():
        wrong = [phrase for phrase, meaning in rows if _read(phrase) != meaning]
        scores[kind] = {"phrases": len(rows), "right": len(rows) - len(wrong), "wrong": wrong}
    return scores


def clear_phrases(sounding: Sequence[str]) -> dict[PresencePhrase, bool]:
    """Return the phrases whose source is surely in a mixture, or surely not.

    Args:
        sounding: Labels of all that sounds, in a data set's spelling.
    """
    known = {label_of(name).name for name in sounding if _is_label(name)}
    present = {name for label in known for name in ancestors(label)} - {"music"}
    if "drums" in present:
        present.update(_KIT)
    has_unknown = bool(known & {"other", "effects", "synth"}) or len(known) < len(sounding)
    found = {}
    for phrase in presence_phrases():
        line = set(ancestors(phrase.label))
        if phrase.label in present:
            found[phrase] = True
        elif not _may_be(line, present, has_unknown):
            found[phrase] = False
    return found


def _may_be(line: set[str], present: set[str], has_unknown: bool) -> bool:
    """Whether something that sounds may be this label, by a parent that is no root."""
    roots = {name for name, label in labels().items() if label.parent is None}
    voices = bool(line & set(_VOICES)) and bool(present & set(_VOICES))
    shared = (line & present) - roots - {"other"}
    return voices or bool(shared) or ("other" in line and has_unknown)


def _is_label(name: str) -> bool:
    try:
        return label_of(name).name != STEMS[3]
    except KeyError:
        return False


def _read(phrase: str) -> str:
    try:
        return str(parse_meaning(phrase))
    except QueryError:
        return ASKED_BACK


def _lines(name: str) -> Iterator[str]:
    text = files("separate.evals.tasks").joinpath(name).read_text(encoding="utf-8")
    return (line for line in text.splitlines() if line.strip())
