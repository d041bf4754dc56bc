"""The conditioned U-Net prepared for inference: the same numbers with fewer passes over memory.

In: a `QueryUNet` with its trained weights. Out: an object that hears a mixture once and decodes one
prepared query at a time.

Normalisation and FiLM are affine, so they are folded into the kernels: a query's kernels are made
once for a whole stream. Folding the shift of a normalisation into the convolution after it leaves a
constant map that differs only near the borders; it is made once for each size of window and joins
the skips' half of the level, which all queries share.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from threading import Lock

import torch
from torch import Tensor
from torch.nn import functional

from separate.models.bands import continued, from_bands
from separate.models.spleeter import BATCH_NORM_EPS, FREQ_BINS, SpleeterUNet
from separate.models.unet import (
    SUBPIXEL_LEVEL,
    QueryUNet,
    Trunk,
    interleave,
    music_input,
    subpixel_kernel,
)

_SIZES_KEPT = 4
_TOGETHER = 3  # coarsest decoder levels that run for all queries at once: their kernels are large


@dataclass(frozen=True)
class TrunkQuery:
    """A query's kernels for the music trunk."""

    bottleneck: tuple[Tensor, Tensor]  # scale and shift
    kernels: tuple[Tensor, ...]  # of the levels from `_TOGETHER` on
    shifts: tuple[Tensor, ...]  # the biases that go with them
    scales: tuple[Tensor, ...]  # of the shared half of each level


@dataclass(frozen=True)
class FusedQuery:
    """A query prepared for the networks that it needs."""

    voice: float  # share of the voice's mask
    backing: float  # share of all but the voice
    music: TrunkQuery | None  # for what is left of one; None where nothing is left


@dataclass(frozen=True)
class TrunkFeatures:
    """What a trunk computes once for all queries of a window."""

    bottleneck: Tensor
    shared: tuple[Tensor, ...]  # one a level: the skips' half, bias and constant map


class FusedTrunk:
    """The music trunk; see the module's docstring."""

    def __init__(self, trunk: Trunk) -> None:
        self.trunk = trunk
        self.levels = len(trunk.convs)
        self.norms = [_affine(norm) for norm in trunk.norms]
        self.kernels = [self._kernel(level) for level in range(_TOGETHER)]
        self._lock = Lock()
        self._maps: dict[tuple[int, int], list[Tensor]] = {}

    def encode(self, magnitude: Tensor) -> TrunkFeatures:
        """Encode `(1, 4, frames, 512)`, frames a multiple of 64."""
        features = self.trunk.encode(magnitude)
        maps = self._constant_maps(features.bottleneck)
        shared = [maps[0]]
        shared += [skip.add_(m) for skip, m in zip(features.skips, maps[1:], strict=True)]
        return TrunkFeatures(features.bottleneck, tuple(shared))

    def query(self, vector: Tensor) -> TrunkQuery:
        """Fold a query vector `(dim,)` into the kernels."""
        film = [(scale[0], shift[0]) for scale, shift in self.trunk.film(vector[None])]
        kernels, shifts = [], []
        for level, (scale, shift) in enumerate(film[1:]):
            if level >= _TOGETHER:
                kernels.append(self._kernel(level, scale[:, 0, 0]))
            finer = level >= SUBPIXEL_LEVEL
            shifts.append(shift.flatten().repeat(4) if finer else shift.flatten())
        return TrunkQuery(
            film[0], tuple(kernels), tuple(shifts), tuple(scale for scale, _ in film[1:])
        )

    def _kernel(self, level: int, scale: Tensor | None = None) -> Tensor:
        """A level's kernel with the normalisation before it and a query's scale after it."""
        kernel = self.trunk.weight(level, skip=False)
        if scale is not None:
            kernel = kernel * scale[None, :, None, None]
        if level > 0:
            kernel = kernel * self.norms[level - 1][0][:, None, None, None]
        if level >= SUBPIXEL_LEVEL:
            kernel = subpixel_kernel(kernel)
        return kernel.contiguous(memory_format=torch.channels_last)

    def decode(self, features: TrunkFeatures, queries: Sequence[TrunkQuery]) -> Iterator[Tensor]:
        """Yield each query's mask logits `(1, 2, frames, 512)`."""
        starts = [
            torch.addcmul(q.bottleneck[1], features.bottleneck, q.bottleneck[0]) for q in queries
        ]
        x = torch.cat(starts).contiguous(memory_format=torch.channels_last)
        for level, kernel in enumerate(self.kernels):
            y = _upsample(x, kernel, None, level) + features.shared[level]
            scale = torch.stack([query.scales[level] for query in queries])
            shift = torch.stack([query.shifts[level][:, None, None] for query in queries])
            x = self.trunk.activate(level, torch.addcmul(shift, y, scale))
        for index, query in enumerate(queries):
            yield self._finish(x[index : index + 1], features, query)

    def _finish(self, x: Tensor, features: TrunkFeatures, query: TrunkQuery) -> Tensor:
        """Run the finer levels of one query."""
        for level in range(_TOGETHER, self.levels):
            y = _upsample(x, query.kernels[level - _TOGETHER], query.shifts[level], level)
            y = torch.addcmul(y, features.shared[level], query.scales[level])
            x = self.trunk.activate(level, y)
        return self.trunk.logits(self.trunk.norms[-1](x))

    def _constant_maps(self, bottleneck: Tensor) -> list[Tensor]:
        """Bias of each level plus what the level before's normalisation shift makes of it."""
        size = (bottleneck.shape[-2], bottleneck.shape[-1])
        with self._lock:  # several threads may separate windows at once
            return self._maps_of_size(size)

    def _maps_of_size(self, size: tuple[int, int]) -> list[Tensor]:
        if size not in self._maps:
            if len(self._maps) >= _SIZES_KEPT:
                self._maps.pop(next(iter(self._maps)))
            maps = [self.trunk.bias(0)[None, :, None, None]]
            for level in range(1, self.levels):
                rows, columns = (n * 2**level for n in size)
                constant = self.norms[level - 1][1][None, :, None, None]
                constant = constant.expand(1, -1, rows, columns)
                spread = functional.conv_transpose2d(
                    constant, self.trunk.weight(level, skip=False), self.trunk.bias(level), 2, 1
                )
                maps.append(spread[..., :-1, :-1].contiguous(memory_format=torch.channels_last))
            self._maps[size] = maps
        return self._maps[size]


