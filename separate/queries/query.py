"""Queries: phrases and example sounds, positive and negative, and their embedding."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from separate.audio import AudioReader, to_mono
from separate.errors import QueryError
from separate.queries import vocabulary
from separate.queries.base import QueryEncoder
from separate.queries.grammar import Meaning, parse_meaning
from separate.queries.words import unknown
from separate.renamed import renamed

LONGEST_TEXT = 1000  # characters
SHORTEST_EXAMPLE_SECONDS = 0.25
PIECE_SECONDS = 4.0  # an example is embedded in pieces of this length
LONGEST_EXAMPLE_SECONDS = 300.0  # the rest of an example is ignored
SILENT_PEAK = 1e-3  # an example that stays below it (-60 dBFS) is silent
SILENT_SHARE = 0.03  # pieces that stay 30 dB below the loudest are skipped, as USS does
HIGHEST_NEGATIVE_WEIGHT = 10.0
_SAME = 0.93  # cosine of two queries with nearly the same mask
_SAME_OF_LABEL = 0.7  # of two queries that are nearest to the same label, which the nets know
_REST = "other"  # the label of all that belongs to no other stem


@renamed(words="text_weight", firmness="negative_weight")
@dataclass(frozen=True)
class Query:
    """One source to take out."""

    name: str  # of the result
    text: tuple[str, ...] = ()  # phrases for the source; their vectors are averaged
    like: tuple[Path, ...] = ()  # files that sound like it; their vectors are averaged
    exclude: tuple[str, ...] = ()  # phrases for what is excluded
    unlike: tuple[Path, ...] = ()  # files that sound like what is excluded
    text_weight: float = 0.5  # weight of the phrases, 0..1, where there are examples too
    negative_weight: float = 1.0  # of `exclude` and `unlike`, 0..10; 0 excludes nothing
    sources: tuple["Query", ...] = ()  # single sources that are summed, instead of all above
    is_rest: bool = False  # the result is the mixture without the sources

    @property
    def singles(self) -> tuple["Query", ...]:
        """The single sources that a model separates for this query."""
        return self.sources if self.sources or self.is_rest else (self,)

    @property
    def is_read(self) -> bool:
        """Whether the grammar read more from its words than the name of one source."""
        return bool(self.sources) or self.is_rest or (bool(self.text) and self.text != (self.name,))

    @property
    def meaning(self) -> str:
        """What it asks for, in words that the grammar reads back; of one source its name."""
        if self.is_rest or self.sources:
            return str(Meaning(tuple(source.name for source in self.sources), (), self.is_rest))
        return str(Meaning(self.text, self.exclude)) if self.text else self.name

    def answered_as(self, broader: Mapping["Query", str]) -> str | None:
        """Say what is separated where a model has no finer source; None: what is asked for.

        Args:
            broader: Of single sources, the name of the broader one.
        """
        if broader.keys().isdisjoint(self.singles):
            return None
        names = (broader.get(source, source.name) for source in self.singles)
        return str(Meaning(tuple(dict.fromkeys(names)), (), self.is_rest))

    def __post_init__(self) -> None:
        """Check the weights.

        Raises:
            QueryError: One is out of its range.
        """
        if not 0 <= self.text_weight <= 1:
            raise QueryError(f"the weight of the text is {self.text_weight}: give 0 to 1")
        if not 0 <= self.negative_weight <= HIGHEST_NEGATIVE_WEIGHT:
            raise QueryError(
                f"the weight of what is excluded is {self.negative_weight}: give 0 to"
                f" {HIGHEST_NEGATIVE_WEIGHT:g}"
            )


def parse_query(
    text: str = "",
    *,
    like: Sequence[str | Path] = (),
    exclude: Sequence[str] = (),
    unlike: Sequence[str | Path] = (),
    text_weight: float = 0.5,
    negative_weight: float = 1.0,
) -> Query:
    """Make a query; its phrase is parsed by the grammar.

    Args:
        text: Phrase for the source; may be empty if there are examples.
        like: Example files.
        exclude: Phrases for what is excluded.
        unlike: Example files of what is excluded.
        text_weight: Weight of the phrase against the examples, 0..1.
        negative_weight: Of what is excluded, 0..10; 0 excludes nothing.

    Raises:
        QueryError: Neither a phrase nor an example, one that can't be parsed, an empty exclusion,
            over 1,000 characters, or a weight out of its range.
    """
    phrase = " ".join(text.split())
    paths, others = tuple(map(Path, like)), tuple(map(Path, unlike))
    if not phrase and not paths:
        raise QueryError("the query is empty; say what to separate, for example 'drums'")
    given = tuple(" ".join(part.split()) for part in exclude)
    if any(not part for part in given):
        raise QueryError("the phrase to exclude is empty; say what to exclude, or leave it out")
    if max(map(len, (phrase, *given))) > LONGEST_TEXT:
        raise QueryError(f"the query is longer than {LONGEST_TEXT} characters; shorten it")
    meaning = parse_meaning(phrase) if phrase else Meaning(())
    unwanted = tuple(dict.fromkeys((*given, *meaning.left_out)))
    if not phrase or (len(meaning.sources) == 1 and not meaning.is_rest):
        name = phrase or f"like {paths[0].stem}"
        return Query(name, meaning.sources, paths, unwanted, others, text_weight, negative_weight)
    if paths or (others and meaning.is_rest):
        raise QueryError(
            f"{phrase!r} means {meaning}: an example goes with the name of one source, or alone"
        )
    if meaning.is_rest:  # what is not wanted either
        sources = tuple(Query(source, (source,)) for source in (*meaning.sources, *unwanted))
    else:
        sources = tuple(
            Query(source, (source,), (), unwanted, others, text_weight, negative_weight)
            for source in meaning.sources
        )
    return Query(phrase, sources=sources, is_rest=meaning.is_rest)


def readings(queries: Sequence[Query]) -> str:
    """Say in one line how queries were read that are more than the name of one source."""
    read = (f"{query.name!r} is read as: {query.meaning}" for query in queries if query.is_read)
    return "; ".join(read)


def unknown_words(queries: Sequence[Query]) -> list[str]:
    """Return a line for each query with words that the encoder knows only by their letters."""
    lines = []
    for query in queries:
        words = unknown(" ".join(text for single in query.singles for text in single.text))
        if words:
            named = " and ".join(map(repr, dict.fromkeys(words)))
            where = "" if words == [query.name.casefold()] else f" of {query.name!r}"
            verb = "is no word" if len(words) == 1 else "are no words"
            lines.append(
                f"{named}{where} {verb} that the model knows, so that the result may be another"
                " sound; try a more common English word, or an example by --like"
            )
    return lines


def embed_query(encoder: QueryEncoder, query: Query) -> tuple[Tensor, list[Tensor]]:
    """Embed a query.

    Args:
        encoder: The query net.
        query: What to embed.

    Returns:
        The positive vector `(dim,)`, of unit length: the weighted means of phrases and examples.
        And the negative vectors, one for each phrase and example that is excluded.

    Raises:
        QueryError: The query is empty, or an example is too short or silent.
        InputError: An example cannot be read.
    """
    phrases = [*encoder.embed_text(list(query.text))] if query.text else []
    examples = [embed_example(encoder, path) for path in query.like]
    if not phrases and not examples:
        raise QueryError(f"the query {query.name!r} is empty; say what to separate")
    if phrases and examples:
        positive = query.text_weight * _mean(phrases) + (1 - query.text_weight) * _mean(examples)
    else:
        positive = _mean(phrases or examples)
    negatives = [*encoder.embed_text(list(query.exclude))] if query.exclude else []
    negatives.extend(embed_example(encoder, path) for path in query.unlike)
    return functional.normalize(positive, dim=0), negatives


def nearest_label(encoder: QueryEncoder, vector: Tensor) -> str:
    """Return the label of the vocabulary whose name is nearest to a vector `(dim,)`."""
    likeness = _label_vectors(encoder) @ vector  # type: ignore[arg-type]  # any object has a hash
    return list(vocabulary.labels())[int(likeness.argmax())]


@lru_cache(maxsize=2)
@torch.inference_mode()
def _label_vectors(encoder: QueryEncoder) -> Tensor:
    return encoder.embed_text(list(vocabulary.labels()))


def means_part(encoder: QueryEncoder, wanted: Tensor, unwanted: Tensor) -> bool:
    """Return whether the unwanted source is a part of the wanted one, by their nearest labels.

    Args:
        encoder: Whose vectors they are.
        wanted: `(dim,)`.
        unwanted: `(dim,)`.
    """
    whole, part = (nearest_label(encoder, vector) for vector in (wanted, unwanted))
    return whole != part and whole in vocabulary.ancestors(part)


def mean_same(encoder: QueryEncoder, wanted: Tensor, unwanted: Tensor) -> bool:
    """Return whether two vectors `(dim,)` are too near to get different masks."""
    likeness = float(wanted @ unwanted)
    labels = {nearest_label(encoder, vector) for vector in (wanted, unwanted)}
    return likeness > _SAME or (likeness > _SAME_OF_LABEL and len(labels) == 1)


def means_rest(query: Query) -> bool:
    """Return whether a query asks for `other` alone, by one of that label's captions."""
    in_words_alone = not (query.like or query.exclude or query.unlike)
    captions = vocabulary.labels()[_REST].captions
    return in_words_alone and len(query.text) == 1 and query.text[0].casefold() in captions


