"""Queries: what the user asks for, as vectors in the separator's query space."""

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["ENCODERS", "Encoder", "load_encoder"]

ENCODERS = ("embedded",)


class Encoder(Protocol):
    """Text and audio into one space."""

    name: str
    dim: int

    def embed_text(self, phrases: Sequence[str]) -> "Tensor":
        """Embed phrases: `(n, dim)`, of unit length."""
        ...

    def embed_audio(self, waveform: "Tensor", sample_rate: int) -> "Tensor":
        """Embed mono waveforms `(batch, time)`: `(batch, dim)`, of unit length, differentiable."""
        ...


@lru_cache(maxsize=4)
def load_encoder(name: str = "embedded") -> Encoder:
    """Load a query encoder by name, once.

    Raises:
        QueryError: There is none of that name.
        CheckpointError: Its weights are missing or damaged.
    """
    from separate.errors import QueryError

    if name == "embedded":
        from separate.queries.embedded import EmbeddedEncoder

        return EmbeddedEncoder.shipped()
    raise QueryError(f"there is no query net {name!r}; take one of: {', '.join(ENCODERS)}")
