"""A U-Net that a query steers: features of a mixture once, then a mask's logits for each query.

In: magnitude in bands `(batch, channels, frames, 512)`, query vectors `(batch, dim)`. Out: logits
`(batch, 2, frames, 512)`.

The encoder does not see the query, and neither does the skips' half of each decoder level: both are
computed once for all queries. The query enters by feature-wise affine modulation (FiLM, Perez et
al., 2018) of the bottleneck and of each level before its activation.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from separate.models.spleeter import (
    BATCH_NORM_EPS,
    DECODER_CHANNELS,
    ENCODER_CHANNELS,
    SKIP_CHANNELS,
    Encoder,
    SameTransposedConv,
    SpleeterUNet,
)

# From this decoder level on and up to so many channels, convolutions run at the lower resolution.
_SUBPIXEL_LEVEL, _SUBPIXEL_WIDTH = 4, 16
INPUTS = 4  # of the music trunk: mixture and mixture without voice, left and right
LAST_SLOPE = 0.2  # of the last activation: a ReLU there dies early in training


@dataclass(frozen=True)
class Features:
    """What the music trunk computes once for all queries of a mixture."""

    bottleneck: Tensor  # (batch, channels, frames / 64, 8)
    skips: tuple[Tensor, ...]  # the skips' half of decoder levels 1..5, before bias


class Film(nn.Module):
    """Query vector -> a scale and a shift for each channel of each modulated layer."""

    def __init__(self, query_dim: int, film_dim: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.widths = widths
        self.hidden = nn.Linear(query_dim, film_dim)
        self.out = nn.Linear(film_dim, 2 * sum(widths))
        nn.init.zeros_(self.out.weight)  # at first every query gets the open net's estimate
        nn.init.zeros_(self.out.bias)

    def forward(self, query: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Map `(batch, dim)` to (scale, shift) pairs, each `(batch, width, 1, 1)`."""
        scaled = query * query.shape[-1] ** 0.5  # unit vectors to unit variance a coordinate
        parameters = self.out(functional.gelu(self.hidden(scaled)))[..., None, None]
        scale, shift = parameters.chunk(2, dim=1)
        pairs = zip(scale.split(self.widths, 1), shift.split(self.widths, 1), strict=True)
        return [(1 + a, b) for a, b in pairs]


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
    """Whether a level with so many outputs is faster as a convolution to four phases."""
    return level >= _SUBPIXEL_LEVEL and width <= _SUBPIXEL_WIDTH


def subpixel_kernel(weight: Tensor) -> Tensor:
    """Rearrange `(in, out, 5, 5)` of `transposed_conv` to `(4 out, in, 3, 3)`, phases outermost."""
    taps = functional.pad(weight.transpose(0, 1), (0, 1, 0, 1))  # (out, in, 6, 6); tap 5 is zero
    # Output 2m + p takes input m - 1, m, m + 1 with taps 3, 1, none (p = 0) and 4, 2, 0 (p = 1).
    order = torch.tensor([[3, 1, 5], [4, 2, 0]], device=weight.device)
    phases = taps[:, :, order][..., order]  # (out, in, 2, 3, 2, 3)
    return phases.permute(2, 4, 0, 1, 3, 5).reshape(-1, weight.shape[0], 3, 3)


