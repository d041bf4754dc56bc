"""What the user asks for: words and example sounds, wanted and unwanted.

Comes in: a string or a `Query`. Goes out: its vectors in the encoder's space.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from separate.audio_read import AudioReader
from separate.errors import QueryError
from separate.queries import Encoder

LONGEST_TEXT = 1000  # characters
SHORTEST_EXAMPLE_SECONDS = 0.25
PIECE_SECONDS = 4.0  # an example is embedded in pieces of this length
LONGEST_EXAMPLE_SECONDS = 300.0  # what follows is not listened to
SILENT_PEAK = 1e-3  # an example that stays below it (-60 dBFS) is silent
SILENT_SHARE = 0.03  # pieces that stay 30 dB below the loudest are skipped, as USS does


@dataclass(frozen=True)
class Query:
    """One source to take out."""

    name: str  # names the result
    text: tuple[str, ...] = ()  # phrases for the source; their vectors are averaged
    like: tuple[Path, ...] = ()  # files that sound like it
    exclude: tuple[str, ...] = ()  # phrases for what is not meant


def parse_query(
    text: str = "", *, like: Sequence[str | Path] = (), exclude: Sequence[str] = ()
) -> Query:
    """Make a query of what a user gave.

    Args:
        text: Phrase for the source; may be empty if there are examples.
        like: Example files.
        exclude: Phrases for what is not meant.

    Raises:
        QueryError: Neither words nor examples, an empty exclusion, or over 1,000 characters.
    """
    phrase = " ".join(text.split())
    unwanted = tuple(" ".join(part.split()) for part in exclude)
    paths = tuple(Path(path) for path in like)
    if not phrase and not paths:
        raise QueryError("the query is empty; say what to separate, for example 'drums'")
    if any(not part for part in unwanted):
        raise QueryError("the phrase to exclude is empty; say what is not meant, or leave it out")
    if max(map(len, (phrase, *unwanted))) > LONGEST_TEXT:
        raise QueryError(f"the query is longer than {LONGEST_TEXT} characters; shorten it")
    name = phrase or f"like {paths[0].stem}"
    return Query(name, (phrase,) if phrase else (), paths, unwanted)


def as_query(query: str | Query) -> Query:
    """Return `query` itself, or the query that a plain phrase makes."""
    return query if isinstance(query, Query) else parse_query(query)


def embed_query(encoder: Encoder, query: Query) -> tuple[Tensor, list[Tensor]]:
    """Embed a query.

    Args:
        encoder: The query net.
        query: What to embed.

    Returns:
        The vector of what is wanted `(dim,)`, of unit length, and one such vector for each phrase
        that is not.

    Raises:
        QueryError: The query is empty, or an example is too short or silent.
        InputError: An example cannot be read.
    """
    vectors = [*encoder.embed_text(list(query.text))] if query.text else []
    vectors.extend(embed_example(encoder, path) for path in query.like)
    if not vectors:
        raise QueryError(f"the query {query.name!r} is empty; say what to separate")
    positive = functional.normalize(torch.stack(vectors).mean(dim=0), dim=0)
    negatives = [*encoder.embed_text(list(query.exclude))] if query.exclude else []
    return positive, negatives


@torch.no_grad()
def embed_example(encoder: Encoder, path: Path) -> Tensor:
    """Embed a file that sounds like the source: the mean over its pieces that are not silent.

    Args:
        encoder: The query net.
        path: Any audio file; its first five minutes count.

    Returns:
        `(dim,)`, of unit length.

    Raises:
        QueryError: The example is shorter than 0.25 s, or silent.
        InputError: It cannot be read.
    """
    reader = AudioReader(path, end_seconds=LONGEST_EXAMPLE_SECONDS)
    sample_rate = reader.info.sample_rate
    blocks = reader.blocks(int(PIECE_SECONDS * sample_rate))
    pieces = [torch.from_numpy(block).mean(dim=0) for block in blocks]
    shortest = int(SHORTEST_EXAMPLE_SECONDS * sample_rate)
    if len(pieces[0]) < shortest:
        raise QueryError(
            f"{path}: shorter than {SHORTEST_EXAMPLE_SECONDS} s; give a longer example"
        )
    peaks = [float(piece.abs().max()) for piece in pieces]
    if max(peaks) < SILENT_PEAK:
        raise QueryError(f"{path}: silent; give an example in which the source sounds")
    heard = [
        encoder.embed_audio(piece[None], sample_rate)[0]
        for piece, peak in zip(pieces, peaks, strict=True)
        if len(piece) >= shortest and peak > SILENT_SHARE * max(peaks)
    ]
    if not heard:  # all that sounds is in a last piece that is too short
        joined = torch.cat(pieces[-2:])
        heard = [encoder.embed_audio(joined[None], sample_rate)[0]]
    return functional.normalize(torch.stack(heard).mean(dim=0), dim=0)
