"""AudioSet's ontology as a tree: levels (1 for the seven roots), descendants, nearest ancestors.

The ontology is Google's, under CC BY-SA 4.0; names and child relations are in `audioset.json`.
"""

from collections.abc import Collection, Iterator
from functools import lru_cache

from separate.queries import vocabulary

# Roots of subtrees that describe a sound and name no source.
NO_SOURCES = (
    "Music genre",
    "Musical concepts",
    "Music role",
    "Music mood",
    "Acoustic environment",
    "Sound reproduction",
    "Silence",
    "Other sourceless",
)


@lru_cache(maxsize=1)
def levels() -> dict[str, int]:
    """Return each node's level: 1 for a root, else one more than its highest parent's."""
    parents = vocabulary.audioset_parents()
    found: dict[str, int] = {}

    def level(name: str) -> int:
        if name not in found:
            found[name] = 1 + min(map(level, parents[name]), default=0)
        return found[name]

    for name in parents:
        level(name)
    return found


def ancestors(name: str) -> Iterator[str]:
    """Yield all nodes above one, the nearest first, each once.

    Raises:
        KeyError: There is no such node.
    """
    parents = vocabulary.audioset_parents()
    waiting, seen = list(parents[name]), set()
    while waiting:
        current = waiting.pop(0)
        if current not in seen:
            seen.add(current)
            yield current
            waiting.extend(parents[current])


@lru_cache(maxsize=1)
def rows_below() -> dict[str, tuple[int, ...]]:
    """Return for each node the taggers' rows of the classes at and below it."""
    rows: dict[str, list[int]] = {name: [] for name in vocabulary.audioset_parents()}
    for row, name in enumerate(vocabulary.audioset_classes()):
        for node in (name, *ancestors(name)):
            rows[node].append(row)
    return {name: tuple(found) for name, found in rows.items()}


def is_source(name: str) -> bool:
    """Return whether a node names a source."""
    return not {name, *ancestors(name)} & set(NO_SOURCES)


def nearest(name: str, among: Collection[str]) -> str | None:
    """Return the nearest of some nodes above one; None where there is none."""
    return next((node for node in ancestors(name) if node in among), None)
