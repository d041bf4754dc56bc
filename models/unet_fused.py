"""U-Nets prepared for inference: the same outputs to rounding, with fewer passes over memory.

In: a `UNet` or a Spleeter U-Net with its trained weights. Out: an object that encodes a segment
once and decodes one prepared query at a time.

Normalisation and FiLM are affine, so they are folded into the kernels: a query's kernels are made
once for a whole stream. The shift of a normalisation, folded into the convolution after it, gives a
constant map that differs only near the borders. The map is made once for each size of segment and
is added to the skips' half of the level, which all queries share. Of a layer normalisation the
affine part is folded; mean and deviation are taken off each time.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from threading import Lock

import torch
from torch import Tensor, nn
from torch.nn import functional

from separate.models.spleeter import BATCH_NORM_EPS, SKIP_CHANNELS, Spleeter, SpleeterUNet
from separate.models.unet import (
    LAST_SLOPE,
    Film,
    LayerNorm,
    UNet,
    interleave,
    phases,
    subpixel,
    subpixel_kernel,
    transposed_conv,
)

_LAYER_NORM_EPS = 1e-5
_SIZES_KEPT = 4
_TOGETHER = 3  # coarsest decoder levels that run for all queries at once: their kernels are large


@dataclass(frozen=True)
class DecoderQuery:
    """A query's kernels for a decoder."""

    bottleneck: tuple[Tensor, Tensor]  # scale and shift
    kernels: tuple[Tensor, ...]  # of the levels from `_TOGETHER` on
    shifts: tuple[Tensor, ...]  # the biases that go with them
    scales: tuple[Tensor, ...]  # of the shared half of each level


@dataclass(frozen=True)
class FusedFeatures:
    """The result of the encoder for a segment, which all queries share."""

    bottleneck: Tensor
    shared: tuple[Tensor, ...]  # one a level: the skips' half, bias and constant map; or phases
    head_map: Tensor  # the part of the head's output that comes from the last shift and its bias