def _mean(vectors: Sequence[Tensor]) -> Tensor:
    """Return the mean of unit vectors `(dim,)`, scaled to unit length."""
    return functional.normalize(torch.stack(list(vectors)).mean(dim=0), dim=0)


@torch.no_grad()
def embed_example(encoder: QueryEncoder, path: Path) -> Tensor:
    """Embed an example file: the mean over its pieces that are not silent.

    Args:
        encoder: The query net.
        path: Any audio file; its first five minutes are used.

    Returns:
        `(dim,)`, of unit length.

    Raises:
        QueryError: The example is shorter than 0.25 s, or silent.
        InputError: It cannot be read.
    """
    reader = AudioReader(path, end_seconds=LONGEST_EXAMPLE_SECONDS)
    sample_rate = reader.info.sample_rate
    blocks = reader.blocks(int(PIECE_SECONDS * sample_rate))
    pieces = [torch.from_numpy(to_mono(block)) for block in blocks]
    shortest = int(SHORTEST_EXAMPLE_SECONDS * sample_rate)
    if len(pieces[0]) < shortest:
        raise QueryError(
            f"{path}: shorter than {SHORTEST_EXAMPLE_SECONDS} s; give a longer example"
        )
    peaks = [float(piece.abs().max()) for piece in pieces]
    if max(peaks) < SILENT_PEAK:
        raise QueryError(f"{path}: silent; give an example in which the source is audible")
    vectors = [
        encoder.embed_audio(piece[None], sample_rate)[0]
        for piece, peak in zip(pieces, peaks, strict=True)
        if len(piece) >= shortest and peak > SILENT_SHARE * max(peaks)
    ]
    if not vectors:  # only a last piece that is too short is not silent
        joined = torch.cat(pieces[-2:])
        vectors = [encoder.embed_audio(joined[None], sample_rate)[0]]
    return _mean(vectors)
