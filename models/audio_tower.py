"""Sound to unit vectors: a separable CNN on a log-mel spectrogram, distilled from EfficientAT.

In: mono waveform `(batch, time)` at any sample rate. Out: `(batch, dim)` of unit length,
differentiable with regard to the waveform (the weak training loss goes through it).
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

FLOOR = 1e-5  # 50 dB below the mean mel energy: lower energies are raised to it
_SILENCE = 1e-4  # mean mel energy of near silence (about -90 dB): it is not raised to full level


@dataclass(frozen=True)
class AudioTowerConfig:
    """Front end and sizes."""

    sample_rate: int = 32_000  # Hz; other rates are resampled to it
    n_fft: int = 1024  # samples
    hop_length: int = 512  # samples between spectra
    joined: int = 2  # spectra whose mean energy makes a frame: halves the cost, uses every sample
    mels: int = 64  # bands
    lowest_hz: float = 30.0
    highest_hz: float = 15_000.0
    channels: tuple[int, ...] = (16, 40, 96, 160, 192)  # a level each, half the resolution
    blocks: tuple[int, ...] = (1, 1, 2, 2, 2)  # residual blocks a level
    hidden_dim: int = 256  # features after pooling
    classes: int = 527  # AudioSet classes of the auxiliary output
    dim: int = 128  # the joint space of text and audio

    def __post_init__(self) -> None:
        # A card is JSON, which has lists only.
        object.__setattr__(self, "channels", tuple(self.channels))
        object.__setattr__(self, "blocks", tuple(self.blocks))


class _Block(nn.Module):
    """Residual block: depthwise 3x3, then pointwise to twice the width and back."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.wide = nn.Conv2d(width, 2 * width, 1)
        self.narrow = nn.Conv2d(2 * width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        hidden = functional.relu(self.wide(self.norm(self.depthwise(x))))
        return x + self.narrow(hidden)


class AudioTower(nn.Module):
    """Log-mel CNN with two outputs: the joint space, and AudioSet's classes (for presence)."""

    mel_bank: Tensor
    window: Tensor

    def __init__(self, config: AudioTowerConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("mel_bank", _mel_bank(config), persistent=False)
        self.register_buffer("window", torch.hann_window(config.n_fft), persistent=False)
        self.input_norm = nn.BatchNorm1d(config.mels)
        widths = config.channels
        layers: list[nn.Module] = [nn.Conv2d(1, widths[0], 3, stride=2, padding=1)]
        for level, (width, count) in enumerate(zip(widths, config.blocks, strict=True)):
            if level:
                layers.append(nn.Conv2d(widths[level - 1], width, 2, stride=2))
            layers.extend(_Block(width) for _ in range(count))
        self.features = nn.Sequential(*layers)
        self.norm = nn.BatchNorm2d(widths[-1])
        self.hidden = nn.Linear(2 * widths[-1], config.hidden_dim)
        self.joint = nn.Linear(config.hidden_dim, config.dim)
        self.classify = nn.Linear(config.hidden_dim, config.classes)

    @property
    def least_frames(self) -> int:
        """Frames that the strides of the network need."""
        return int(2 ** len(self.config.channels))

    def resample(self, waveform: Tensor, sample_rate: int) -> Tensor:
        """Bring `(batch, time)` to the tower's own rate."""
        if sample_rate == self.config.sample_rate:
            return waveform
        from separate.models.torchaudio_compat import torchaudio  # takes a second to import

        resample: Callable[..., Tensor] = torchaudio.functional.resample
        return resample(waveform, sample_rate, self.config.sample_rate, lowpass_filter_width=16)

    def log_mel(self, waveform: Tensor) -> Tensor:
        """Analyse `(batch, time)` at the tower's rate: `(batch, mels, frames)`, without level.

        What is too short for the strides of the network gets silence after it.
        """
        config = self.config
        short = config.hop_length * (self.least_frames * config.joined - 1) - waveform.shape[-1]
        if short > 0:
            waveform = functional.pad(waveform, (0, short))
        spectrum = torch.stft(
            waveform,
            config.n_fft,
            config.hop_length,
            window=self.window,
            center=True,
            pad_mode="constant",
            return_complex=True,
        )
        power = spectrum.real.square() + spectrum.imag.square()
        energy = functional.avg_pool1d(torch.matmul(self.mel_bank, power), config.joined)
        level = energy.mean(dim=(1, 2), keepdim=True) + _SILENCE
        return torch.log(energy / level + FLOOR)

    def pooled(self, log_mel: Tensor) -> Tensor:
        """Map `(batch, mels, frames)` to features `(batch, hidden_dim)`."""
        x = self.features(self.input_norm(log_mel).unsqueeze(1))
        x = functional.relu(self.norm(x)).mean(dim=2)
        summary = torch.cat([x.mean(dim=-1), x.amax(dim=-1)], dim=-1)
        return functional.relu(self.hidden(summary))

    def forward(self, waveform: Tensor, sample_rate: int) -> tuple[Tensor, Tensor]:
        """Embed and classify.

        Args:
            waveform: Mono, `(batch, time)`, in [-1, 1], at least one sample.
            sample_rate: Hz.

        Returns:
            Vectors `(batch, dim)` of unit length, and logits `(batch, classes)` of the AudioSet
            classes.

        Raises:
            ValueError: The waveform has another shape or no samples.
        """
        if waveform.dim() != 2 or waveform.shape[-1] == 0:
            raise ValueError(f"waveform must be (batch, time), not {tuple(waveform.shape)}")
        features = self.pooled(self.log_mel(self.resample(waveform, sample_rate)))
        return functional.normalize(self.joint(features), dim=-1), self.classify(features)


def _mel_bank(config: AudioTowerConfig) -> Tensor:
    """Triangular filters on the mel scale (HTK), `(mels, n_fft // 2 + 1)`."""
    bounds = torch.tensor([config.lowest_hz, config.highest_hz], dtype=torch.float64)
    low, high = (2595 * torch.log10(1 + bounds / 700)).tolist()
    edges = 700 * (
        10 ** (torch.linspace(low, high, config.mels + 2, dtype=torch.float64) / 2595) - 1
    )
    bins = torch.linspace(0, config.sample_rate / 2, config.n_fft // 2 + 1, dtype=torch.float64)
    rising = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    return torch.minimum(rising, falling).clamp_min(0).float()
