"""The conditioned U-Net: it encodes a mixture once and decodes a mask's logits for each query.

In: magnitude in bands `(batch, channels, frames, 512)`, query vectors `(batch, dim)`. Out: logits
`(batch, channels, frames, 512)`; `SmallUNet` maps magnitudes to masks `(..., 2049)`.

The layout is Spleeter's (see `separate.models.spleeter`): six strided convolutions down, six
transposed ones up, with skips. The query enters by feature-wise affine modulation (FiLM) of the
bottleneck and of each decoder level before its activation. The encoder and the skips' half of each
decoder level do not depend on the query, so they are computed once for all queries. Layer
normalisation keeps no running statistics: an output does not depend on the rest of the batch.
After its first convolutions the encoder may apply a small dense layer along frequency, which joins
the tones of a chord and the harmonics of a tone; convolutions do so only where time is coarse.

Sources: E. Perez et al., "FiLM: Visual reasoning with a general conditioning layer", AAAI 2018;
W. Choi et al., "Investigating U-Nets with various intermediate blocks for spectrogram-based singing
voice separation", ISMIR 2020.
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from separate.models.bands import BANDS, compressed, from_bands, to_bands
from separate.models.spleeter import SameConv, SameTransposedConv

LAST_SLOPE = 0.2  # of the last activation: a ReLU there dies early in training
_DENSE_LEVELS = 3  # of the encoder, finest first
_BLOCK_FRAMES = 32  # that a dense layer maps at a time
_VECTOR = 8  # channels
# From this decoder level on and up to so many channels, convolutions run at the lower resolution.
_SUBPIXEL_LEVEL, _SUBPIXEL_WIDTH = 4, 16


@dataclass(frozen=True)
class UNetConfig:
    """Size of a conditioned U-Net."""

    query_dim: int = 128  # length of a query vector
    film_dim: int = 128  # width of the layer between query and FiLM parameters
    channels: int = 1  # of the audio
    widths: tuple[int, ...] = (8, 16, 32, 64, 96, 128)  # of the encoder, finest first
    dense: int = 0  # width between a dense layer's halves; 0: no dense layers
    last: int = 0  # channels of the last decoder level, the costliest; 0: half the finest width

    @property
    def decoder_widths(self) -> tuple[int, ...]:
        """Of the decoder, coarsest first."""
        return (*reversed(self.widths[:-1]), self.last or max(4, self.widths[0] // 2))


@dataclass(frozen=True)
class Features:
    """The result of the encoder, which all queries of a mixture share."""

    bottleneck: Tensor  # (batch, channels, frames / 64, 8)
    skips: tuple[Tensor, ...]  # the skips' half of decoder levels 1..5, before bias


class LayerNorm(nn.GroupNorm):
    """Normalises each example over channels, frames and bands.

    PyTorch's GPU kernel for groups gives each group of each example one block of threads; here all
    cores of a GPU share the work.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(1, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(batch, channels, frames, bands)` to the same."""
        if x.device.type != "cpu":
            return self.by_moments(x)
        if _channels_first(x):
            return super().forward(x.contiguous()).contiguous(memory_format=torch.channels_last)
        return super().forward(x)

    def by_moments(self, x: Tensor) -> Tensor:
        """Compute the same result in two steps, each of which all cores of a GPU share."""
        variance, mean = torch.var_mean(x.float(), dim=(1, 2, 3), keepdim=True, correction=0)
        scale = self.weight[:, None, None] * (variance + self.eps).rsqrt()
        shift = self.bias[:, None, None] - mean * scale
        return torch.addcmul(shift.to(x.dtype), x, scale.to(x.dtype))


def _channels_first(x: Tensor) -> bool:
    """Return whether a level that is trained on a CPU is faster with channels first.

    A few channels in the last place fill no vector of PyTorch's kernels.
    """
    return x.shape[1] < _VECTOR and x.device.type == "cpu" and torch.is_grad_enabled()


class _Dense(nn.Module):
    """Adds the output of a two-layer perceptron along frequency; it is zero at first."""

    def __init__(self, channels: int, bands: int, width: int) -> None:
        super().__init__()
        self.norm = LayerNorm(channels)
        self.narrow = nn.Linear(bands, width)
        self.widen = nn.Linear(width, bands)
        nn.init.zeros_(self.widen.weight)
        nn.init.zeros_(self.widen.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(batch, channels, frames, bands)` to the same."""
        normed = self.norm(x)
        if torch.is_grad_enabled() or x.device.type != "cpu":
            return x + self._change(normed)
        pairs = zip(x.split(_BLOCK_FRAMES, 2), normed.split(_BLOCK_FRAMES, 2), strict=True)
        for part, output in pairs:  # that fit a core's cache
            change = self._change(output.transpose(1, 2).contiguous()).transpose(1, 2)
            output.copy_(change.add_(part))
        return normed

    def _change(self, normed: Tensor) -> Tensor:
        change: Tensor = self.widen(functional.leaky_relu(self.narrow(normed), 0.2))
        return change


class UNetEncoder(nn.Module):
    """Six strided convolutions; between them layer normalisation and the activation."""

    def __init__(self, inputs: int, config: UNetConfig) -> None:
        super().__init__()
        widths = (inputs, *config.widths)
        self.convs = nn.ModuleList(SameConv(a, b) for a, b in pairwise(widths))
        self.norms = nn.ModuleList(LayerNorm(width) for width in config.widths[:-1])
        self.activation = nn.LeakyReLU(0.2, inplace=True)
        self.dense = nn.ModuleList(
            _Dense(width, BANDS >> (level + 1), config.dense)
            for level, width in enumerate(config.widths[: _DENSE_LEVELS if config.dense else 0])
        )

    def forward(self, magnitude: Tensor) -> list[Tensor]:
        """Return the six outputs before normalisation, finest first.

        Args:
            magnitude: `(batch, inputs, frames, 512)`, frames a multiple of 64.
        """
        outputs: list[Tensor] = []
        x = magnitude
        for level, conv in enumerate(self.convs):
            x = conv(x)
            if level < len(self.dense):
                x = self.dense[level](x)
            outputs.append(x)
            if level < len(self.norms):
                x = self.activation(self.norms[level](x))
        return outputs


class Film(nn.Module):
    """Maps a query vector to a scale and a shift for each channel of each modulated layer."""

    def __init__(self, query_dim: int, film_dim: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.widths = widths
        self.hidden = nn.Linear(query_dim, film_dim)
        self.out = nn.Linear(film_dim, 2 * sum(widths))
        nn.init.zeros_(self.out.weight)  # at first every query gets the same estimate
        nn.init.zeros_(self.out.bias)

    def forward(self, query: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Map `(batch, dim)` to (scale, shift) pairs, each `(batch, width, 1, 1)`."""
        scaled = query * query.shape[-1] ** 0.5  # unit vectors to unit variance a coordinate
        parameters = self.out(functional.gelu(self.hidden(scaled)))[..., None, None]
        scale, shift = parameters.chunk(2, dim=1)
        pairs = zip(scale.split(self.widths, 1), shift.split(self.widths, 1), strict=True)
        return [(1 + a, b) for a, b in pairs]


class UNet(nn.Module):
    """Encoder, FiLM decoder, and a head that gives a mask's logits, in bands."""

    def __init__(self, config: UNetConfig, inputs: int) -> None:
        """Make the network.

        Args:
            config: Its size.
            inputs: Channels of its input; its masks have the audio's channels.
        """
        super().__init__()
        self.config = config
        down = config.widths
        self.skip_channels = (0, *reversed(down[:-1]))  # that join each decoder level
        self.widths = config.decoder_widths
        below = (down[-1], *self.widths[:-1])
        self.encoder = UNetEncoder(inputs, config)
        self.convs = nn.ModuleList(
            SameTransposedConv(skip + width, out)
            for skip, width, out in zip(self.skip_channels, below, self.widths, strict=True)
        )
        self.norms = nn.ModuleList(LayerNorm(width) for width in self.widths)
        outputs = 2 * config.channels
        self.head = nn.Conv2d(self.widths[-1], outputs, kernel_size=4, dilation=2, padding=3)
        self.film = Film(config.query_dim, config.film_dim, (down[-1], *self.widths))
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def encode(self, magnitude: Tensor) -> Features:
        """Compute the features that all queries share.

        Args:
            magnitude: `(batch, inputs, frames, 512)`, frames a multiple of 64.
        """
        outputs = self.encoder(magnitude.contiguous(memory_format=torch.channels_last))
        skips = [
            self._conv(level, outputs[-1 - level], skip=True) for level in range(1, len(self.convs))
        ]
        return Features(outputs[-1], tuple(skips))

    def decode(self, features: Features, query: Tensor) -> Tensor:
        """Return a mask's logits `(batch, channels, frames, 512)` for queries `(batch, dim)`."""
        film = self.film(query)
        scale, shift = film[0]
        x = features.bottleneck * scale + shift
        last = len(self.widths) - 1
        for level, norm in enumerate(self.norms):
            bias = self.convs[level].get_parameter("bias")
            y = self._conv(level, x, skip=False) + bias[:, None, None]
            if level > 0:
                y = y + features.skips[level - 1]
            scale, shift = film[level + 1]
            y = y * scale + shift
            y = functional.leaky_relu_(y, LAST_SLOPE) if level == last else functional.relu_(y)
            x = norm(y)
        return self._logits(x)

    def _logits(self, x: Tensor) -> Tensor:
        """Map the last level to the logits of the mask e^2 / (e^2 + r^2).

        e and r are sigmoid estimates of target and rest. Where the net is sure of neither or of
        both, the mask is one half, so that its gradient does not vanish during training.
        """
        target, rest = self.head(x).float().chunk(2, dim=1)
        return 2 * (functional.logsigmoid(target) - functional.logsigmoid(rest))

    def _conv(self, level: int, x: Tensor, skip: bool) -> Tensor:
        """Apply the part of a level's kernel `(in, out, 5, 5)` for the skip, or the other part."""
        weight: Tensor = self.convs[level].get_parameter("weight")
        width = self.skip_channels[level]
        weight = weight[:width] if skip else weight[width:]
        y = transposed_conv(x, weight, subpixel(level, self.widths[level]))
        return y.contiguous() if _channels_first(y) else y


class SmallUNet(UNet):
    """A `UNet` by itself: magnitudes in, masks out; quick to train from random weights."""

    def __init__(self, config: UNetConfig | None = None) -> None:
        config = config or UNetConfig()
        super().__init__(config, config.channels)

    def encode(self, magnitude: Tensor) -> Features:
        """Compute the features that all queries share.

        Args:
            magnitude: `(batch, channels, frames, 2049)`, frames a multiple of 64.
        """
        return super().encode(compressed(to_bands(magnitude)))

    def forward(self, magnitude: Tensor, query: Tensor) -> Tensor:
        """Return masks 0..1 `(batch, channels, frames, 2049)` for queries `(batch, dim)`."""
        return from_bands(self.decode(self.encode(magnitude), query).sigmoid())


def transposed_conv(x: Tensor, weight: Tensor, in_phases: bool) -> Tensor:
    """Transposed convolution of stride 2, cut 1 before and 2 after, without bias.

    Args:
        x: `(batch, in, frames, freq)`.
        weight: `(in, out, 5, 5)`.
        in_phases: Compute the same thing as a 3x3 convolution to four phases at the input's
            resolution (Shi et al., 2016): faster on a CPU where `out` is small.

    Returns:
        `(batch, out, 2 frames, 2 freq)`.
    """
    if not in_phases:
        return functional.conv_transpose2d(x, weight, stride=2, padding=1)[..., :-1, :-1]
    return interleave(functional.conv2d(x, subpixel_kernel(weight), padding=1))


def subpixel(level: int, width: int) -> bool:
    """Return whether a decoder level with so many outputs is faster as four phases."""
    return level >= _SUBPIXEL_LEVEL and width <= _SUBPIXEL_WIDTH


def subpixel_kernel(weight: Tensor) -> Tensor:
    """Rearrange `(in, out, 5, 5)` of `transposed_conv` to `(4 out, in, 3, 3)`, phases outermost."""
    taps = functional.pad(weight.transpose(0, 1), (0, 1, 0, 1))  # (out, in, 6, 6); tap 5 is zero
    # Output 2m + p takes input m - 1, m, m + 1 with taps 3, 1, none (p = 0) and 4, 2, 0 (p = 1).
    order = torch.tensor([[3, 1, 5], [4, 2, 0]], device=weight.device)
    phases = taps[:, :, order][..., order]  # (out, in, 2, 3, 2, 3)
    return phases.permute(2, 4, 0, 1, 3, 5).reshape(-1, weight.shape[0], 3, 3)


def interleave(x: Tensor) -> Tensor:
    """Interleave four phases: `(batch, 4 out, n, m)` to `(batch, out, 2 n, 2 m)`.

    This is a pixel shuffle with phases outermost, so that channels-last memory moves in runs.
    """
    batch, channels, rows, columns = x.shape
    last = x.permute(0, 2, 3, 1).reshape(batch, rows, columns, 2, channels // 2)
    grid = last.transpose(2, 3).reshape(batch, 2 * rows, 2 * columns, channels // 4)
    return grid.permute(0, 3, 1, 2)


def phases(x: Tensor) -> Tensor:
    """Undo `interleave`: `(batch, out, 2 n, 2 m)` to `(batch, 4 out, n, m)`."""
    grid = x.unflatten(-1, (-1, 2)).unflatten(-3, (-1, 2))
    return grid.permute(0, 3, 5, 1, 2, 4).flatten(1, 3)
