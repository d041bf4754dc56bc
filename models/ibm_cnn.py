"""A CNN that estimates which bins of a spectrogram are a voice's, by the ideal binary mask.

In: magnitudes `(batch, frames, 513)` of mono audio at 16 kHz (FFT 1024, hop 256). Out: for each bin
the likelihood that the voice is louder there than all else.

Source: K. W. E. Lin, B. T. Balamurali, E. Koh, S. Lui, D. Herremans, "Singing voice separation
using a deep convolutional neural network trained by ideal binary mask and cross entropy", Neural
Computing and Applications, 2018. The target and the loss are the paper's, each bin weighed by its
loudness. The network is leaner: the paper's pools 2,049 bins to 15 before dense layers decide all
bins of nine frames. Here a strided convolution keeps what it needs of each four bins in channels.
Dense layers take whole frames, dilated convolutions join 81 frames around each, and what they find
returns as maps beside the convolutions' own, so that harmonics need not pass the dense layers.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from separate.models.stft import StftConfig

SAMPLE_RATE = 16_000  # Hz
STFT = StftConfig(n_fft=1024, hop_length=256)
STEMS = ("vocals", "accompaniment")
_STRIDE = 4  # bins a position
_POSITIONS = STFT.bins // _STRIDE
_KERNEL = (3, 5)  # frames, positions
_LOUD = 0.1  # magnitude from which compression sets in
_MEAN, _SPREAD = 1.5, 1.5  # of compressed magnitudes of music, about
_SILENCE = 1e-3  # magnitude below which a bin counts as silent: 108 dB below a full-scale tone


@dataclass(frozen=True)
class IbmCnnConfig:
    """Size, and the likelihood below which a bin is not the voice's."""

    channels: int = 32  # of the convolutions
    maps: int = 8  # channels that go into the dense layers, and that come back
    hidden: int = 512  # width of the dense layers
    dilations: tuple[int, ...] = (1, 3, 9, 27)  # frames, of the convolutions over time
    dropout: float = 0.2  # of the dense layers
    threshold: float = 0.15  # theta
    exponent: float = 0.6  # of the likelihoods that remain: a share of amplitude is above that of
    # being the louder one; both numbers were chosen on held-out songs of the training singers


class IbmCnn(nn.Module):
    """Convolutions, dense layers over whole frames, and convolutions that join both."""

    def __init__(self, config: IbmCnnConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or IbmCnnConfig()
        width, maps = config.channels, config.maps
        self.first = nn.Conv2d(
            1, width, (3, 2 * _STRIDE), stride=(1, _STRIDE), padding=(1, _STRIDE // 2)
        )
        self.first_norm = nn.LayerNorm(width)
        self.before = nn.ModuleList(_Convolution(width, width) for _ in range(2))
        self.dense = _WholeFrames(config)
        self.after = nn.ModuleList(_Convolution(width + more, width) for more in (maps, 0))
        self.last = nn.ConvTranspose2d(
            width, 1, (1, 2 * _STRIDE), stride=(1, _STRIDE), padding=(0, _STRIDE // 2)
        )
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def logits(self, magnitude: Tensor) -> Tensor:
        """Return the logits of the likelihood.

        Args:
            magnitude: `(batch, frames, 513)`; the logits have the same shape.
        """
        x = self.first(compressed(magnitude)[:, None])  # (batch, channels, frames, positions)
        x = functional.relu(_over_channels(self.first_norm, x))
        for layer in self.before:
            x = x + layer(x)
        joined, *others = self.after
        x = x + joined(torch.cat([x, self.dense(x)], dim=1))
        for layer in others:
            x = x + layer(x)
        found = self.last(x)[:, 0]  # one bin fewer: the highest has its neighbour's
        return torch.cat([found, found[..., -1:]], dim=-1)

    def forward(self, magnitude: Tensor) -> Tensor:
        """Return the likelihood of the voice.

        Args:
            magnitude: `(batch, frames, 513)`; the likelihood has the same shape.
        """
        return self.logits(magnitude).sigmoid()


class _Convolution(nn.Module):
    """A convolution, layer normalisation over channels, ReLU."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels, _KERNEL, padding="same")
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(_over_channels(self.norm, self.conv(x)))


class _WholeFrames(nn.Module):
    """Dense layers over all bins of a frame, with dilated convolutions over time between them."""

    def __init__(self, config: IbmCnnConfig) -> None:
        super().__init__()
        self.dropout, self.maps = config.dropout, config.maps
        size, hidden = config.maps * _POSITIONS, config.hidden
        self.squeeze = nn.Conv2d(config.channels, config.maps, 1)
        self.enter = nn.Linear(size, hidden)
        self.enter_norm = nn.LayerNorm(hidden)
        self.times = nn.ModuleList(
            nn.Conv1d(hidden, hidden, 3, padding=gap, dilation=gap, groups=hidden)
            for gap in config.dilations
        )
        self.mixes = nn.ModuleList(nn.Linear(hidden, hidden) for _ in config.dilations)
        self.norms = nn.ModuleList(nn.LayerNorm(hidden) for _ in config.dilations)
        self.leave = nn.Linear(hidden, size)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(batch, channels, frames, positions)` to `(batch, maps, frames, positions)`."""
        frames = self._dropped(self.squeeze(x).permute(0, 2, 3, 1).flatten(2))
        hidden = functional.relu(self.enter_norm(self.enter(frames)))
        for time, mix, norm in zip(self.times, self.mixes, self.norms, strict=True):
            around = self._dropped(time(hidden.transpose(1, 2)).transpose(1, 2))
            hidden = hidden + functional.relu(norm(mix(around)))
        found = self.leave(self._dropped(hidden))
        return found.unflatten(2, (_POSITIONS, self.maps)).permute(0, 3, 1, 2)

    def _dropped(self, x: Tensor) -> Tensor:
        return functional.dropout(x, self.dropout, self.training)


def _over_channels(norm: nn.Module, x: Tensor) -> Tensor:
    """Normalise the channels of `(batch, channels, frames, positions)`."""
    return norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def compressed(magnitude: Tensor) -> Tensor:
    """Bring magnitudes to the scale of loudness, around 0: the network's input."""
    return ((magnitude / _LOUD).log1p() - _MEAN) / _SPREAD


def ideal_binary_mask(voice: Tensor, rest: Tensor) -> Tensor:
    """Return 1 where the voice is louder than the rest and not silent, else 0."""
    return (voice > rest.clamp_min(_SILENCE)).to(voice.dtype)


def ibm_loss(logits: Tensor, mask: Tensor, mixture: Tensor) -> Tensor:
    """Cross-entropy with the ideal binary mask, smoothed to 0.02 and 0.98: a scalar.

    Args:
        logits: Any shape.
        mask: 0 or 1, of that shape.
        mixture: Magnitudes of that shape; a bin weighs log(1 + 10 |X|).
    """
    weight = torch.log1p(10 * mixture)
    target = 0.02 + 0.96 * mask
    entropy = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return (weight * entropy).sum() / weight.sum().clamp_min(_SILENCE)


def pruned(likelihood: Tensor, threshold: float, exponent: float = 1.0) -> Tensor:
    """Return the mask that is put on the mixture: 0 below the threshold, as in the paper.

    Args:
        likelihood: Any shape.
        threshold: Likelihoods below it give 0.
        exponent: The others are raised to this power; the paper's is 1.
    """
    return torch.where(likelihood < threshold, torch.zeros_like(likelihood), likelihood**exponent)
