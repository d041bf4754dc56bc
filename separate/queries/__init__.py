"""Queries: what the user asks for, as vectors in the separator's query space."""

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["ENCODERS", "Encoder", "encoder_for", "load_encoder"]

ENCODERS = ("embedded", "tags", "clap", "clap-music")


class Encoder(Protocol):
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


def load_encoder(name: str = "embedded") -> Encoder:
    """Load a query encoder, once.

    Args:
        name: One of `ENCODERS`, or the path of a checkpoint of LAION-CLAP (`.pt`).

    Raises:
        QueryError: There is none of that name, or what it needs is not installed.
        CheckpointError: Its weights are missing or damaged.
        WeightsError: They can't be fetched.
    """
    return _load(name)


@lru_cache(maxsize=4)
def _load(name: str) -> Encoder:
    from separate.errors import QueryError

    if name == "embedded":
        from separate.queries.embedded import EmbeddedEncoder

        return EmbeddedEncoder.shipped()
    if name == "tags":
        from separate.queries.tags import TagsEncoder

        return TagsEncoder()
    if name in ENCODERS or name.endswith((".pt", ".pth")):
        from separate.queries.clap import open_clap

        return open_clap(name)
    raise QueryError(
        f"there is no query net {name!r}; take one of: {', '.join(ENCODERS)}, or the path of a"
        " LAION-CLAP checkpoint (.pt)"
    )


def encoder_for(native: str, wanted: str | None = None) -> Encoder:
    """Return an encoder whose vectors a separator understands.

    Args:
        native: The encoder that the separator was trained with.
        wanted: The one to use; None: the native one. Another one goes through an alignment.

    Raises:
        QueryError: There is none of that name, or it can't be aligned well enough.
    """
    if wanted in (None, native):
        return load_encoder(native)
    assert wanted is not None
    encoder = load_encoder(wanted)
    if getattr(encoder, "space", wanted) == native:
        return encoder
    from separate.queries.align import aligned

    return aligned(encoder, load_encoder(native))
