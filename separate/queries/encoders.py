"""Query encoders by name, loaded once, and aligned to the space that a separator was trained in."""

from functools import lru_cache

from separate.errors import QueryError
from separate.queries.base import QueryEncoder

ENCODERS = ("embedded", "tags", "clap", "clap-music")


def load_encoder(name: str = "embedded") -> QueryEncoder:
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
def _load(name: str) -> QueryEncoder:
    if name == "embedded":
        from separate.queries.embedded import shipped_encoder

        return shipped_encoder()
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


def encoder_for(native: str, wanted: str | None = None) -> QueryEncoder:
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
