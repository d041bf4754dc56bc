"""Separate a few seconds of a file to drop nodes of the tree that are absent or alike.

The pieces in which the nodes are likeliest are separated for all of them. A node whose estimate is
not present is dropped; siblings with nearly the same estimates are merged. The work does not grow
with the file's length.
"""

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from separate.audio import AudioInfo, AudioReader
from separate.auto.tagging import BLOCK_SECONDS, TagLikelihoods
from separate.auto.tree import Node, limited, merged, pruned
from separate.queries.encoders import load_encoder
from separate.queries.presence import NOT_FOUND
from separate.queries.query import embed_query

if TYPE_CHECKING:
    from separate.separator import Separator

_ALIKE_QUERIES = 0.9  # cosine of two queries that mean the same
_ALIKE_SOUNDS = 0.9  # correlation of two estimates that are the same
_PIECES_PER_NODE = 2
_MOST_PIECES = 16
_SILENT = 1e-4  # of the mixture's energy: an estimate below it is nothing


def probe(
    separator: "Separator",
    path: Path,
    track: TagLikelihoods,
    nodes: Sequence[Node],
    most: int,
    *,
    stream: int = 0,
) -> list[Node]:
    """Return the nodes that are worth a file or a folder, parents before children.

    Args:
        separator: A separator that accepts any query.
        path: The file.
        track: What was heard in it.
        nodes: The tree so far.
        most: Files at most.
        stream: Which audio stream of the file, from 0.

    Raises:
        InputError: The file can't be read.
    """
    tree = limited(merged(nodes, _alike_queries(nodes), _ALIKE_QUERIES), most)
    written = [node for node in tree if node.is_written]
    if not written:
        return []
    pieces, info = _pieces(path, track, _chosen(written), stream)
    separated = separator.stream(
        iter(pieces),
        info.sample_rate,
        info.channels,
        [node.query for node in written],
        channel_mask=info.channel_mask,
    )
    blocks = list(separated)
    estimates = np.concatenate([block.estimates for block in blocks], axis=-1)
    energy = np.square(estimates).sum(axis=(1, 2))
    whole = sum(float(np.square(piece).sum()) for piece in pieces)
    absent = {
        node.name
        for node, own in zip(written, energy, strict=True)
        if own <= _SILENT * whole or separated.presence[node.name] < NOT_FOUND
    }
    names = [node.name for node in written]
    tree = pruned(tree, absent)
    return pruned(merged(tree, _correlations(names, estimates), _ALIKE_SOUNDS), set())


@torch.inference_mode()
def _alike_queries(nodes: Sequence[Node]) -> dict[tuple[str, str], float]:
    """Cosines of the nodes' queries."""
    encoder = load_encoder("embedded")
    vectors = [embed_query(encoder, node.query)[0] for node in nodes]
    return {
        (a.name, b.name): float(u @ v)
        for (a, u), (b, v) in combinations(zip(nodes, vectors, strict=True), 2)
    }


def _correlations(names: Sequence[str], estimates: np.ndarray) -> dict[tuple[str, str], float]:
    """Correlations of estimates `(stems, channels, time)`."""
    flat = estimates.reshape(len(names), -1).astype(np.float64)
    products = flat @ flat.T
    norms = np.sqrt(np.diag(products)) + 1e-12
    table = products / norms[:, None] / norms
    return {
        (names[row], names[column]): float(table[row, column])
        for row, column in combinations(range(len(names)), 2)
    }


def _chosen(nodes: Sequence[Node]) -> list[int]:
    """Return blocks in which the nodes are likeliest, each node's best before any's second."""
    orders = [np.argsort(-node.curve, kind="stable") for node in nodes]
    wanted = [int(order[turn]) for turn in range(_PIECES_PER_NODE) for order in orders
              if turn < len(order)]  # fmt: skip
    return sorted(list(dict.fromkeys(wanted))[:_MOST_PIECES])


def _pieces(
    path: Path, track: TagLikelihoods, indices: Sequence[int], stream: int
) -> tuple[list[np.ndarray], AudioInfo]:
    """Read some blocks of a file."""
    first, last = indices[0], indices[-1]
    start = track.start_seconds + first * BLOCK_SECONDS
    end = track.start_seconds + min((last + 1) * BLOCK_SECONDS, track.seconds)
    with AudioReader(path, start_seconds=start, end_seconds=end, stream=stream) as reader:
        length = max(1, round(BLOCK_SECONDS * reader.info.sample_rate))
        wanted = {index - first for index in indices}
        kept = [block for place, block in enumerate(reader.blocks(length)) if place in wanted]
    return kept, reader.info
