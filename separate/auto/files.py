"""Paths of the files of an automatic separation, and the description in `sources.json`."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from separate.auto.tagging import TagLikelihoods, join_blocks
from separate.auto.tree import Node
from separate.batch.names import distinct, safe_name
from separate.batch.tracks import Track
from separate.settings import RESIDUAL, Settings

TREE_NAME = "sources.json"
NOTICE = "Names and tree: AudioSet ontology, Google LLC, CC BY-SA 4.0."


def layout(track: Track, nodes: Sequence[Node], settings: Settings) -> dict[str, str]:
    """Place each node's file, the residual's and the description's below the output folder.

    Args:
        track: The file's name.
        nodes: The tree, parents before children.
        settings: Pattern and format.

    Returns:
        Relative paths by the node's name; those of folders alone are left out.
    """
    own: dict[str, str] = {}
    siblings: dict[str | None, list[str]] = {None: [RESIDUAL]}
    for node in nodes:
        taken = siblings.setdefault(node.parent, [])
        (name,) = distinct([safe_name(node.name)], taken)
        taken.append(name)
        own[node.name] = f"{own[node.parent]}/{name}" if node.parent else name
    stems = {node.name: own[node.name] for node in nodes if node.is_written}
    places = {
        name: settings.filename.format(track=track.name, stem=stem, ext=settings.format)
        for name, stem in {**stems, RESIDUAL: RESIDUAL}.items()
    }
    places[TREE_NAME] = str(Path(places[RESIDUAL]).with_name(TREE_NAME).as_posix())
    return places


def describe(
    path: Path,
    likelihoods: TagLikelihoods,
    nodes: Sequence[Node],
    places: Mapping[str, str],
    presence: Mapping[str, float],
    tagger: str,
) -> dict[str, Any]:
    """Return what `sources.json` holds: every node with its file, likelihood and times."""
    folder = Path(places[TREE_NAME]).parent
    sources = [
        {
            "name": node.name,
            "level": node.level,
            "parent": node.parent,
            "file": Path(places[node.name]).relative_to(folder).as_posix()
            if node.is_written
            else None,
            "likelihood": round(node.likelihood, 3),
            "presence": presence.get(node.name),
            "spans": [list(span) for span in join_blocks(likelihoods, node.active)],
            "classes": list(node.classes),
            "merged": list(node.merged),
        }
        for node in nodes
    ]
    return {
        "input": str(path.absolute()),
        "seconds": likelihoods.seconds,
        "tagger": tagger,
        "notice": NOTICE,
        "residual": Path(places[RESIDUAL]).relative_to(folder).as_posix(),
        "sources": sources,
    }


def tree_text(tree: Mapping[str, Any]) -> str:
    """Return the text of `sources.json`."""
    return json.dumps(tree, indent=1, ensure_ascii=False) + "\n"
