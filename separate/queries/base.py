"""The interface of a query encoder."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor


class QueryEncoder(Protocol):
    """Text and audio into one space."""

    name: str
    dim: int
    fingerprint: str  # of the weights: what depends on them can be cached

    def embed_text(self, phrases: Sequence[str]) -> "Tensor":
        """Embed phrases: `(n, dim)`, of unit length."""
        ...

    def embed_audio(self, waveform: "Tensor", sample_rate: int) -> "Tensor":
        """Embed mono waveforms `(batch, time)`: `(batch, dim)`, of unit length, differentiable."""
        ...