class FusedUNet:
    """A `UNet`, or one of Spleeter's, which takes no query; see the module's docstring."""

    def __init__(self, net: UNet | SpleeterUNet) -> None:
        self.encoder: nn.Module = net.encoder
        self.film: Film | None
        decoder: nn.Module
        if isinstance(net, UNet):
            decoder, self.film, skips = net, net.film, net.skip_channels
            up: nn.Module = nn.ReLU(inplace=True)
            last: nn.Module = nn.LeakyReLU(LAST_SLOPE, inplace=True)
        else:
            decoder, self.film, skips = net.decoder, None, SKIP_CHANNELS
            up = last = net.decoder.activation
        self.activations = [up] * (len(decoder.convs) - 1) + [last]
        self.norms = [_affine(norm) for norm in decoder.norms]
        self.by_layer = isinstance(decoder.norms[0], LayerNorm)
        self.biases = [conv.get_parameter("bias") for conv in decoder.convs]
        weights = [conv.get_parameter("weight") for conv in decoder.convs]
        pairs = list(zip(weights, skips, strict=True))
        self.weights = [weight[skip:] for weight, skip in pairs]  # of what comes from below
        self.levels = len(weights)
        self.skip_ups = [
            _upsampler(weight[:skip], level) for level, (weight, skip) in enumerate(pairs) if level
        ]
        self.ups = [_upsampler(self._weight(level), level) for level in range(_TOGETHER)]
        self.head, self.head_bias = decoder.head.weight, decoder.head.bias
        self.head_kernel = _channels_last(self.head * self.norms[-1][0][:, None, None])
        self._no_query = self.query()
        self._lock = Lock()
        self._maps: dict[tuple[int, int], list[Tensor]] = {}

    def query(self, vector: Tensor | None = None) -> DecoderQuery:
        """Fold a query vector `(dim,)` into the kernels; None where the net takes no query."""
        if self.film is None or vector is None:
            one, zero = self.biases[0].new_ones(1, 1, 1), self.biases[0].new_zeros(1, 1, 1)
            film = [(one, zero)] * (self.levels + 1)
        else:
            film = [(scale[0], shift[0]) for scale, shift in self.film(vector[None])]
        kernels, shifts, scales = [], [], []
        for level, (scale, shift) in enumerate(film[1:]):
            if level >= _TOGETHER:
                kernels.append(_prepared(self._weight(level) * scale[None], level))
            width = self.biases[level].shape[0]
            times = 4 if subpixel(level, width) else 1  # one for each phase
            shifts.append(shift.flatten().expand(width).repeat(times))
            scales.append(scale.expand(width, 1, 1).repeat(times, 1, 1))
        return DecoderQuery(film[0], tuple(kernels), tuple(shifts), tuple(scales))

    def __call__(self, magnitude: Tensor) -> Tensor:
        """Map `(1, inputs, frames, freq)` to the head's output where the net takes no query."""
        return next(self.decode(self.encode(magnitude), [self._no_query]))

    def encode(self, magnitude: Tensor) -> FusedFeatures:
        """Encode `(1, inputs, frames, freq)`, both multiples of 64."""
        outputs = self.encoder(_channels_last(magnitude))
        *maps, head_map = self._constant_maps(outputs[-1])
        shared = [maps[0]]
        for level in range(1, self.levels):
            skip = self.skip_ups[level - 1](outputs[-1 - level])
            shared.append(skip.add_(maps[level]))
        return FusedFeatures(outputs[-1], tuple(shared), head_map)

    def decode(self, features: FusedFeatures, queries: Sequence[DecoderQuery]) -> Iterator[Tensor]:
        """Yield the head's output for each query, `(1, channels, frames, freq)`."""
        starts = [
            torch.addcmul(q.bottleneck[1], features.bottleneck, q.bottleneck[0]) for q in queries
        ]
        x = _channels_last(torch.cat(starts))
        for level, upsample in enumerate(self.ups):
            y = upsample(x).add_(features.shared[level])
            scale = torch.stack([query.scales[level] for query in queries])
            shift = torch.stack([query.shifts[level][:, None, None] for query in queries])
            x = self._activate(level, torch.addcmul(shift, y, scale))
        for index, query in enumerate(queries):
            yield self._finish(x[index : index + 1], features, query)

    def _finish(self, x: Tensor, features: FusedFeatures, query: DecoderQuery) -> Tensor:
        """Run the finer levels of one query."""
        for level in range(_TOGETHER, self.levels):
            in_phases = subpixel(level, len(self.biases[level]))
            kernel, shared = query.kernels[level - _TOGETHER], features.shared[level]
            scale, shift = query.scales[level], query.shifts[level]
            if in_phases:
                y = _upsample(x, kernel, in_phases, shift).addcmul_(shared, scale)
            else:  # a transposed convolution is slower with a bias
                y = _upsample(x, kernel, in_phases)
                y = y.add_(torch.addcmul(shift[:, None, None], shared, scale))
            y = self._activate(level, y)
            x = interleave(y) if in_phases else y
        return functional.conv2d(x, self.head_kernel, padding=3, dilation=2).add_(features.head_map)

    def _activate(self, level: int, x: Tensor) -> Tensor:
        """Run a level's activation, and what of its normalisation is not folded into kernels."""
        x = self.activations[level](x)
        return _standardised(x) if self.by_layer else x

    def _weight(self, level: int) -> Tensor:
        """A level's kernel with the normalisation before it."""
        weight = self.weights[level]
        return weight * self.norms[level - 1][0][:, None, None, None] if level > 0 else weight

    def _constant_maps(self, bottleneck: Tensor) -> list[Tensor]:
        """Each level's bias and the head's, with what the shift of the norm before makes of it."""
        size = (bottleneck.shape[-2], bottleneck.shape[-1])
        with self._lock:  # several threads may separate windows at once
            if size not in self._maps:
                if len(self._maps) >= _SIZES_KEPT:
                    self._maps.pop(next(iter(self._maps)))
                self._maps[size] = self._maps_of(*size)
            return self._maps[size]

    def _maps_of(self, rows: int, columns: int) -> list[Tensor]:
        maps = [self.biases[0][None, :, None, None]]
        for level in range(1, self.levels):
            constant = _filled(self.norms[level - 1][1], rows * 2**level, columns * 2**level)
            spread = transposed_conv(constant, self.weights[level], in_phases=False)
            spread = spread + self.biases[level][:, None, None]
            in_phases = subpixel(level, len(self.biases[level]))
            maps.append(_channels_last(phases(spread) if in_phases else spread))
        constant = _filled(self.norms[-1][1], rows * 2**self.levels, columns * 2**self.levels)
        last = functional.conv2d(constant, self.head, self.head_bias, padding=3, dilation=2)
        return [*maps, _channels_last(last)]


