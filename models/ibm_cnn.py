"""A CNN that estimates which bins of a spectrogram are a voice's, by the ideal binary mask.

In: magnitudes `(batch, frames, 2049)` of mono audio at 22,050 Hz (window 1024, FFT 4096, hop 256).
Out: for each bin the likelihood that the voice is louder there than all else.

Source: K. W. E. Lin, B. T. Balamurali, E. Koh, S. Lui, D. Herremans, "Singing voice separation
using a deep convolutional neural network trained by ideal binary mask and cross entropy", Neural
Computing and Applications, 2018. Where this deviates: magnitudes enter compressed, so that level
matters less; a frame's features are normalised before the dense layers, which then train faster;
where the sources are silent the mask is 0; and the four convolutions take the frames beside the
patch where the paper's take zeros, so that their outputs are the same for all patches and are
computed once a frame, not nine times.
"""

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from separate.models.stft import StftConfig

SAMPLE_RATE = 22_050  # Hz
STFT = StftConfig(n_fft=4096, hop_length=256, win_length=1024)
STEMS = ("vocals", "accompaniment")
PATCH = 9  # frames that are classified together
TRAIN_HOP = 8  # frames from patch to patch in training; 1 in use
_KERNEL = (3, 12)  # frames, bins
_POOL = 12  # bins
_CONTEXT = 4  # frames that the four convolutions take on either side
_LOUD = 0.1  # magnitude from which compression sets in
_MEAN, _SPREAD = 1.5, 1.5  # of compressed magnitudes of music, about
_SILENCE = 1e-3  # magnitude below which a bin counts as silent: 108 dB below a full-scale tone


@dataclass(frozen=True)
class IbmCnnConfig:
    """Size, and the likelihood below which a bin is not the voice's."""

    channels: tuple[int, ...] = (32, 16, 64, 32)  # of the four convolutions
    hidden: tuple[int, ...] = (2048, 512)  # of the dense layers
    dropout: float = 0.5  # of the dense layers
    threshold: float = 0.15  # theta


class IbmCnn(nn.Module):
    """Two times two convolutions and a pooling, then three dense layers over nine frames."""

    def __init__(self, config: IbmCnnConfig | None = None) -> None:
        super().__init__()
        self.config = config or IbmCnnConfig()
        widths = (1, *self.config.channels)
        self.convs = nn.ModuleList(nn.Conv2d(a, b, _KERNEL) for a, b in pairwise(widths))
        bands = math.ceil(math.ceil(STFT.bins / _POOL) / _POOL)  # after both poolings
        sizes = (PATCH * bands * widths[-1], *self.config.hidden)
        self.dense = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.head = nn.Linear(sizes[-1], PATCH * STFT.bins)
        for layer in (*self.convs, *self.dense):
            nn.init.kaiming_normal_(layer.get_parameter("weight"), nonlinearity="relu")
            nn.init.zeros_(layer.get_parameter("bias"))
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def features(self, magnitude: Tensor) -> Tensor:
        """Map `(batch, frames, 2049)` to the features that all patches share.

        Returns:
            `(batch, frames - 8, n)`: four frames at either end are context alone.
        """
        x = compressed(magnitude)[:, None]
        for number, conv in enumerate(self.convs):
            x = functional.relu(conv(functional.pad(x, (5, 6))))  # all bins, fewer frames
            if number % 2:
                x = functional.max_pool2d(x, (1, _POOL), ceil_mode=True)
        found = x.permute(0, 2, 1, 3).flatten(2)
        return functional.layer_norm(found, found.shape[-1:])

    def logits(self, magnitude: Tensor) -> Tensor:
        """Return the logits of every eighth patch, for training.

        Args:
            magnitude: `(batch, frames, 2049)`; 4 frames at either end are context alone.

        Returns:
            `(batch, patches, 9, 2049)`, those of `patches`.
        """
        hidden = self._hidden(self.features(magnitude), TRAIN_HOP)
        return self.head(hidden).unflatten(-1, (PATCH, STFT.bins))

    def forward(self, magnitude: Tensor) -> Tensor:
        """Return the likelihood of the voice, of each frame by the patch around it.

        Args:
            magnitude: `(batch, frames, 2049)`; the likelihood has the same shape.
        """
        around = _CONTEXT + PATCH // 2
        hidden = self._hidden(self.features(functional.pad(magnitude, (0, 0, around, around))), 1)
        middle = slice(PATCH // 2 * STFT.bins, (PATCH // 2 + 1) * STFT.bins)
        return functional.linear(hidden, self.head.weight[middle], self.head.bias[middle]).sigmoid()

    def _hidden(self, features: Tensor, hop: int) -> Tensor:
        x = features.unfold(1, PATCH, hop).transpose(-1, -2).flatten(2)
        for layer in self.dense:
            x = functional.relu(layer(functional.dropout(x, self.config.dropout, self.training)))
        return functional.dropout(x, self.config.dropout, self.training)


def compressed(magnitude: Tensor) -> Tensor:
    """Bring magnitudes to the scale of loudness, around 0: the network's input."""
    return ((magnitude / _LOUD).log1p() - _MEAN) / _SPREAD


def patches(frames: Tensor) -> Tensor:
    """Cut magnitudes or masks `(batch, frames, n)` into the patches of `IbmCnn.logits`.

    Returns:
        `(batch, patches, 9, n)`.
    """
    inner = frames[:, _CONTEXT : frames.shape[1] - _CONTEXT]
    return inner.unfold(1, PATCH, TRAIN_HOP).transpose(-1, -2)


def ideal_binary_mask(voice: Tensor, rest: Tensor) -> Tensor:
    """Return 1 where the voice is louder than the rest and not silent, else 0."""
    return (voice > rest.clamp_min(_SILENCE)).to(voice.dtype)


def ibm_loss(logits: Tensor, mask: Tensor) -> Tensor:
    """Cross-entropy with the ideal binary mask, smoothed to 0.02 and 0.98: a scalar."""
    return functional.binary_cross_entropy_with_logits(logits, 0.02 + 0.96 * mask)


def pruned(likelihood: Tensor, threshold: float) -> Tensor:
    """Set a likelihood below the threshold to zero: the mask that the paper puts on the mixture."""
    return torch.where(likelihood < threshold, torch.zeros_like(likelihood), likelihood)
