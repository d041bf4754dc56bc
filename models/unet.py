"""The query-conditioned U-Net: a query in, the magnitudes of source and rest out.

In: magnitude `(batch, 2, frames, 1024)` of a stereo mixture and a query vector `(batch, dim)`.
Out: two estimates of the same shape, the target's and the rest's; the mask is their Wiener ratio.

Three trunks, each a Spleeter U-Net made conditional. `music` (started from the accompaniment net)
estimates target and rest of any query. `voice` and `backing` (the open vocals and accompaniment
nets) estimate target and rest of queries that mean a voice. A gate read off the query chooses
between them, so that what the open nets know of voices is neither lost nor paid for by the others.

A trunk's encoder does not see the query, and neither does the skips' half of each decoder level:
both are computed once for all queries. The query enters by feature-wise affine modulation (FiLM,
Perez et al., 2018) of the bottleneck and of each level before its activation.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from separate.models.spleeter import (
    BATCH_NORM_EPS,
    DECODER_CHANNELS,
    ENCODER_CHANNELS,
    Decoder,
    Encoder,
    SameTransposedConv,
)

SUBPIXEL_LEVEL = 4  # from this decoder level on, convolutions run at the lower resolution
_LAST_SLOPE = 0.2  # of the music trunk's last activation: a ReLU there dies early in training
_GATE_CLOSED = 0.02  # below, the voice trunk is not run; above 1 - this, it is the target alone
_WIENER_EPS = 1e-10


@dataclass(frozen=True)
class UNetConfig:
    """Size of the conditioned U-Net."""

    query_dim: int = 128  # length of a query vector
    film_dim: int = 256  # width of the layer between query and FiLM parameters
    last_channels: int = 4  # channels of the last decoder level of the music trunk (Spleeter: 1)


@dataclass(frozen=True)
class Features:
    """What a trunk computes once for all queries of a mixture."""

    bottleneck: Tensor  # (batch, 512, frames / 64, 16)
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


def transposed_conv(x: Tensor, weight: Tensor, subpixel: bool) -> Tensor:
    """Transposed convolution of stride 2, cut 1 before and 2 after, without bias.

    Args:
        x: `(batch, in, frames, freq)`.
        weight: `(in, out, 5, 5)`.
        subpixel: Compute the same thing as a 3x3 convolution to four phases at the input's
            resolution (Shi et al., 2016): several times faster on a CPU where `out` is small.

    Returns:
        `(batch, out, 2 frames, 2 freq)`.
    """
    if not subpixel:
        return functional.conv_transpose2d(x, weight, stride=2, padding=1)[..., :-1, :-1]
    return functional.pixel_shuffle(functional.conv2d(x, subpixel_kernel(weight), padding=1), 2)


def subpixel_kernel(weight: Tensor) -> Tensor:
    """Rearrange `(in, out, 5, 5)` of `transposed_conv` to `(4 out, in, 3, 3)`, phases innermost."""
    taps = functional.pad(weight.transpose(0, 1), (0, 1, 0, 1))  # (out, in, 6, 6); tap 5 is zero
    # Output 2m + p takes input m - 1, m, m + 1 with taps 3, 1, none (p = 0) and 4, 2, 0 (p = 1).
    order = torch.tensor([[3, 1, 5], [4, 2, 0]], device=weight.device)
    phases = taps[:, :, order][..., order]  # (out, in, 2, 3, 2, 3)
    return phases.permute(0, 2, 4, 1, 3, 5).reshape(-1, weight.shape[0], 3, 3)


class Trunk(nn.Module):
    """A Spleeter U-Net with a query: shared encoder, FiLM decoder, `outputs` logit channels."""

    def __init__(
        self, config: UNetConfig, last_channels: int, outputs: int, last_slope: float = 0.0
    ) -> None:
        super().__init__()
        self.encoder = Encoder(nn.LeakyReLU(0.2))
        self.last_slope = last_slope
        channels = self.widths = (*DECODER_CHANNELS[:-1], last_channels)
        self.skip_widths = (0, *reversed(ENCODER_CHANNELS[:-1]))
        inputs = (ENCODER_CHANNELS[-1], *channels[:-1])
        self.convs = nn.ModuleList(
            SameTransposedConv(skip + width, out)
            for skip, width, out in zip(self.skip_widths, inputs, channels, strict=True)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(width, eps=BATCH_NORM_EPS) for width in channels)
        self.head = nn.Conv2d(last_channels, outputs, kernel_size=4, dilation=2)
        self.film = Film(config.query_dim, config.film_dim, (ENCODER_CHANNELS[-1], *channels))

    def encode(self, magnitude: Tensor) -> Features:
        """Compute what all queries share.

        Args:
            magnitude: `(batch, 2, frames, 1024)`, frames a multiple of 64.
        """
        outputs = self.encoder(magnitude.contiguous(memory_format=torch.channels_last))
        skips = [
            self._conv(level, outputs[-1 - level], skip=True) for level in range(1, len(self.convs))
        ]
        return Features(outputs[-1], tuple(skips))

    def decode(self, features: Features, query: Tensor) -> Tensor:
        """Return mask logits `(batch, outputs, frames, 1024)` for queries `(batch, dim)`."""
        film = self.film(query)
        scale, shift = film[0]
        x = features.bottleneck * scale + shift
        for level, norm in enumerate(self.norms):
            y = self._conv(level, x, skip=False) + self.bias(level)[:, None, None]
            if level > 0:
                y = y + features.skips[level - 1]
            scale, shift = film[level + 1]
            x = norm(self.activate(level, y * scale + shift))
        return self.head(functional.pad(x, (3, 3, 3, 3)))

    def activate(self, level: int, x: Tensor) -> Tensor:
        """ReLU, leaky at the last level, in place."""
        last = level == len(self.widths) - 1
        return functional.leaky_relu_(x, self.last_slope) if last else functional.relu_(x)

    def _conv(self, level: int, x: Tensor, skip: bool) -> Tensor:
        weight = self.weight(level, skip)
        return transposed_conv(x, weight, subpixel=level >= SUBPIXEL_LEVEL)

    def weight(self, level: int, skip: bool) -> Tensor:
        """The part of a level's kernel `(in, out, 5, 5)` that acts on the skip, or the other."""
        weight: Tensor = self.convs[level].get_parameter("weight")
        width = self.skip_widths[level]
        return weight[:width] if skip else weight[width:]

    def bias(self, level: int) -> Tensor:
        """A level's bias `(out,)`."""
        return self.convs[level].get_parameter("bias")

    def start_from(self, encoder: Encoder, decoder: Decoder) -> None:
        """Copy an open net; a last level of another width keeps its random weights."""
        self.encoder.load_state_dict(encoder.state_dict())
        whole = self.widths[-1] == DECODER_CHANNELS[-1]
        for level in range(len(self.widths) if whole else len(self.widths) - 1):
            self.convs[level].load_state_dict(decoder.convs[level].state_dict())
            self.norms[level].load_state_dict(decoder.norms[level].state_dict())
        if whole:
            self.head.load_state_dict(decoder.head.state_dict())

    def calibrate(self, magnitude: Tensor, query: Tensor) -> None:
        """Set the last level's normalisation by what its random weights make of real mixtures.

        Args:
            magnitude: `(batch, 2, frames, 1024)`.
            query: `(batch, dim)`.
        """
        last = self.norms[-1]
        with torch.no_grad():
            last.train()
            last.momentum = None  # type: ignore[assignment]  # the plain average
            last.reset_running_stats()  # type: ignore[operator]
            self.decode(self.encode(magnitude), query)
            last.eval()


