"""A small U-Net of the conditioned family: quick to train from random weights.

In: magnitude `(batch, channels, frames, 2049)` and a query vector `(batch, dim)`. Out: a mask.

As `separate.models.trunk`, whose decoder, FiLM and mask it shares, but narrower, and with layer
normalisation, which keeps no statistics: what it learns does not depend on what else is in a batch.
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from separate.models.bands import compressed, from_bands, to_bands
from separate.models.spleeter import Encoder, SameConv, SameTransposedConv
from separate.models.trunk import Features, Film, Trunk


@dataclass(frozen=True)
class SmallUNetConfig:
    """Size of the small U-Net."""

    query_dim: int = 128  # length of a query vector
    film_dim: int = 128  # width of the layer between query and FiLM parameters
    channels: int = 1  # of the audio
    widths: tuple[int, ...] = (8, 16, 32, 64, 96, 128)  # of the encoder, finest first


class _SmallEncoder(Encoder):
    def __init__(self, config: SmallUNetConfig) -> None:
        nn.Module.__init__(self)
        widths = (config.channels, *config.widths)
        self.convs = nn.ModuleList(SameConv(a, b) for a, b in pairwise(widths))
        self.norms = nn.ModuleList(nn.GroupNorm(1, width) for width in config.widths[:-1])
        self.activation = nn.LeakyReLU(0.2, inplace=True)


class SmallUNet(Trunk):
    """Shared encoder, FiLM decoder, a mask in 512 bands."""

    def __init__(self, config: SmallUNetConfig | None = None) -> None:
        nn.Module.__init__(self)
        self.config = config or SmallUNetConfig()
        down = self.config.widths
        self.skip_channels = (0, *reversed(down[:-1]))
        self.widths = (*reversed(down[:-1]), max(4, down[0] // 2))
        inputs = (down[-1], *self.widths[:-1])
        self.encoder = _SmallEncoder(self.config)
        self.convs = nn.ModuleList(
            SameTransposedConv(skip + width, out)
            for skip, width, out in zip(self.skip_channels, inputs, self.widths, strict=True)
        )
        self.norms = nn.ModuleList(nn.GroupNorm(1, width) for width in self.widths)
        outputs = 2 * self.config.channels
        self.head = nn.Conv2d(self.widths[-1], outputs, kernel_size=4, dilation=2, padding=3)
        self.film = Film(self.config.query_dim, self.config.film_dim, (down[-1], *self.widths))
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def weight(self, level: int, skip: bool) -> Tensor:
        """The part of a level's kernel `(in, out, 5, 5)` that acts on the skip, or the other."""
        weight: Tensor = self.convs[level].get_parameter("weight")
        width = self.skip_channels[level]
        return weight[:width] if skip else weight[width:]

    def encode(self, magnitude: Tensor) -> Features:
        """Compute what all queries share.

        Args:
            magnitude: `(batch, channels, frames, 2049)`, frames a multiple of 64.
        """
        return super().encode(compressed(to_bands(magnitude)))

    def forward(self, magnitude: Tensor, query: Tensor) -> Tensor:
        """Return masks 0..1 `(batch, channels, frames, 2049)` for queries `(batch, dim)`."""
        return from_bands(self.decode(self.encode(magnitude), query).sigmoid())
