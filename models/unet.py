"""The query-conditioned U-Net: a query in, the magnitudes of source and rest out.

In: magnitude `(batch, 2, frames, 1024)` of a stereo mixture and a query vector `(batch, dim)`.
Out: two estimates of the same shape, the target's and the rest's; the mask is their Wiener ratio.

Two trunks, each a Spleeter U-Net made conditional: `music` (started from the accompaniment net)
estimates target and rest of every query; `voice` (started from the vocals net) estimates the target
of queries that mean a voice. A gate read off the query says how much of the target comes from
`voice`, so that what the open vocals net knows is neither lost nor paid for by the other queries.

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
    DROPOUT_LEVELS,
    ENCODER_CHANNELS,
    Decoder,
    Encoder,
    SameTransposedConv,
    activations,
)

SUBPIXEL_LEVEL = 4  # from this decoder level on, convolutions run at the lower resolution
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

    def select(self, chosen: Tensor) -> "Features":
        """Keep the batch items for which `chosen` `(batch,)` is true."""
        return Features(self.bottleneck[chosen], tuple(skip[chosen] for skip in self.skips))


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
        parameters = self.out(functional.gelu(self.hidden(query)))[..., None, None]
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

    def __init__(self, config: UNetConfig, last_channels: int, outputs: int) -> None:
        super().__init__()
        down, up = activations("leaky_relu")
        self.encoder = Encoder(down)
        self.activation = up
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
            x = norm(self.activation(y * scale + shift))
            if level < DROPOUT_LEVELS:
                x = functional.dropout(x, 0.5, self.training)
        return self.head(functional.pad(x, (3, 3, 3, 3)))

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
        """Copy an open net; extra channels of the last level start as copies of its one channel."""
        self.encoder.load_state_dict(encoder.state_dict())
        for level, (conv, norm) in enumerate(zip(decoder.convs, decoder.norms, strict=True)):
            repeats = self.widths[level] // DECODER_CHANNELS[level]
            for name, value in conv.state_dict().items():
                copies = (
                    value.repeat(1, repeats, 1, 1) if value.dim() == 4 else value.repeat(repeats)
                )
                self.convs[level].get_parameter(name).data = copies
            own = self.norms[level].state_dict()
            for name, value in norm.state_dict().items():
                own[name].copy_(value.repeat(repeats) if value.dim() else value)
        channels, outputs = self.head.in_channels, self.head.out_channels
        head = decoder.head.get_parameter("weight").data
        self.head.weight.data = head.repeat(outputs // 2, channels, 1, 1) / channels
        self.head.get_parameter("bias").data = decoder.head.state_dict()["bias"].repeat(
            outputs // 2
        )
        if channels > 1:  # break the symmetry of the copies
            last = self.convs[-1].get_parameter("weight")
            last.data *= 1 + 0.1 * torch.randn_like(last)


class QueryUNet(nn.Module):
    """Both trunks and the gate between them."""

    def __init__(self, config: UNetConfig | None = None) -> None:
        super().__init__()
        self.config = config or UNetConfig()
        self.music = Trunk(self.config, self.config.last_channels, outputs=4)
        self.voice = Trunk(self.config, 1, outputs=2)
        self.gate = nn.Linear(self.config.query_dim, 1)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def voice_share(self, query: Tensor) -> Tensor:
        """Return how much of the target the voice trunk gives, `(batch,)` in 0..1."""
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
        return self.estimate(magnitude, self.encode(magnitude, query), query)

    def encode(self, magnitude: Tensor, query: Tensor) -> tuple[Features, Features | None]:
        """Compute what all queries share; the voice trunk only where some query wants it."""
        wants_voice = bool((self.voice_share(query) > 0).any())
        music = self.music.encode(magnitude)
        return music, self.voice.encode(magnitude) if wants_voice else None

    def estimate(
        self, magnitude: Tensor, features: tuple[Features, Features | None], query: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Decode one query per batch item; arguments and result as in `forward`."""
        music, voice = features
        target, rest = self.music.decode(music, query).sigmoid().chunk(2, dim=1)
        share = self.voice_share(query)[:, None, None, None]
        if voice is not None and bool((share > 0).any()):
            chosen = share.flatten() > 0
            sung = self.voice.decode(voice.select(chosen), query[chosen]).sigmoid()
            blended = target[chosen] + share[chosen] * (sung - target[chosen])
            target = target.index_put((chosen.nonzero().squeeze(1),), blended)
        return target * magnitude, rest * magnitude


def wiener_mask(target: Tensor, rest: Tensor) -> Tensor:
    """Return the mask e^2 / (e^2 + r^2) of two magnitude estimates; 0 where both are silent."""
    power = target.square()
    return power / (power + rest.square() + _WIENER_EPS)
