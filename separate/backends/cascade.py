"""Queries for a model of fixed stems: each is routed to a stem, to a part of one, or past them.

In: any queries, and a model of fixed stems. Out: a `SourceModel`.

A query that means a stem gets it ("the drummer" -> drums). A source finer than a stem is separated
from that stem by the query model ("snare" -> drums, then snare), and so is a query with negatives.
A source that belongs to no stem ("dog bark") goes to the query model alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from separate.backends.base import FixedStemsModel, SourceModel, Sums, with_sums
from separate.errors import SettingsError
from separate.models.stft import StftConfig, istft, stft
from separate.queries import vocabulary
from separate.queries.base import QueryEncoder
from separate.queries.encoders import encoder_for
from separate.queries.query import Query, embed_query
from separate.settings import Settings
from separate.stream import Segmentation

_NEAR = 0.35  # least cosine to the nearest label for a route by that label
_NO_ROUTE = ("music", "silence")  # labels that lead to no stem
_EPS = 1e-8  # power that every estimate has in each bin: of silence all get the same
_ACCOMPANIMENT = "accompaniment"  # all stems but the voice, in models that have no other


@dataclass(frozen=True)
class Route:
    """How a query is separated."""

    stem: str | None  # None: by the query model alone
    is_whole: bool = False  # the query asks for the stem itself


@dataclass(frozen=True)
class _Group:
    """Queries that the query model separates from the same signal."""

    indices: tuple[int, ...]  # in the list of queries
    prepared: Any


@dataclass(frozen=True)
class RoutedQueries:
    """All queries of a stream, prepared."""

    queries: tuple[Query, ...]
    routes: tuple[Route, ...]
    stems: tuple[str, ...]  # that are needed
    prepared: Any  # those stems, for their model
    groups: dict[str | None, _Group]  # by stem; None: from the mixture

    def distinct(self, indices: tuple[int, ...]) -> tuple[int, ...]:
        """Return the queries of a sum without those that are the same stem again."""
        whole = {self.routes[i].stem: i for i in indices if self.routes[i].is_whole}
        return tuple(
            i for i in indices if not self.routes[i].is_whole or whole[self.routes[i].stem] == i
        )


def route_query(query: Query, stems: Sequence[str], encoder: QueryEncoder) -> Route:
    """Route a query by the label of the vocabulary that it is nearest to.

    Args:
        query: Words or examples.
        stems: Of the model.
        encoder: The query net.

    Raises:
        QueryError: The query is empty, or an example can't be used.
    """
    takes_all = not (query.exclude or query.unlike)
    if len(query.text) == 1 and not query.like and query.text[0].casefold() in stems:
        return Route(query.text[0].casefold(), takes_all)
    wanted, _ = embed_query(encoder, replace(query, exclude=(), unlike=()))
    names = [name for name in vocabulary.labels() if name not in _NO_ROUTE]
    likeness = encoder.embed_text(names) @ wanted
    best = int(likeness.argmax())
    if float(likeness[best]) < _NEAR:
        return Route(None)
    lineage = list(vocabulary.ancestors(names[best]))
    stem = next((name for name in lineage if name in stems), None)
    if stem is None and _ACCOMPANIMENT in stems and set(lineage) & set(vocabulary.STEMS):
        stem = _ACCOMPANIMENT
    return Route(stem, takes_all and stem == names[best])


def shared_out(mixture: Tensor, estimates: Tensor) -> Tensor:
    """Share what estimates leave of a mixture, or have too much, out among them.

    Each bin of the difference is divided in proportion to the estimates' power there, as a Wiener
    filter does, so that the result does not depend on the order of the estimates.

    Args:
        mixture: `(2, time)`.
        estimates: `(stems, 2, time)`.

    Returns:
        `(stems, 2, time)`; they sum to the mixture.
    """
    config = StftConfig()
    rest = mixture - estimates.sum(0)
    power = torch.stack([stft(estimate, config).abs().square() for estimate in estimates]) + _EPS
    shares = stft(rest, config) * (power / power.sum(0))
    parts = torch.stack([istft(share, mixture.shape[-1], config) for share in shares])
    # What the transform rounds is nobody's: each gets the same part.
    return estimates + parts + (rest - parts.sum(0)) / len(estimates)


class CascadeModel:
    """A stem model and, where stems are not enough, the query model behind it."""

    def __init__(
        self,
        source: FixedStemsModel,
        settings: Settings,
        open_query_model: Callable[[], SourceModel],
    ) -> None:
        """Take a loaded stem model.

        Args:
            source: The stem model.
            settings: Sum-to-mixture, query net.
            open_query_model: Loads the query model; called when it is needed.
        """
        self.source = source
        self.sample_rate, self.hop_samples = source.sample_rate, source.hop_samples
        self.sha256 = source.sha256
        self._sum_to_mixture = settings.sum_to_mixture
        self._encoder = encoder_for("embedded", settings.query_net)
        self._open_query_model = open_query_model
        self._query_model: SourceModel | None = None

    def segmentation(self, settings: Settings) -> Segmentation:
        """See `SourceModel`."""
        return self.source.segmentation(settings)

    def prepare(self, queries: Sequence[Query]) -> RoutedQueries:
        """Route every query.

        Raises:
            QueryError: One is empty, or an example can't be used.
            SettingsError: The query model works at another sample rate.
        """
        routes = [route_query(query, self.source.stems, self._encoder) for query in queries]
        needed = tuple(dict.fromkeys(route.stem for route in routes if route.stem is not None))
        groups = {}
        for stem in dict.fromkeys(route.stem for route in routes if not route.is_whole):
            indices = [n for n, r in enumerate(routes) if r.stem == stem and not r.is_whole]
            prepared = self._opened().prepare([queries[index] for index in indices])
            groups[stem] = _Group(tuple(indices), prepared)
        prepared = self.source.prepare([Query(stem, (stem,)) for stem in needed])
        return RoutedQueries(tuple(queries), tuple(routes), needed, prepared, groups)

    def _opened(self) -> SourceModel:
        if self._query_model is None:
            model = self._open_query_model()
            if model.sample_rate != self.sample_rate:
                raise SettingsError("the query model works at another sample rate: use it alone")
            self._query_model = model
        return self._query_model

    def separate(self, stereo: Tensor, prepared: RoutedQueries, sums: Sums = ()) -> Tensor:
        """See `SourceModel`; the last output sums the estimates of each stem and of no stem."""
        sums = [prepared.distinct(indices) for indices in sums]
        waves: dict[str | None, Tensor] = {None: stereo}
        if prepared.stems:
            found = self.source.separate(stereo, prepared.prepared)
            waves.update(zip(prepared.stems, found, strict=False))
        outputs: dict[int, Tensor] = {}
        totals: dict[str | None, Tensor] = {}  # by stem: of all its queries together
        for stem, group in prepared.groups.items():
            *parts, totals[stem] = self._opened().separate(waves[stem], group.prepared)
            outputs.update(zip(group.indices, parts, strict=True))
        for index, route in enumerate(prepared.routes):
            if route.is_whole:
                outputs[index] = totals[route.stem] = waves[route.stem]
        stems = [outputs[index] for index in range(len(prepared.routes))]
        if self._sum_to_mixture and len(stems) > 1:
            mixture = stereo.to(stems[0].device)
            shares = shared_out(mixture, torch.stack(stems))
            return with_sums(torch.cat([shares, mixture[None]]), sums)
        total = torch.stack(list(totals.values())).sum(dim=0)
        return with_sums(torch.stack([*stems, total]), sums)

    def routes(self, prepared: RoutedQueries) -> dict[str, str]:
        """See `SourceModel`."""
        pairs = zip(prepared.queries, prepared.routes, strict=True)
        return {query.name: self._in_words(route) for query, route in pairs}

    def answered_as(self, prepared: RoutedQueries) -> list[str | None]:
        """See `SourceModel`; only the query model separates a broader source."""
        found: list[str | None] = [None] * len(prepared.queries)
        for group in prepared.groups.values():
            broader = self._opened().answered_as(group.prepared)
            for index, name in zip(group.indices, broader, strict=True):
                found[index] = name
        return found

    def _in_words(self, route: Route) -> str:
        if route.stem is None:
            return "by the query model alone: it fits no stem"
        whole = f"the stem {route.stem!r} of {self.source.name}"
        return whole if route.is_whole else f"from {whole}, by the query model"
