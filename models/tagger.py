"""AudioSet tagger: EfficientAT's MobileNetV3 (width 0.4) with its mel front end.

In: mono waveform `(batch, time)` at 32 kHz. Out: logits of the 527 AudioSet classes and
the pooled features (the embedding). Loads EfficientAT's own checkpoints, strictly.

Source: F. Schmid, K. Koutini, G. Widmer, "Efficient Large-scale Audio Tagging via
Transformer-to-CNN Knowledge Distillation", ICASSP 2023 (code and weights: MIT).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from separate.models.errors import CheckpointError
from separate.models.torch_file import read_torch_file

CLASSES = 527
SAMPLE_RATE = 32_000  # Hz


class _Row(NamedTuple):
    """One inverted residual block at width 1.0."""

    inputs: int
    kernel: int
    expanded: int
    outputs: int
    squeeze: bool
    hardswish: bool
    stride: int


_ROWS = tuple(
    _Row(*values)
    for values in (
        (16, 3, 16, 16, False, False, 1),
        (16, 3, 64, 24, False, False, 2),
        (24, 3, 72, 24, False, False, 1),
        (24, 5, 72, 40, True, False, 2),
        (40, 5, 120, 40, True, False, 1),
        (40, 5, 120, 40, True, False, 1),
        (40, 3, 240, 80, False, True, 2),
        (80, 3, 200, 80, False, True, 1),
        (80, 3, 184, 80, False, True, 1),
        (80, 3, 184, 80, False, True, 1),
        (80, 3, 480, 112, True, True, 1),
        (112, 3, 672, 112, True, True, 1),
        (112, 5, 672, 160, True, True, 2),
        (160, 5, 960, 160, True, True, 1),
        (160, 5, 960, 160, True, True, 1),
    )
)
_HEAD_WIDTH = 1280


@dataclass(frozen=True)
class TaggerConfig:
    """Front end and size of an EfficientAT MobileNet."""

    width: float = 0.4  # multiplier of every channel count; 0.4 is `mn04_as`
    n_fft: int = 1024  # samples
    window_length: int = 800  # samples
    hop_length: int = 320  # samples
    mels: int = 128  # bands
    highest_hz: float = 15_000.0
    classes: int = CLASSES


def round_channels(width: float) -> int:
    """Round to the nearest multiple of 8, but never more than a tenth down."""
    rounded = max(8, int(width + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * width else rounded


class _ConvNormActivation(nn.Sequential):
    """Convolution, BatchNorm and, unless it is None, an activation."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        *,
        stride: int = 1,
        groups: int = 1,
        activation: type[nn.Module] | None,
    ) -> None:
        padding = (kernel - 1) // 2
        conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)
        layers: list[nn.Module] = [conv, nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.01)]
        super().__init__(*layers, *([activation()] if activation else []))


class _Squeeze(nn.Module):
    """Squeeze and excite on channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        squeezed = round_channels(channels // 4)
        self.fc1 = nn.Linear(channels, squeezed)
        self.fc2 = nn.Linear(squeezed, channels)

    def forward(self, x: Tensor) -> Tensor:
        hidden = functional.relu(self.fc1(x.mean(dim=(2, 3))))
        return x * self.fc2(hidden).sigmoid()[:, :, None, None]


class _ConcurrentSqueeze(nn.Module):
    """EfficientAT's holder of squeeze layers; its MobileNets have one, on channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conc_se_layers = nn.ModuleList([_Squeeze(channels)])

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.conc_se_layers[0](x)
        return result


class _InvertedResidual(nn.Module):
    """MobileNetV3's block."""

    def __init__(self, row: _Row, width: float) -> None:
        super().__init__()
        inputs, expanded, outputs = (
            round_channels(count * width) for count in (row.inputs, row.expanded, row.outputs)
        )
        activation = nn.Hardswish if row.hardswish else nn.ReLU
        layers: list[nn.Module] = []
        if expanded != inputs:
            layers.append(_ConvNormActivation(inputs, expanded, 1, activation=activation))
        layers.append(
            _ConvNormActivation(
                expanded,
                expanded,
                row.kernel,
                stride=row.stride,
                groups=expanded,
                activation=activation,
            )
        )
        if row.squeeze:
            layers.append(_ConcurrentSqueeze(expanded))
        layers.append(_ConvNormActivation(expanded, outputs, 1, activation=None))
        self.block = nn.Sequential(*layers)
        self.residual = row.stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.block(x)
        return x + result if self.residual else result