class QueryUNet(nn.Module):
    """The three trunks and the gate between them."""

    def __init__(self, config: UNetConfig | None = None) -> None:
        super().__init__()
        self.config = config or UNetConfig()
        self.music = Trunk(self.config, self.config.last_channels, 4, _LAST_SLOPE)
        self.voice = Trunk(self.config, last_channels=1, outputs=2)
        self.backing = Trunk(self.config, last_channels=1, outputs=2)
        self.gate = nn.Linear(self.config.query_dim, 1)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def voice_share(self, query: Tensor) -> Tensor:
        """Return how much of the estimates the voice trunks give, `(batch,)` in 0..1."""
        share = self.gate(query).squeeze(-1).sigmoid()
        span = 1 - 2 * _GATE_CLOSED
        return ((share - _GATE_CLOSED) / span).clamp(0, 1)

    def forward(self, magnitude: Tensor, query: Tensor) -> tuple[Tensor, Tensor]:
        """Estimate the magnitudes of target and rest.

        Args:
            magnitude: `(batch, 2, frames, 1024)`, frames a multiple of 64.
            query: `(batch, dim)`, unit length.

        Returns:
            Target and rest, each of the magnitude's shape and between 0 and the magnitude.
        """
        share = self.voice_share(query)
        target, rest = torch.zeros_like(magnitude), torch.zeros_like(magnitude)
        for chosen, weight, masks in (
            (share < 1, 1 - share, self.music_masks),
            (share > 0, share, self.voice_masks),
        ):
            if bool(chosen.any()):
                part = masks(magnitude[chosen], query[chosen])
                scaled = weight[chosen, None, None, None] * part
                index = (chosen.nonzero().squeeze(1),)
                target = target.index_put(index, target[chosen] + scaled[:, :2])
                rest = rest.index_put(index, rest[chosen] + scaled[:, 2:])
        return target * magnitude, rest * magnitude

    def music_masks(self, magnitude: Tensor, query: Tensor) -> Tensor:
        """The music trunk's masks of target and rest, `(batch, 4, frames, 1024)`."""
        return self.music.decode(self.music.encode(magnitude), query).sigmoid()

    def voice_masks(self, magnitude: Tensor, query: Tensor) -> Tensor:
        """The voice trunks' masks of target and rest, `(batch, 4, frames, 1024)`."""
        logits = [
            trunk.decode(trunk.encode(magnitude), query) for trunk in (self.voice, self.backing)
        ]
        return torch.cat(logits, dim=1).sigmoid()


def wiener_mask(target: Tensor, rest: Tensor, exponent: float = 2.0) -> Tensor:
    """Return the mask e^2 / (e^2 + r^2) of two magnitude estimates; 0 where both are silent.

    Args:
        target: e, not negative.
        rest: r, of the same shape.
        exponent: Instead of 2; a larger one decides harder.
    """
    if exponent == 2:  # several times faster than a power
        target, rest = target.square(), rest.square()
    else:
        target, rest = target.pow(exponent), rest.pow(exponent)
    return target / (target + rest + _WIENER_EPS)