class FusedSpleeter:
    """All nets of an open model; the estimates equal `Spleeter`'s to rounding."""

    def __init__(self, model: Spleeter) -> None:
        self.model = model
        self.nets = [FusedUNet(net) for net in model.nets.values()]  # type: ignore[arg-type]

    def __call__(self, magnitude: Tensor) -> Tensor:
        """Map `(1, 2, frames, 1024)` to `(1, stems, 2, frames, 1024)`, frames a multiple of 64."""
        return self.model.estimates([net(magnitude).contiguous() for net in self.nets], magnitude)


def _affine(norm: nn.Module) -> tuple[Tensor, Tensor]:
    """Scale and shift of a normalisation, with its statistics where they are fixed."""
    state = norm.state_dict()
    if isinstance(norm, LayerNorm):
        return state["weight"], state["bias"]
    scale = state["weight"] * torch.rsqrt(state["running_var"] + BATCH_NORM_EPS)
    return scale, state["bias"] - state["running_mean"] * scale


def _standardised(x: Tensor) -> Tensor:
    """Take mean and deviation off each example, as `LayerNorm` does, in place.

    Sums and dot products, since a variance is much slower.
    """
    rows = [row.permute(1, 2, 0).flatten() for row in x]  # in the order of channels-last memory
    mean = torch.stack([row.mean() for row in rows])
    power = torch.stack([row.dot(row) / len(row) for row in rows])
    scale = ((power - mean.square()).clamp_min(0) + _LAYER_NORM_EPS).rsqrt()
    if len(rows) > 1:
        return x.sub_(mean[:, None, None, None]).mul_(scale[:, None, None, None])
    # One pass over memory, without broadcasting.
    return torch.add(-(mean * scale).squeeze(), x, alpha=float(scale), out=x)


def _filled(values: Tensor, rows: int, columns: int) -> Tensor:
    """A constant map `(1, channels, rows, columns)`."""
    return values[None, :, None, None].expand(1, -1, rows, columns)


def _channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def _upsampler(weight: Tensor, level: int) -> Callable[[Tensor], Tensor]:
    """A level's transposed convolution, without bias."""
    return partial(
        _upsample, kernel=_prepared(weight, level), in_phases=subpixel(level, weight.shape[1])
    )


def _prepared(weight: Tensor, level: int) -> Tensor:
    """A kernel as `_upsample` takes it."""
    return _channels_last(subpixel_kernel(weight) if subpixel(level, weight.shape[1]) else weight)


def _upsample(x: Tensor, kernel: Tensor, in_phases: bool, bias: Tensor | None = None) -> Tensor:
    """Upsample; where few channels come out to four phases that are yet to be interleaved."""
    if not in_phases:
        return functional.conv_transpose2d(x, kernel, bias, stride=2, padding=1)[..., :-1, :-1]
    return functional.conv2d(x, kernel, bias, padding=1)
