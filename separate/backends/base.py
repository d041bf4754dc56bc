"""The interface through which any model joins the separator.

In: a stereo segment `(2, n)` at the model's rate and prepared queries. Out:
`(queries + sums + 1, 2, n)`; the last output is the estimate of all queries together, whose
complement is the residual.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from separate.queries.query import Query
from separate.settings import Settings
from separate.stream import Segmentation

Sums = Sequence[tuple[int, ...]]  # indices of the queries of each sum that is wanted


def with_sums(outputs: Tensor, sums: Sums) -> Tensor:
    """Add sums of waveforms `(queries + 1, 2, n)` before the last: `(queries + sums + 1, 2, n)`."""
    if not sums:
        return outputs
    added = [outputs[list(indices)].sum(0, keepdim=True) for indices in sums]
    return torch.cat([outputs[:-1], *added, outputs[-1:]])


class SourceModel(Protocol):
    """What the separator needs of a model."""

    sample_rate: int
    hop_samples: int
    sha256: str

    def segmentation(self, settings: Settings) -> Segmentation:
        """Return the segments that define this model's results."""

    def prepare(self, queries: Sequence[Query]) -> Any:
        """Turn queries into the input of `separate`, once for a whole stream."""

    def separate(self, stereo: Tensor, prepared: Any, sums: Sums = ()) -> Tensor:
        """Map a segment `(2, n)` to `(queries + sums + 1, 2, n)`, all queries together last."""

    def routes(self, prepared: Any) -> dict[str, str]:
        """Return each query's route in words, by its name; empty where there is only one."""

    def answered_as(self, prepared: Any) -> list[str | None]:
        """Return for each query the broader source that is separated instead; None: itself."""


class FixedStemsModel(SourceModel, Protocol):
    """A model of fixed stems: its queries are the names of stems."""

    name: str
    stems: tuple[str, ...]
