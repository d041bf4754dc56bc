"""The conditioned U-Net prepared for inference: the same masks as `QueryUNet`'s, sooner.

In: a `QueryUNet` with its trained weights. Out: an object that makes masks of prepared queries.

Masks are kept as the networks give them and spread over all bins a few frames at a time.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce

import torch
from torch import Tensor

from separate.models.bands import compressed, continued, from_bands, to_bands
from separate.models.fused import DecoderQuery, FusedTrunk
from separate.models.spleeter import FREQ_BINS
from separate.models.unet import QueryUNet

_BLOCK_FRAMES = 32
_LARGEST_LOGIT = 80.0  # keeps e^x finite and normal


@dataclass(frozen=True)
class FusedQuery:
    """A query prepared for the networks that it needs."""

    voice: float  # share of the voice's mask
    backing: float  # share of all but the voice
    sounds: DecoderQuery | None  # None where nothing is its
    music: DecoderQuery | None
    sounds_share: float  # of that net; the music trunk has what is left of one


class FusedUNet:
    """All networks and the gate; the masks equal `QueryUNet`'s to rounding."""

    def __init__(self, net: QueryUNet) -> None:
        self.net = net
        self.voice = FusedTrunk(net.voice)

    # Prepared once a query needs it: its kernels take time and memory.
    @cached_property
    def music(self) -> FusedTrunk:
        """The music trunk."""
        return FusedTrunk(self.net.music)

    @cached_property
    def sounds(self) -> FusedTrunk:
        """The net for sounds, of a model that has one."""
        assert self.net.sounds is not None
        return FusedTrunk(self.net.sounds)

    def query(self, vector: Tensor) -> FusedQuery:
        """Prepare a query vector `(dim,)` for any number of windows."""
        voice, backing, share, music = self.net.shares(vector[None])[0].tolist()
        sounds = self.sounds.query(vector) if share > 0 else None
        decoder = self.music.query(vector) if music > 0 else None
        return FusedQuery(voice, backing, sounds, decoder, share)

    def masks(
        self, magnitude: Tensor, queries: Sequence[FusedQuery], strength: float = 1.0
    ) -> list["FusedMask"]:
        """Return a mask for each query.

        Args:
            magnitude: `(1, 2, frames, 2049)`, frames a multiple of 64.
            queries: Prepared queries.
            strength: Of the masks: m^s / (m^s + (1 - m)^s), a larger one decides harder.
        """
        music = [query.music for query in queries if query.music is not None]
        sounds = [query.sounds for query in queries if query.sounds is not None]
        voice = logits = None
        if music or any(query.voice or query.backing for query in queries):
            logits = self.voice(magnitude[..., :FREQ_BINS]).contiguous()
            voice = logits.sigmoid()
        played: Iterator[Tensor] = iter(())
        if music:
            played = self.music.decode(
                self.music.encode(self._music_input(magnitude, voice)), music
            )
        heard: Iterator[Tensor] = iter(())
        if sounds:
            heard = self.sounds.decode(self.sounds.encode(compressed(to_bands(magnitude))), sounds)
        if strength != 1 and logits is not None:
            voice = (strength * logits).sigmoid()
        masks = []
        for query in queries:
            banded = []
            if query.music is not None:
                left = 1 - query.voice - query.backing - query.sounds_share
                banded.append(_mask(next(played).contiguous(), strength).mul_(left))
            if query.sounds is not None:
                banded.append(_mask(next(heard).contiguous(), strength).mul_(query.sounds_share))
            masks.append(FusedMask(query, voice, reduce(torch.add, banded) if banded else None))
        return masks

    def _music_input(self, magnitude: Tensor, voice: Tensor) -> Tensor:
        """As the network's, in blocks that fit a core's cache; of the voice only 1,024 bins."""
        gain = self.net.music_gain(magnitude)
        pairs = zip(magnitude.split(_BLOCK_FRAMES, 2), voice.split(_BLOCK_FRAMES, 2), strict=True)
        parts = [self.net.music_input(part, continued(mask), gain) for part, mask in pairs]
        return torch.cat(parts, dim=2)


@dataclass(frozen=True)
class FusedMask:
    """A query's mask, spread over the bins only where it is looked at."""

    query: FusedQuery
    voice: Tensor | None  # (1, 2, frames, 1024); None where no query needs it
    banded: Tensor | None  # the other nets' masks by their shares, (1, 2, frames, 512)

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


def _mask(head: Tensor, strength: float) -> Tensor:
    """The mask that `Trunk.logits` gives, hardened: a sigmoid of 2 s (log s(target) - log s(rest)).

    Args:
        head: Target and rest before their sigmoids, `(1, 4, frames, bands)`; it is overwritten.
        strength: s.
    """
    target, rest = (
        head.clamp_(-_LARGEST_LOGIT, _LARGEST_LOGIT).neg_().exp_().add_(1).chunk(2, dim=1)
    )
    odds = target.div_(rest)
    odds = odds.square_() if strength == 1 else odds.pow_(2 * strength)
    return odds.add_(1).reciprocal_()
