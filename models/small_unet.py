"""A small U-Net of the conditioned family: quick to train from random weights.

In: magnitude `(batch, channels, frames, 2049)` and a query vector `(batch, dim)`. Out: a mask.

As `separate.models.trunk`, whose decoder, FiLM and mask it shares, but of any width, and with layer
normalisation, which keeps no statistics: what it learns does not depend on what else is in a batch.
Its encoder may also look at all frequencies at once: after its first convolutions a small dense
layer along frequency joins the tones of a chord and the harmonics of a tone, which convolutions do
only where time is coarse (Choi et al., "Investigating U-Nets with various intermediate blocks for
spectrogram-based singing voice separation", ISMIR 2020).
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from separate.models.bands import BANDS, compressed, from_bands, to_bands
from separate.models.spleeter import Encoder, SameConv, SameTransposedConv
from separate.models.trunk import Features, Film, Trunk

_DENSE_LEVELS = 3  # of the encoder, finest first
_VECTOR = 8  # channels
_BLOCK_FRAMES = 32  # that a dense layer maps at a time


@dataclass(frozen=True)
class SmallUNetConfig:
    """Size of the small U-Net."""

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


class LayerNorm(nn.GroupNorm):
    """Normalises each example over channels, frames and bands; on a GPU, too, with all its cores.

    PyTorch's kernel for groups gives each group of each example one block of threads.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(1, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(batch, channels, frames, bands)` to the same."""
        if x.device.type != "cpu":
            return self.by_moments(x)
        if _narrow(x):
            return super().forward(x.contiguous()).contiguous(memory_format=torch.channels_last)
        return super().forward(x)

    def by_moments(self, x: Tensor) -> Tensor:
        """Do the same in two steps, each of which all cores of a GPU share."""
        variance, mean = torch.var_mean(x.float(), dim=(1, 2, 3), keepdim=True, correction=0)
        scale = self.weight[:, None, None] * (variance + self.eps).rsqrt()
        shift = self.bias[:, None, None] - mean * scale
        return torch.addcmul(shift.to(x.dtype), x, scale.to(x.dtype))


def _narrow(x: Tensor) -> bool:
    """Whether a level being trained on a CPU is faster with channels first.

    A few channels that stand last fill no vector of PyTorch's kernels.
    """
    return x.shape[1] < _VECTOR and x.device.type == "cpu" and torch.is_grad_enabled()


class _Dense(nn.Module):
    """Adds what a two-layer perceptron along frequency gives, at first nothing."""

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
        for part, seen in pairs:  # that fit a core's cache
            seen.copy_(self._change(seen.transpose(1, 2).contiguous()).transpose(1, 2).add_(part))
        return normed

    def _change(self, normed: Tensor) -> Tensor:
        change: Tensor = self.widen(functional.leaky_relu(self.narrow(normed), 0.2))
        return change


class _SmallEncoder(Encoder):
    def __init__(self, inputs: int, config: SmallUNetConfig) -> None:
        nn.Module.__init__(self)
        widths = (inputs, *config.widths)
        self.convs = nn.ModuleList(SameConv(a, b) for a, b in pairwise(widths))
        self.norms = nn.ModuleList(LayerNorm(width) for width in config.widths[:-1])
        self.activation = nn.LeakyReLU(0.2, inplace=True)
        self.dense = nn.ModuleList(
            _Dense(width, BANDS >> (level + 1), config.dense)
            for level, width in enumerate(config.widths[: _DENSE_LEVELS if config.dense else 0])
        )

    def forward(self, magnitude: Tensor) -> list[Tensor]:
        """See `Encoder`."""
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


class LayerNormTrunk(Trunk):
    """Shared encoder, FiLM decoder, a mask's logits: as `Trunk`, in bands and of any width."""

    def __init__(self, config: SmallUNetConfig, inputs: int) -> None:
        """Make the network.

        Args:
            config: Its size.
            inputs: Channels that it sees; its masks have the audio's.
        """
        nn.Module.__init__(self)
        self.config = config
        down = config.widths
        self.skip_channels = (0, *reversed(down[:-1]))
        self.widths = config.decoder_widths
        below = (down[-1], *self.widths[:-1])
        self.encoder = _SmallEncoder(inputs, config)
        self.convs = nn.ModuleList(
            SameTransposedConv(skip + width, out)
            for skip, width, out in zip(self.skip_channels, below, self.widths, strict=True)
        )
        self.norms = nn.ModuleList(LayerNorm(width) for width in self.widths)
        outputs = 2 * config.channels
        self.head = nn.Conv2d(self.widths[-1], outputs, kernel_size=4, dilation=2, padding=3)
        self.film = Film(config.query_dim, config.film_dim, (down[-1], *self.widths))
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def _conv(self, level: int, x: Tensor, skip: bool) -> Tensor:
        y = super()._conv(level, x, skip)
        return y.contiguous() if _narrow(y) else y

    def calibrate(self, magnitude: Tensor, query: Tensor) -> None:
        """See `Trunk`; layer normalisation keeps no statistics."""


class SmallUNet(LayerNormTrunk):
    """A `LayerNormTrunk` of its own: magnitudes in, masks out."""

    def __init__(self, config: SmallUNetConfig | None = None) -> None:
        config = config or SmallUNetConfig()
        super().__init__(config, config.channels)

    def encode(self, magnitude: Tensor) -> Features:
        """Compute what all queries share.

        Args:
            magnitude: `(batch, channels, frames, 2049)`, frames a multiple of 64.
        """
        return super().encode(compressed(to_bands(magnitude)))

    def forward(self, magnitude: Tensor, query: Tensor) -> Tensor:
        """Return masks 0..1 `(batch, channels, frames, 2049)` for queries `(batch, dim)`."""
        return from_bands(self.decode(self.encode(magnitude), query).sigmoid())
