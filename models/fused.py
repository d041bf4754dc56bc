"""The conditioned U-Net prepared for inference: the same numbers with fewer passes over memory.

In: a `QueryUNet` with its trained weights. Out: an object that encodes a mixture once and decodes
one prepared query at a time.

Normalisation and FiLM are affine, so they are folded into the kernels: a query's kernels are made
once for a whole stream. Folding the shift of a normalisation into the convolution after it leaves a
constant map that differs only near the borders; it is made once for each size of window and joins
the skips' half of the level, which all queries share.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from separate.models.spleeter import BATCH_NORM_EPS
from separate.models.unet import SUBPIXEL_LEVEL, QueryUNet, Trunk, subpixel_kernel

_SIZES_KEPT = 4


@dataclass(frozen=True)
class TrunkQuery:
    """A query's kernels for one trunk."""

    bottleneck: tuple[Tensor, Tensor]  # scale and shift
    kernels: tuple[Tensor, ...]  # one a level
    shifts: tuple[Tensor, ...]  # the biases that go with them
    scales: tuple[Tensor, ...]  # of the shared half of each level


@dataclass(frozen=True)
class FusedQuery:
    """A query prepared for the trunks that it needs."""

    voice_share: float
    music: TrunkQuery | None  # None where the voice trunks give all
    voice: tuple[TrunkQuery, TrunkQuery] | None  # of voice and backing; None: the gate is closed


@dataclass(frozen=True)
class TrunkFeatures:
    """What a trunk computes once for all queries of a window."""

    bottleneck: Tensor
    shared: tuple[Tensor, ...]  # one a level: the skips' half, bias and constant map


class FusedTrunk:
    """One trunk; see the module's docstring."""

    def __init__(self, trunk: Trunk) -> None:
        self.trunk = trunk
        self.levels = len(trunk.convs)
        self.norms = [_affine(norm) for norm in trunk.norms]
        self._maps: dict[tuple[int, int], list[Tensor]] = {}

    def encode(self, magnitude: Tensor) -> TrunkFeatures:
        """Encode `(1, 2, frames, 1024)`, frames a multiple of 64."""
        features = self.trunk.encode(magnitude)
        maps = self._constant_maps(features.bottleneck)
        shared = [maps[0]]
        shared += [skip.add_(m) for skip, m in zip(features.skips, maps[1:], strict=True)]
        return TrunkFeatures(features.bottleneck, tuple(shared))

    def query(self, vector: Tensor) -> TrunkQuery:
        """Fold a query vector `(dim,)` into the kernels."""
        film = [(scale[0], shift[0]) for scale, shift in self.trunk.film(vector[None])]
        kernels, shifts, scales = [], [], []
        for level in range(self.levels):
            scale, shift = film[level + 1]
            kernel = self.trunk.weight(level, skip=False) * scale[:, 0, 0][None, :, None, None]
            if level > 0:
                kernel = kernel * self.norms[level - 1][0][:, None, None, None]
            bias = shift.flatten()
            if level >= SUBPIXEL_LEVEL:
                kernel, bias = subpixel_kernel(kernel), bias.repeat_interleave(4)
            kernels.append(kernel.contiguous(memory_format=torch.channels_last))
            shifts.append(bias)
            scales.append(scale)
        return TrunkQuery(film[0], tuple(kernels), tuple(shifts), tuple(scales))

    def decode(self, features: TrunkFeatures, query: TrunkQuery) -> Tensor:
        """Return mask logits `(1, outputs, frames, 1024)`."""
        scale, shift = query.bottleneck
        x = torch.addcmul(shift, features.bottleneck, scale)
        for level in range(self.levels):
            y = _upsample(x, query.kernels[level], query.shifts[level], level)
            y = torch.addcmul(y, features.shared[level], query.scales[level])
            x = self.trunk.activate(level, y)
        head, last = self.trunk.head, self.trunk.norms[-1]
        return head(functional.pad(last(x), (3, 3, 3, 3)))

    def _constant_maps(self, bottleneck: Tensor) -> list[Tensor]:
        """Bias of each level plus what the level before's normalisation shift makes of it."""
        size = (bottleneck.shape[-2], bottleneck.shape[-1])
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


class FusedUNet:
    """All trunks; the results equal `QueryUNet`'s to rounding."""

    def __init__(self, net: QueryUNet) -> None:
        self.net = net
        self.music = FusedTrunk(net.music)
        self.voices = (FusedTrunk(net.voice), FusedTrunk(net.backing))

    def query(self, vector: Tensor) -> FusedQuery:
        """Prepare a query vector `(dim,)` for any number of windows."""
        share = float(self.net.voice_share(vector[None]))
        voice, backing = self.voices
        return FusedQuery(
            share,
            self.music.query(vector) if share < 1 else None,
            (voice.query(vector), backing.query(vector)) if share > 0 else None,
        )

    def estimate(self, magnitude: Tensor, queries: list[FusedQuery]) -> list[tuple[Tensor, Tensor]]:
        """Estimate target and rest for each query.

        Args:
            magnitude: `(1, 2, frames, 1024)`, frames a multiple of 64.
            queries: Prepared queries.

        Returns:
            For each query the two magnitudes, of the mixture's shape.
        """
        magnitude = magnitude.contiguous(memory_format=torch.channels_last)
        music = self.music.encode(magnitude) if any(q.music for q in queries) else None
        sung = [t.encode(magnitude) for t in self.voices] if any(q.voice for q in queries) else []
        estimates = []
        for query in queries:
            masks = None
            if query.music is not None and music is not None:
                masks = self.music.decode(music, query.music).sigmoid_()
            if query.voice is not None:
                parts = zip(self.voices, sung, query.voice, strict=True)
                voice = torch.cat([t.decode(f, q) for t, f, q in parts], dim=1).sigmoid_()
                masks = voice if masks is None else torch.lerp(masks, voice, query.voice_share)
            assert masks is not None
            target, rest = masks.chunk(2, dim=1)
            estimates.append((target * magnitude, rest * magnitude))
        return estimates


def _affine(norm: torch.nn.Module) -> tuple[Tensor, Tensor]:
    """Scale and shift of a normalisation with fixed statistics."""
    state = norm.state_dict()
    scale = state["weight"] * torch.rsqrt(state["running_var"] + BATCH_NORM_EPS)
    return scale, state["bias"] - state["running_mean"] * scale


def _upsample(x: Tensor, kernel: Tensor, bias: Tensor, level: int) -> Tensor:
    if level >= SUBPIXEL_LEVEL:
        return functional.pixel_shuffle(functional.conv2d(x, kernel, bias, padding=1), 2)
    return functional.conv_transpose2d(x, kernel, bias, stride=2, padding=1)[..., :-1, :-1]