class FusedVoice:
    """The voice net: Spleeter's U-Net with the fine levels at the lower resolution."""

    def __init__(self, net: SpleeterUNet) -> None:
        self.encoder, self.decoder = net.encoder, net.decoder
        self.kernels = [
            subpixel_kernel(conv.weight).contiguous(memory_format=torch.channels_last)
            for conv in net.decoder.convs[SUBPIXEL_LEVEL:]
        ]

    def logits(self, magnitude: Tensor) -> Tensor:
        """Map `(1, 2, frames, 1024)`, channels last, to a mask's logits of that shape."""
        features = self.encoder(magnitude)
        x = features[-1]
        for level, (conv, norm) in enumerate(
            zip(self.decoder.convs, self.decoder.norms, strict=True)
        ):
            if level > 0:
                x = torch.cat([features[-1 - level], x], dim=1)
            if level >= SUBPIXEL_LEVEL:
                kernel = self.kernels[level - SUBPIXEL_LEVEL]
                x = interleave(functional.conv2d(x, kernel, conv.bias.repeat(4), padding=1))
            else:
                x = conv(x)
            x = norm(functional.relu_(x))
        return self.decoder.head(functional.pad(x, (3, 3, 3, 3)))


class FusedUNet:
    """Voice net, music trunk and gate; the masks equal `QueryUNet`'s to rounding."""

    def __init__(self, net: QueryUNet) -> None:
        self.net = net
        self.music = FusedTrunk(net.music)
        self.voice = FusedVoice(net.voice)

    def query(self, vector: Tensor) -> FusedQuery:
        """Prepare a query vector `(dim,)` for any number of windows."""
        voice, backing, music = self.net.shares(vector[None])[0].tolist()
        return FusedQuery(voice, backing, self.music.query(vector) if music > 0 else None)

    def masks(
        self, magnitude: Tensor, queries: Sequence[FusedQuery], strength: float = 1.0
    ) -> list[Tensor]:
        """Return a mask for each query.

        Args:
            magnitude: `(1, 2, frames, 2049)`, frames a multiple of 64.
            queries: Prepared queries.
            strength: Of the masks: m^s / (m^s + (1 - m)^s), a larger one decides harder.

        Returns:
            For each query 0..1, of the mixture's shape.
        """
        known = magnitude[..., :FREQ_BINS].contiguous(memory_format=torch.channels_last)
        logits = self.voice.logits(known).contiguous()
        voice = continued(logits.sigmoid(), magnitude.shape[-1])
        wanted = [query.music for query in queries if query.music is not None]
        decoded: Iterator[Tensor] = iter(())
        if wanted:
            features = self.music.encode(music_input(magnitude, voice))
            decoded = self.music.decode(features, wanted)
        if strength != 1:
            voice = continued((strength * logits).sigmoid(), magnitude.shape[-1])
        masks = []
        for query in queries:
            mask = query.voice * voice + query.backing * (1 - voice)
            if query.music is not None:
                music = from_bands((strength * next(decoded)).sigmoid().contiguous())
                share = 1 - query.voice - query.backing
                mask = music if share == 1 else mask + share * music
            masks.append(mask)
        return masks


def _affine(norm: torch.nn.Module) -> tuple[Tensor, Tensor]:
    """Scale and shift of a normalisation with fixed statistics."""
    state = norm.state_dict()
    scale = state["weight"] * torch.rsqrt(state["running_var"] + BATCH_NORM_EPS)
    return scale, state["bias"] - state["running_mean"] * scale


def _upsample(x: Tensor, kernel: Tensor, bias: Tensor | None, level: int) -> Tensor:
    if level >= SUBPIXEL_LEVEL:
        return interleave(functional.conv2d(x, kernel, bias, padding=1))
    return functional.conv_transpose2d(x, kernel, bias, stride=2, padding=1)[..., :-1, :-1]