class MelFrontEnd(nn.Module):
    """EfficientAT's log-mel spectrogram; it has no weights."""

    def __init__(self, config: TaggerConfig) -> None:
        super().__init__()
        self.config = config
        window = torch.hann_window(config.window_length, periodic=False)
        self.register_buffer("window", window, persistent=False)
        self.register_buffer("bank", _kaldi_mel_bank(config), persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        """Map `(batch, time)` at 32 kHz to `(batch, 1, mels, frames)`."""
        config = self.config
        emphasised = waveform[:, 1:] - 0.97 * waveform[:, :-1]
        shortage = config.n_fft - emphasised.shape[-1]
        if shortage > 0:  # reflection needs half a frame of samples
            emphasised = functional.pad(emphasised, (0, shortage))
        spectrum = torch.stft(
            emphasised,
            config.n_fft,
            config.hop_length,
            config.window_length,
            window=self.get_buffer("window"),
            center=True,
            return_complex=True,
        )
        power = spectrum.real.square() + spectrum.imag.square()
        mel = torch.log(torch.matmul(self.get_buffer("bank"), power) + 1e-5)
        return ((mel + 4.5) / 5).unsqueeze(1)


class TaggerNet(nn.Module):
    """MobileNetV3 tagger; `forward` gives logits and embedding."""

    def __init__(self, config: TaggerConfig | None = None) -> None:
        super().__init__()
        self.config = config or TaggerConfig()
        width = self.config.width
        first, last = (round_channels(row * width) for row in (_ROWS[0].inputs, _ROWS[-1].outputs))
        layers: list[nn.Module] = [
            _ConvNormActivation(1, first, 3, stride=2, activation=nn.Hardswish)
        ]
        layers.extend(_InvertedResidual(row, width) for row in _ROWS)
        layers.append(_ConvNormActivation(last, 6 * last, 1, activation=nn.Hardswish))
        self.mel = MelFrontEnd(self.config)
        self.features = nn.Sequential(*layers)
        hidden = round_channels(_HEAD_WIDTH * width)
        self.classifier = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(6 * last, hidden),
            nn.Hardswish(),
            nn.Dropout(0.2),
            nn.Linear(hidden, self.config.classes),
        )

    def forward(self, waveform: Tensor) -> tuple[Tensor, Tensor]:
        """Tag sounds.

        Args:
            waveform: Mono, `(batch, time)`, 32 kHz, in [-1, 1], at least two samples.

        Returns:
            Logits `(batch, classes)` and the pooled features `(batch, 384)` (at width 0.4).

        Raises:
            ValueError: The waveform has another shape.
        """
        if waveform.dim() != 2 or waveform.shape[-1] < 2:
            raise ValueError(f"waveform must be (batch, time), not {tuple(waveform.shape)}")
        features = self.features(self.mel(waveform))
        return self.classifier(features), features.mean(dim=(2, 3))


def load_efficientat(path: str | Path) -> TaggerNet:
    """Load one of EfficientAT's checkpoints (for example `mn04_as_mAP_432.pt`), strictly.

    Args:
        path: The `.pt` file; nothing but tensors is unpickled.

    Returns:
        The tagger in evaluation mode; its width is read from the checkpoint.

    Raises:
        CheckpointError: The file is missing or damaged, or of another network.
    """
    state = read_torch_file(path)
    try:
        hidden, features = state["classifier.2.weight"].shape
        tagger = TaggerNet(TaggerConfig(width=_width_of(features, hidden)))
        tagger.load_state_dict(state, strict=True)
    except (KeyError, TypeError, AttributeError, RuntimeError, ValueError) as error:
        raise CheckpointError(f"{path}: not the checkpoint of an EfficientAT MobileNet") from error
    return tagger.eval()


def _width_of(features: int, hidden: int) -> float:
    widths: Sequence[float] = (0.1, 0.4, 0.5, 1.0, 2.0, 3.0, 4.0)
    last = _ROWS[-1].outputs
    for width in widths:
        expected = (6 * round_channels(last * width), round_channels(_HEAD_WIDTH * width))
        if expected == (features, hidden):
            return width
    raise ValueError(f"no published width has {features} features and {hidden} hidden units")


def _kaldi_mel_bank(config: TaggerConfig) -> Tensor:
    """Kaldi's mel filters, `(mels, n_fft // 2 + 1)`; the last bin belongs to none."""
    edges_hz = torch.tensor([0.0, config.highest_hz], dtype=torch.float64)
    low, high = (1127 * torch.log1p(edges_hz / 700)).tolist()
    step = (high - low) / (config.mels + 1)
    left = low + step * torch.arange(config.mels, dtype=torch.float64).unsqueeze(1)
    bins = torch.arange(config.n_fft // 2, dtype=torch.float64) * SAMPLE_RATE / config.n_fft
    mel = 1127 * torch.log1p(bins / 700)
    rising, falling = (mel - left) / step, (left + 2 * step - mel) / step
    bank = torch.minimum(rising, falling).clamp_min(0)
    return functional.pad(bank, (0, 1)).float()