def interleave(x: Tensor) -> Tensor:
    """Spread four phases `(batch, 4 out, n, m)` over a grid: `(batch, out, 2 n, 2 m)`.

    As a pixel shuffle, but with phases outermost, so that channels-last memory moves in runs.
    """
    batch, channels, rows, columns = x.shape
    last = x.permute(0, 2, 3, 1).reshape(batch, rows, columns, 2, channels // 2)
    grid = last.transpose(2, 3).reshape(batch, 2 * rows, 2 * columns, channels // 4)
    return grid.permute(0, 3, 1, 2)


def phases(x: Tensor) -> Tensor:
    """Undo `interleave`: `(batch, out, 2 n, 2 m)` to `(batch, 4 out, n, m)`."""
    grid = x.unflatten(-1, (-1, 2)).unflatten(-3, (-1, 2))
    return grid.permute(0, 3, 5, 1, 2, 4).flatten(1, 3)


class WindowNorm(nn.BatchNorm2d):
    """Batch normalisation that in use mixes trained statistics with those of each window.

    A recording unlike the training's is brought nearer to what the weights know (Li et al.,
    "Revisiting batch normalization for practical domain adaptation", 2016).
    """

    def __init__(self, channels: int, share: float) -> None:
        """Make the layer.

        Args:
            channels: Of its input.
            share: 0 (batch normalisation as it is) to 1 (the window's statistics alone).
        """
        super().__init__(channels, eps=BATCH_NORM_EPS)
        self.share = share

    def forward(self, x: Tensor) -> Tensor:
        """Normalise `(batch, channels, frames, freq)`, each example by itself."""
        if self.training or not self.share:
            return super().forward(x)
        assert self.running_mean is not None and self.running_var is not None
        variance, mean = torch.var_mean(x, dim=(2, 3), correction=0)
        mean = torch.lerp(self.running_mean, mean, self.share)
        scale = (
            self.weight * torch.lerp(self.running_var, variance, self.share).add(self.eps).rsqrt()
        )
        shift = self.bias - mean * scale
        return torch.addcmul(shift[..., None, None], x, scale[..., None, None])


class Trunk(nn.Module):
    """A Spleeter U-Net with a query: shared encoder, FiLM decoder, a mask's logits."""

    def __init__(
        self, query_dim: int, film_dim: int, last_channels: int, window_share: float
    ) -> None:
        """Make the network; see `separate.models.unet.UNetConfig` for its sizes."""
        super().__init__()
        self.encoder = Encoder(nn.LeakyReLU(0.2, inplace=True), INPUTS)
        self.encoder.norms = nn.ModuleList(
            WindowNorm(width, window_share) for width in ENCODER_CHANNELS[:-1]
        )
        self.skip_channels: tuple[int, ...] = SKIP_CHANNELS
        channels = self.widths = (*DECODER_CHANNELS[:-1], last_channels)
        inputs = (ENCODER_CHANNELS[-1], *channels[:-1])
        self.convs = nn.ModuleList(
            SameTransposedConv(skip + width, out)
            for skip, width, out in zip(self.skip_channels, inputs, channels, strict=True)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(width, eps=BATCH_NORM_EPS) for width in channels)
        self.head = nn.Conv2d(last_channels, 4, kernel_size=4, dilation=2, padding=3)
        self.film = Film(query_dim, film_dim, (ENCODER_CHANNELS[-1], *channels))

    def encode(self, magnitude: Tensor) -> Features:
        """Compute what all queries share.

        Args:
            magnitude: `(batch, 4, frames, 512)`, frames a multiple of 64.
        """
        outputs = self.encoder(magnitude.contiguous(memory_format=torch.channels_last))
        skips = [
            self._conv(level, outputs[-1 - level], skip=True) for level in range(1, len(self.convs))
        ]
        return Features(outputs[-1], tuple(skips))

    def decode(self, features: Features, query: Tensor) -> Tensor:
        """Return a mask's logits `(batch, 2, frames, 512)` for queries `(batch, dim)`."""
        film = self.film(query)
        scale, shift = film[0]
        x = features.bottleneck * scale + shift
        for level, norm in enumerate(self.norms):
            y = self._conv(level, x, skip=False) + self.bias(level)[:, None, None]
            if level > 0:
                y = y + features.skips[level - 1]
            scale, shift = film[level + 1]
            x = norm(self.activate(level, y * scale + shift))
        return self.logits(x)

    def logits(self, x: Tensor) -> Tensor:
        """Map the last level to the logits of the mask e^2 / (e^2 + r^2).

        e and r are sigmoid estimates of target and rest: where the net is sure of neither or of
        both, the mask is one half, which keeps it from going out for good while it learns.
        """
        target, rest = self.head(x).float().chunk(2, dim=1)
        return 2 * (functional.logsigmoid(target) - functional.logsigmoid(rest))

    def activate(self, level: int, x: Tensor) -> Tensor:
        """ReLU, leaky at the last level, in place."""
        last = level == len(self.widths) - 1
        return functional.leaky_relu_(x, LAST_SLOPE) if last else functional.relu_(x)

    def _conv(self, level: int, x: Tensor, skip: bool) -> Tensor:
        weight = self.weight(level, skip)
        return transposed_conv(x, weight, subpixel(level, self.widths[level]))

    def weight(self, level: int, skip: bool) -> Tensor:
        """The part of a level's kernel `(in, out, 5, 5)` that acts on the skip, or the other."""
        weight: Tensor = self.convs[level].get_parameter("weight")
        width = self.skip_channels[level]
        return weight[:width] if skip else weight[width:]

    def bias(self, level: int) -> Tensor:
        """A level's bias `(out,)`."""
        return self.convs[level].get_parameter("bias")

    def start_from(self, net: SpleeterUNet) -> None:
        """Copy an open net, which then looks at the mixture without voice.

        The last level's further channels and the head stay random: the open net's own masks are so
        sure that nothing could be learned from them.
        """
        state = net.encoder.state_dict()
        kernel = state["convs.0.weight"]
        state["convs.0.weight"] = torch.cat([torch.zeros_like(kernel), kernel], dim=1)
        self.encoder.load_state_dict(state)
        last = len(self.widths) - 1
        for level in range(last):
            self.convs[level].load_state_dict(net.decoder.convs[level].state_dict())
            self.norms[level].load_state_dict(net.decoder.norms[level].state_dict())
        with torch.no_grad():
            for ours, theirs, dim in (
                (self.convs[last].get_parameter("weight"), net.decoder.convs[last].weight, 1),
                (self.convs[last].get_parameter("bias"), net.decoder.convs[last].bias, 0),
                (self.norms[last].get_parameter("weight"), net.decoder.norms[last].weight, 0),
                (self.norms[last].get_parameter("bias"), net.decoder.norms[last].bias, 0),
            ):
                ours.narrow(dim, 0, 1).copy_(theirs)
            self.head.bias.zero_()

    def calibrate(self, magnitude: Tensor, query: Tensor) -> None:
        """Set all normalisations by what real mixtures in bands give.

        Args:
            magnitude: `(batch, 4, frames, 512)`.
            query: `(batch, dim)`.
        """
        norms = [*self.encoder.norms, *self.norms]
        with torch.no_grad():
            for norm in norms:
                norm.train()
                norm.momentum = None  # type: ignore[assignment]  # the plain average
                norm.reset_running_stats()  # type: ignore[operator]
            self.decode(self.encode(magnitude), query)
            for norm in norms:
                norm.eval()
