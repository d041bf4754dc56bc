"""The query U-Net prepared for inference: the masks of `QueryUNet` to rounding, computed faster.

In: a `QueryUNet` with its trained weights. Out: an object that makes masks of prepared queries.

Masks are kept at the networks' resolution and spread over all bins a few frames at a time.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce

import torch
from torch import Tensor

from separate.models.bands import compressed, continued, from_bands, to_bands
from separate.models.query_unet import QueryUNet
from separate.models.spleeter import FREQ_BINS
from separate.models.unet_fused import DecoderQuery, FusedUNet

_BLOCK_FRAMES = 32
_LARGEST_LOGIT = 80.0  # keeps e^x finite and normal


@dataclass(frozen=True)
class FusedQuery:
    """A query prepared for the networks that it needs."""

    voice: float  # weight of the voice's mask
    backing: float  # weight of its complement
    sounds_weight: float  # weight of the net for sounds; the music net has the rest of one
    sounds: DecoderQuery | None  # None where the weight is zero
    music: DecoderQuery | None


class FusedQueryUNet:
    """All networks and the gate."""

    def __init__(self, net: QueryUNet) -> None:
        self.net = net
        self.voice = FusedUNet(net.voice)

    # Prepared once a query needs it: its kernels take time and memory.
    @cached_property
    def music(self) -> FusedUNet:
        """The music net."""
        return FusedUNet(self.net.music)

    @cached_property
    def sounds(self) -> FusedUNet:
        """The net for sounds, of a model that has one."""
        assert self.net.sounds is not None
        return FusedUNet(self.net.sounds)

    def query(self, vector: Tensor) -> FusedQuery:
        """Prepare a query vector `(dim,)` for any number of windows."""
        voice, backing, sounds, music = self.net.expert_weights(vector[None])[0].tolist()
        return FusedQuery(
            voice,
            backing,
            sounds,
            self.sounds.query(vector) if sounds > 0 else None,
            self.music.query(vector) if music > 0 else None,
        )

    def masks(
        self, magnitude: Tensor, queries: Sequence[FusedQuery], exponent: float = 1.0
    ) -> list["FusedMask"]:
        """Return a mask for each query.

        Args:
            magnitude: `(1, 2, frames, 2049)`, frames a multiple of 64.
            queries: Prepared queries.
            exponent: s of m^s / (m^s + (1 - m)^s); a larger one brings masks nearer to 0 and 1.
        """
        music = [query.music for query in queries if query.music is not None]
        sounds = [query.sounds for query in queries if query.sounds is not None]
        voice: Tensor | None = None
        of_music: Iterator[Tensor] = iter(())
        of_sounds: Iterator[Tensor] = iter(())
        if music or any(query.voice or query.backing for query in queries):
            logits = self.voice(magnitude[..., :FREQ_BINS]).contiguous()
            voice = logits.sigmoid()
            if music:
                features = self.music.encode(self._music_input(magnitude, voice))
                of_music = self.music.decode(features, music)
            if exponent != 1:
                voice = (exponent * logits).sigmoid()
        if sounds:
            features = self.sounds.encode(compressed(to_bands(magnitude)))
            of_sounds = self.sounds.decode(features, sounds)
        masks = []
        for query in queries:
            banded = []
            if query.music is not None:
                weight = 1 - query.voice - query.backing - query.sounds_weight
                banded.append(_mask(next(of_music).contiguous(), exponent).mul_(weight))
            if query.sounds is not None:
                mask = _mask(next(of_sounds).contiguous(), exponent)
                banded.append(mask.mul_(query.sounds_weight))
            masks.append(FusedMask(query, voice, reduce(torch.add, banded) if banded else None))
        return masks

    def _music_input(self, magnitude: Tensor, voice: Tensor) -> Tensor:
        """Compute `QueryUNet.music_input` in blocks that fit a core's cache.

        Args:
            magnitude: `(1, 2, frames, 2049)`.
            voice: The voice's mask, `(1, 2, frames, 1024)`.
        """
        gain = self.net.music_gain(magnitude)
        pairs = zip(magnitude.split(_BLOCK_FRAMES, 2), voice.split(_BLOCK_FRAMES, 2), strict=True)
        parts = [self.net.music_input(part, continued(mask), gain) for part, mask in pairs]
        return torch.cat(parts, dim=2)


@dataclass(frozen=True)
class FusedMask:
    """A query's mask, expanded to the bins for the requested frames only."""

    query: FusedQuery
    voice: Tensor | None  # (1, 2, frames, 1024); None where no query needs it
    banded: Tensor | None  # weighted sum of the other nets' masks, (1, 2, frames, 512)

    def __call__(self, frames: slice = slice(None)) -> Tensor:
        """Return some frames: 0..1, `(1, 2, frames, 2049)`."""
        query, parts = self.query, []
        if self.voice is not None and (query.voice or query.backing):
            voice = continued(self.voice[:, :, frames])
            parts += [voice * query.voice] * (query.voice > 0)
            parts += [(1 - voice) * query.backing] * (query.backing > 0)
        if self.banded is not None:
            parts.append(from_bands(self.banded[:, :, frames]))
        return reduce(torch.add, parts)


def _mask(head: Tensor, exponent: float) -> Tensor:
    """Return sigmoid(2 s (log sigmoid(e) - log sigmoid(r))), s the exponent, as `UNet` does for 1.

    Args:
        head: e and r, target and rest before their sigmoids, `(1, 4, frames, bands)`; overwritten.
        exponent: s.
    """
    target, rest = (
        head.clamp_(-_LARGEST_LOGIT, _LARGEST_LOGIT).neg_().exp_().add_(1).chunk(2, dim=1)
    )
    odds = target.div_(rest)
    odds = odds.square_() if exponent == 1 else odds.pow_(2 * exponent)
    return odds.add_(1).reciprocal_()
