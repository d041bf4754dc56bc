"""The small interface through which any model joins the separator.

In: a stereo window `(2, n)` at the model's rate and prepared queries. Out: `(stems + 1, 2, n)`;
the last output is what the queries claim of the mixture together.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from separate.queries.query import Query
from separate.settings import Settings
from separate.stream import Grid

Sums = Sequence[tuple[int, ...]]  # indices of queries whose results are wanted in one, too


def with_sums(outputs: Tensor, sums: Sums) -> Tensor:
    """Add sums of waveforms `(queries + 1, 2, n)` before the last: `(queries + sums + 1, 2, n)`."""
    if not sums:
        return outputs
    added = [outputs[list(indices)].sum(0, keepdim=True) for indices in sums]
    return torch.cat([outputs[:-1], *added, outputs[-1:]])


class SourceModel(Protocol):
    """What the separator asks of any model."""

    sample_rate: int
    hop_samples: int
    sha256: str

    def grid(self, settings: Settings) -> Grid:
        """Return the windows that define this model's results."""

    def prepare(self, queries: Sequence[Query]) -> Any:
        """Turn queries into what `separate` needs, once for a whole stream."""

    def separate(self, stereo: Tensor, prepared: Any, sums: Sums = ()) -> Tensor:
        """Map a window `(2, n)` to `(queries + sums + 1, 2, n)`, what all take together last."""

    def ways(self, prepared: Any) -> dict[str, str]:
        """Say which way each query went, where there are several."""
