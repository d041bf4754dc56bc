"""Select what an automatic separation separates: a tree of sources from a tagger's likelihoods.

The result is nodes of AudioSet's ontology at the chosen levels, each with its query, its parent and
the blocks in which it sounds.

A node has the likelihood of the likeliest class at or below it; its query consists of the classes
found there (USS sets all others to zero). Siblings whose queries or sounds are alike are merged,
and of a node with a single child only the child is written.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from separate.auto.tagging import THRESHOLD, TagLikelihoods
from separate.errors import SettingsError
from separate.queries import ontology, vocabulary
from separate.queries.query import Query

DEEPEST = 6
_PHRASES = 4  # classes that make a node's query
_JOINER = " + "


@dataclass(frozen=True)
class AutoOptions:
    """How the tree is walked."""

    levels: tuple[int, ...] = (1, 2, 3)  # of the ontology, 1 (seven nodes) to 6
    threshold: float = THRESHOLD  # likelihood from which a node sounds in a block
    most: int = 12  # sources that are written, the likeliest
    tagger: str | None = None  # name or path; None: the one that ships

    def __post_init__(self) -> None:
        """Check every field.

        Raises:
            SettingsError: One is out of its range; the message says what to give.
        """
        if not self.levels or not all(1 <= level <= DEEPEST for level in self.levels):
            raise SettingsError(f"--levels: give numbers of 1 to {DEEPEST}, for example 1,2,3")
        if not 0 < self.threshold <= 1:
            raise SettingsError(f"--threshold {self.threshold}: more than 0, and at most 1")
        if not 1 <= self.most <= 100:
            raise SettingsError(f"--max-sources {self.most}: give 1 to 100")


@dataclass(frozen=True, eq=False)
class Node:
    """Something that sounds."""

    name: str  # of the ontology; joined where several became one
    level: int
    parent: str | None  # name of the nearest node above that is in the tree
    likelihood: float  # of its likeliest block, 0..1
    curve: np.ndarray  # (blocks,) likelihood
    active: np.ndarray  # (blocks,) bool: where it sounds
    classes: tuple[str, ...]  # found at and below it, likeliest first
    merged: tuple[str, ...] = ()  # nodes that were merged into it
    is_written: bool = True  # False: only a folder, as its one child is the same source

    @property
    def query(self) -> Query:
        """The query that separates it."""
        spoken = dict.fromkeys(map(vocabulary.spoken, self.classes[:_PHRASES]))
        return Query(self.name, tuple(spoken))


def sounding_nodes(track: TagLikelihoods, options: AutoOptions) -> list[Node]:
    """Return the nodes that sound, parents before children."""
    names = vocabulary.audioset_classes()
    best = track.likelihoods.max(axis=0)
    found: dict[str, Node] = {}
    chosen = {
        name: level
        for name, level in ontology.levels().items()
        if level in options.levels and ontology.is_source(name)
    }
    for name, level in sorted(chosen.items(), key=lambda item: item[1]):
        rows = [
            row
            for row in ontology.rows_below()[name]
            if best[row] >= options.threshold and ontology.is_source(names[row])
        ]
        if rows:
            rows.sort(key=lambda row: -best[row])
            curve = track.likelihoods[:, rows].max(axis=1)
            active = curve >= options.threshold
            parent = ontology.nearest(name, found)
            classes = tuple(names[row] for row in rows)
            found[name] = Node(name, level, parent, float(best[rows[0]]), curve, active, classes)
    return list(found.values())


def limited(nodes: Sequence[Node], most: int) -> list[Node]:
    """Keep the likeliest nodes, parents before children, so that at most `most` are written."""
    order = sorted(nodes, key=lambda node: (-node.likelihood, node.level))
    for count in range(len(order), -1, -1):
        kept = {node.name for node in order[:count]}
        tree = without_doubles([node for node in nodes if node.name in kept])
        if sum(node.is_written for node in tree) <= most:
            return tree
    return []


def without_doubles(nodes: Sequence[Node]) -> list[Node]:
    """Leave of a node with a single child only the child to be written."""
    children = [node.parent for node in nodes]
    return [replace(node, is_written=children.count(node.name) != 1) for node in nodes]


def merged(
    nodes: Sequence[Node], likeness: Mapping[tuple[str, str], float], least: float
) -> list[Node]:
    """Merge siblings that are alike; the children of all become those of one.

    Args:
        nodes: The tree, parents before children.
        likeness: Of pairs of written nodes by name, -1..1; pairs that are missing are not alike.
        least: Likeness from which two are one.
    """
    kept: list[Node] = []
    became: dict[str, str] = {}
    for node in sorted(nodes, key=lambda n: (n.level, -n.likelihood)):
        parent = became.get(node.parent, node.parent) if node.parent else None
        node = replace(node, parent=parent)
        twin = next(
            (
                place
                for place, other in enumerate(kept)
                if other.parent == parent
                and any(
                    max(likeness.get((n, node.name), -1), likeness.get((node.name, n), -1)) >= least
                    for n in (other.merged or (other.name,))
                )
            ),
            None,
        )
        if twin is None:
            kept.append(node)
            continue
        joined = _join(kept[twin], node)
        for old in (kept[twin].name, node.name):
            became[old] = joined.name
        kept = [replace(n, parent=became.get(n.parent or "", n.parent)) for n in kept]
        kept[twin] = joined
    return kept


def _join(first: Node, second: Node) -> Node:
    names = (*(first.merged or (first.name,)), *(second.merged or (second.name,)))
    curve = np.maximum(first.curve, second.curve)
    return replace(
        first,
        name=_JOINER.join(names),
        likelihood=max(first.likelihood, second.likelihood),
        curve=curve,
        active=first.active | second.active,
        classes=tuple(dict.fromkeys((*first.classes[:_PHRASES], *second.classes[:_PHRASES]))),
        merged=names,
        is_written=first.is_written or second.is_written,
    )


def pruned(nodes: Sequence[Node], absent: set[str]) -> list[Node]:
    """Leave out nodes that are absent with all below them, and folders that hold nothing."""
    gone = set(absent)
    kept = []
    for node in nodes:  # parents come before their children
        if node.name in gone or node.parent in gone:
            gone.add(node.name)
        else:
            kept.append(node)
    while True:
        parents = {node.parent for node in kept}
        rest = [node for node in kept if node.is_written or node.name in parents]
        if len(rest) == len(kept):
            return without_doubles(kept)
        kept = rest


def tops(nodes: Sequence[Node]) -> list[str]:
    """Return the written nodes above which none is written: what the residual leaves out."""
    table = {node.name: node for node in nodes}

    def covered(node: Node) -> bool:
        above = table.get(node.parent or "")
        return above is not None and (above.is_written or covered(above))

    return [node.name for node in nodes if node.is_written and not covered(node)]
