"""Queries that are sums of sources, or all that is not these: from the sources' estimates.

A model separates single sources and sums of them. "drums and bass" is such a sum, "everything but
vocals" the mixture without one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from separate.queries.presence import NOT_FOUND
from separate.queries.query import Query


@dataclass(frozen=True)
class _Row:
    """One query over the single sources."""

    sources: tuple[int, ...]  # indices of its sources
    is_rest: bool  # it is the mixture without them


class Combination:
    """Maps estimates of single sources, and of sums of them, to those of queries."""

    def __init__(self, queries: Sequence[Query]) -> None:
        """List the single sources of all queries, each once, and their sums.

        Args:
            queries: What the user asks for.
        """
        found: dict[Query, int] = {}
        rows = []
        for query in queries:
            indices = [found.setdefault(source, len(found)) for source in query.singles]
            rows.append(_Row(tuple(dict.fromkeys(indices)), query.is_rest))
        self._rows = rows
        self.sources = tuple(found)
        self.sums = tuple(dict.fromkeys(row.sources for row in rows if len(row.sources) > 1))

    @property
    def is_plain(self) -> bool:
        """Whether each query is one source."""
        return all(not row.is_rest and row.sources == (i,) for i, row in enumerate(self._rows))

    def estimates(self, mixture: np.ndarray, outputs: np.ndarray) -> np.ndarray:
        """Return the queries' estimates `(queries, channels, time)`.

        Args:
            mixture: `(channels, time)`.
            outputs: Estimates of the single sources and of the sums
                `(sources + sums, channels, time)`.
        """
        result = np.zeros((len(self._rows), *mixture.shape), np.float32)
        for estimate, row in zip(result, self._rows, strict=True):
            if len(row.sources) > 1:
                estimate += outputs[len(self.sources) + self.sums.index(row.sources)]
            elif row.sources:
                estimate += outputs[row.sources[0]]
            if row.is_rest:
                np.subtract(mixture, estimate, out=estimate)
        return result

    def residual(self, outputs: np.ndarray, residual: np.ndarray) -> np.ndarray:
        """Return what no query asks for `(channels, time)`.

        Args:
            outputs: As for `estimates`.
            residual: What none of the single sources is `(channels, time)`.
        """
        rests = [set(row.sources) for row in self._rows if row.is_rest]
        if not rests:
            return residual
        asked = {index for row in self._rows if not row.is_rest for index in row.sources}
        left = tuple(sorted(set.intersection(*rests) - asked))
        if left in self.sums:
            result: np.ndarray = outputs[len(self.sources) + self.sums.index(left)]
            return result
        return outputs[list(left)].sum(axis=0) if left else np.zeros_like(residual)

    def absent(self, presence: Sequence[float]) -> list[int]:
        """Return which queries' sources were not found; what is left of others always sounds.

        Args:
            presence: Of the queries.
        """
        pairs = zip(self._rows, presence, strict=True)
        return [at for at, (row, p) in enumerate(pairs) if p < NOT_FOUND and not row.is_rest]

    def presence(self, sources: Sequence[float]) -> list[float]:
        """Return each query's presence, 0..1: that of its likeliest source; of all else 1.

        Args:
            sources: Presence of the single sources.
        """
        return [max((sources[index] for index in row.sources), default=1.0) for row in self._rows]
