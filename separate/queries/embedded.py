"""The encoder that ships in the wheel; its vectors have unit length and 128 dimensions."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import separate.models
from separate.errors import QueryError
from separate.models.query_net import QueryNet, load_query_net

WEIGHTS_NAME = "query-embedded"


def shipped_path() -> Path:
    """Return where the shipped weights lie."""
    return Path(separate.models.__path__[0]) / "weights" / f"{WEIGHTS_NAME}.safetensors"


class EmbeddedEncoder:
    """Text tower and audio tower behind the `QueryEncoder` interface."""

    name = "embedded"

    def __init__(self, net: QueryNet, card: dict[str, Any]) -> None:
        self.net = net.requires_grad_(False)
        self.card = card
        self.dim = net.dim
        self.fingerprint = str(card["sha256"])

    @classmethod
    def shipped(cls) -> "EmbeddedEncoder":
        """Load the shipped weights."""
        return cls(*load_query_net(shipped_path()))

    @torch.no_grad()
    def embed_text(self, phrases: Sequence[str]) -> Tensor:
        """Embed phrases.

        Args:
            phrases: Any English words.

        Returns:
            `(n, dim)`, of unit length.

        Raises:
            QueryError: A phrase is empty, or holds no word that can be spelt in Latin letters.
        """
        _, mask = self.net.text.pad(phrases)
        for phrase, present in zip(phrases, mask.any(dim=1).tolist(), strict=True):
            if not present:
                raise QueryError(f"the query {phrase!r} has no English word; say what to separate")
        result: Tensor = self.net.text(phrases)
        return result

    def embed_audio(self, waveform: Tensor, sample_rate: int) -> Tensor:
        """Embed sounds; gradients flow to the waveform.

        Args:
            waveform: Mono, `(batch, time)`, in [-1, 1].
            sample_rate: Hz.

        Returns:
            `(batch, dim)`, of unit length.
        """
        return self.embed_and_tag(waveform, sample_rate)[0]

    def embed_and_tag(self, waveform: Tensor, sample_rate: int) -> tuple[Tensor, Tensor]:
        """Embed and tag sounds in one pass.

        Args:
            waveform: Mono, `(batch, time)`, in [-1, 1].
            sample_rate: Hz.

        Returns:
            Vectors `(batch, dim)` of unit length, and the likelihood `(batch, 527)` of each
            AudioSet class.

        Raises:
            QueryError: This net has no audio tower.
        """
        if self.net.audio is None:
            raise QueryError("this query net has no audio tower; query by words")
        vectors, logits = self.net.audio(waveform, sample_rate)
        return vectors, logits.sigmoid()


@lru_cache(maxsize=1)
@torch.random.fork_rng(devices=[])  # the first load must not move the generator of a caller
@torch.inference_mode(False)  # what is kept must serve training too
def shipped_encoder() -> EmbeddedEncoder:
    """Return the encoder that ships, loaded once.

    Raises:
        CheckpointError: Its weights are missing or damaged.
    """
    return EmbeddedEncoder.shipped()
