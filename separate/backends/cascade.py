"""Stem models behind a query: routed to a stem, taken from within one, or past them all.

In: any queries, and a model of fixed stems. Out: what `SourceModel` promises.

A query that means a stem gets it ("the drummer" -> drums). What is finer than a stem is separated
from that stem by the query model ("snare" -> drums, then snare), and so is what leaves something
out. What belongs to no stem ("dog bark") goes to the query model alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from separate.backends.base import SourceModel, Sums, with_sums
from separate.errors import SettingsError
from separate.queries import vocabulary
from separate.queries.base import Encoder
from separate.queries.encoders import encoder_for
from separate.queries.query import Query, embed_query
from separate.settings import Settings
from separate.stream import Grid

_NEAR = 0.35  # cosine to the nearest label from which a query is understood
_NO_ROUTE = ("music", "silence")  # labels that lead to no stem
_ACCOMPANIMENT = "accompaniment"  # all stems but the voice, in models that have no other


class StemSource(SourceModel, Protocol):
    """A model of fixed stems: its queries are the names of stems."""

    name: str
    stems: tuple[str, ...]


@dataclass(frozen=True)
class Way:
    """How a query is answered."""

    stem: str | None  # None: by the query model alone
    is_whole: bool = False  # the stem itself is what is asked for


@dataclass(frozen=True)
class _Group:
    """Queries that the query model answers from one sound."""

    places: tuple[int, ...]  # in the list of queries
    prepared: Any


@dataclass(frozen=True)
class Plan:
    """All queries of a stream, prepared."""

    queries: tuple[Query, ...]
    ways: tuple[Way, ...]
    stems: tuple[str, ...]  # that are needed
    prepared: Any  # those stems, for their model
    groups: dict[str | None, _Group]  # by stem; None: from the mixture

    def distinct(self, indices: tuple[int, ...]) -> tuple[int, ...]:
        """Return the queries of a sum without those that are the same stem again."""
        whole = {self.ways[i].stem: i for i in indices if self.ways[i].is_whole}
        return tuple(
            i for i in indices if not self.ways[i].is_whole or whole[self.ways[i].stem] == i
        )


def route(query: Query, stems: Sequence[str], encoder: Encoder) -> Way:
    """Say how a query is answered, by the label of the vocabulary that it is nearest to.

    Args:
        query: Words or examples.
        stems: Of the model.
        encoder: The query net.

    Raises:
        QueryError: The query is empty, or an example can't be used.
    """
    takes_all = not (query.exclude or query.unlike)
    if len(query.text) == 1 and not query.like and query.text[0].casefold() in stems:
        return Way(query.text[0].casefold(), takes_all)
    wanted, _ = embed_query(encoder, replace(query, exclude=(), unlike=()))
    names = [name for name in vocabulary.labels() if name not in _NO_ROUTE]
    likeness = encoder.embed_text(names) @ wanted
    best = int(likeness.argmax())
    if float(likeness[best]) < _NEAR:
        return Way(None)
    line = list(vocabulary.ancestors(names[best]))
    stem = next((name for name in line if name in stems), None)
    if stem is None and _ACCOMPANIMENT in stems and set(line) & set(vocabulary.STEMS):
        stem = _ACCOMPANIMENT
    return Way(stem, takes_all and stem == names[best])


class CascadeModel:
    """A stem model and, where stems are not enough, the query model behind it."""

    def __init__(
        self, source: StemSource, settings: Settings, open_query_model: Callable[[], SourceModel]
    ) -> None:
        """Take a loaded stem model.

        Args:
            source: The stem model.
            settings: Share, query net.
            open_query_model: Loads the query model; called when it is needed.
        """
        self.source = source
        self.sample_rate, self.hop_samples = source.sample_rate, source.hop_samples
        self.sha256 = source.sha256
        self._share = settings.share
        self._encoder = encoder_for("embedded", settings.query_net)
        self._open_query_model = open_query_model
        self._query_model: SourceModel | None = None

    def grid(self, settings: Settings) -> Grid:
        """See `SourceModel`."""
        return self.source.grid(settings)

    def prepare(self, queries: Sequence[Query]) -> Plan:
        """Route every query.

        Raises:
            QueryError: One is empty, or an example can't be used.
            SettingsError: The query model works at another sample rate.
        """
        ways = [route(query, self.source.stems, self._encoder) for query in queries]
        needed = tuple(dict.fromkeys(way.stem for way in ways if way.stem is not None))
        groups = {}
        for stem in dict.fromkeys(way.stem for way in ways if not way.is_whole):
            places = [n for n, way in enumerate(ways) if way.stem == stem and not way.is_whole]
            prepared = self._opened().prepare([queries[place] for place in places])
            groups[stem] = _Group(tuple(places), prepared)
        prepared = self.source.prepare([Query(stem, (stem,)) for stem in needed])
        return Plan(tuple(queries), tuple(ways), needed, prepared, groups)

    def _opened(self) -> SourceModel:
        if self._query_model is None:
            model = self._open_query_model()
            if model.sample_rate != self.sample_rate:
                raise SettingsError("the query model works at another sample rate: use it alone")
            self._query_model = model
        return self._query_model

    def separate(self, stereo: Tensor, prepared: Any, sums: Sums = ()) -> Tensor:
        """See `SourceModel`; the claim is the sum of what is taken of each stem and beside them."""
        plan: Plan = prepared
        sums = [plan.distinct(indices) for indices in sums]
        waves: dict[str | None, Tensor] = {None: stereo}
        if plan.stems:
            found = self.source.separate(stereo, plan.prepared)
            waves.update(zip(plan.stems, found, strict=False))
        outputs: dict[int, Tensor] = {}
        claims: dict[str | None, Tensor] = {}
        for stem, group in plan.groups.items():
            *parts, claims[stem] = self._opened().separate(waves[stem], group.prepared)
            outputs.update(zip(group.places, parts, strict=True))
        for place, way in enumerate(plan.ways):
            if way.is_whole:
                outputs[place] = claims[way.stem] = waves[way.stem]
        stems = [outputs[place] for place in range(len(plan.ways))]
        if self._share and len(stems) > 1:  # the last is what the others leave
            rest = stereo.to(stems[0].device)
            stems[-1] = rest - torch.stack(stems[:-1]).sum(dim=0)
            return with_sums(torch.stack([*stems, rest]), sums)
        claim = torch.stack(list(claims.values())).sum(dim=0)
        return with_sums(torch.stack([*stems, claim]), sums)

    def ways(self, prepared: Any) -> dict[str, str]:
        """Say in words which way each query went."""
        plan: Plan = prepared
        return {
            query.name: self._in_words(way)
            for query, way in zip(plan.queries, plan.ways, strict=True)
        }

    def _in_words(self, way: Way) -> str:
        if way.stem is None:
            return "by the query model alone: it fits no stem"
        whole = f"the stem {way.stem!r} of {self.source.name}"
        return whole if way.is_whole else f"from {whole}, by the query model"
