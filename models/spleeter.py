"""Spleeter's U-Nets (Deezer, MIT), one per instrument, exactly as its checkpoints need them.

In: magnitude spectrogram `(batch, 2, frames, 1024)` of a stereo mixture (STFT 4096/1024 at
44.1 kHz, the lower 1,024 bins). Out: the magnitude estimate of each instrument.

Source: R. Hennequin, A. Khlif, F. Voituret, M. Moussallam, "Spleeter: a fast and efficient music
source separation tool with pre-trained models", JOSS 2020. Axes are (time, frequency), in that
order: the kernels are not symmetric.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from separate.models.errors import CheckpointError
from separate.models.tf_checkpoint import read_checkpoint

ENCODER_CHANNELS = (16, 32, 64, 128, 256, 512)
DECODER_CHANNELS = (256, 128, 64, 32, 16, 1)
SKIP_CHANNELS = (0, *reversed(ENCODER_CHANNELS[:-1]))  # that join each decoder level
DROPOUT_LEVELS = 3
FREQ_BINS = 1024
FRAME_MULTIPLE = 64  # six levels of stride 2
BATCH_NORM_EPS = 1e-3
_WIENER_EPS = 1e-10

STEMS = {
    "spleeter-2stems": ("vocals", "accompaniment"),
    "spleeter-4stems": ("vocals", "drums", "bass", "other"),
    "spleeter-5stems": ("vocals", "piano", "drums", "bass", "other"),
}


class SameConv(nn.Conv2d):
    """5x5 convolution of stride 2 with TensorFlow's `same` padding: 1 before, 2 after."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, kernel_size=5, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(batch, in, frames, freq)` to `(batch, out, frames / 2, freq / 2)`."""
        return super().forward(functional.pad(x, (1, 2, 1, 2)))


class SameTransposedConv(nn.ConvTranspose2d):
    """5x5 transposed convolution of stride 2 as TensorFlow pads it: cuts 1 before, 2 after."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, kernel_size=5, stride=2, padding=1)

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Map `(batch, in, frames, freq)` to `(batch, out, 2 frames, 2 freq)`."""
        return super().forward(x)[..., :-1, :-1]


class SpleeterEncoder(nn.Module):
    """Six strided convolutions; between them BatchNorm and the activation."""

    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        widths = (2, *ENCODER_CHANNELS)
        self.convs = nn.ModuleList(SameConv(a, b) for a, b in pairwise(widths))
        self.norms = nn.ModuleList(
            nn.BatchNorm2d(width, eps=BATCH_NORM_EPS) for width in ENCODER_CHANNELS[:-1]
        )
        self.activation = activation

    def forward(self, magnitude: Tensor) -> list[Tensor]:
        """Return the six *raw* convolution outputs, finest first.

        Args:
            magnitude: `(batch, 2, frames, freq)`, frames and freq multiples of 64.
        """
        outputs = [self.convs[0](magnitude)]
        for norm, conv in zip(self.norms, self.convs[1:], strict=True):
            outputs.append(conv(self.activation(norm(outputs[-1]))))
        return outputs


class SpleeterDecoder(nn.Module):
    """Six transposed convolutions with skips, then one dilated convolution to the mask's logits."""

    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        inputs = (ENCODER_CHANNELS[-1], *DECODER_CHANNELS[:-1])
        self.convs = nn.ModuleList(
            SameTransposedConv(skip + width, out)
            for skip, width, out in zip(SKIP_CHANNELS, inputs, DECODER_CHANNELS, strict=True)
        )
        self.norms = nn.ModuleList(
            nn.BatchNorm2d(width, eps=BATCH_NORM_EPS) for width in DECODER_CHANNELS
        )
        self.head = nn.Conv2d(DECODER_CHANNELS[-1], 2, kernel_size=4, dilation=2, padding=3)
        self.activation = activation

    def forward(self, features: list[Tensor]) -> Tensor:
        """Map the encoder's outputs to logits `(batch, 2, frames, 1024)`."""
        x = features[-1]
        for level, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            if level > 0:
                x = torch.cat([features[-1 - level], x], dim=1)
            x = norm(self.activation(conv(x)))
            if level < DROPOUT_LEVELS:
                x = functional.dropout(x, 0.5, self.training)
        return self.head(x)


@dataclass(frozen=True)
class SpleeterConfig:
    """The differences between the published models."""

    stems: tuple[str, ...]  # instruments, in the checkpoint's order
    activation: str = "leaky_relu"  # "leaky_relu" down and "relu" up, or "elu" both ways
    softmax: bool = False  # masks from a softmax over the instruments instead of sigmoids


def activations(name: str) -> tuple[nn.Module, nn.Module]:
    """Return the (down, up) activations of a configuration."""
    if name == "elu":
        return nn.ELU(inplace=True), nn.ELU(inplace=True)
    if name == "leaky_relu":
        return nn.LeakyReLU(0.2, inplace=True), nn.ReLU(inplace=True)
    raise CheckpointError(f"unknown activation {name!r}; take leaky_relu or elu")


class SpleeterUNet(nn.Module):
    """One instrument's U-Net."""

    def __init__(self, activation: str = "leaky_relu") -> None:
        super().__init__()
        down, up = activations(activation)
        self.encoder = SpleeterEncoder(down)
        self.decoder = SpleeterDecoder(up)

    def forward(self, magnitude: Tensor) -> Tensor:
        """Map `(batch, 2, frames, 1024)` to mask logits of the same shape."""
        return self.decoder(self.encoder(magnitude))


class Spleeter(nn.Module):
    """All instruments of one published model."""

    def __init__(self, config: SpleeterConfig) -> None:
        super().__init__()
        self.config = config
        self.nets = nn.ModuleDict({stem: SpleeterUNet(config.activation) for stem in config.stems})

    def forward(self, magnitude: Tensor) -> Tensor:
        """Estimate each instrument's magnitude.

        Args:
            magnitude: `(batch, 2, frames, 1024)`, frames a multiple of 64.

        Returns:
            `(batch, stems, 2, frames, 1024)`, between 0 and the mixture's magnitude.
        """
        return self.estimates([net(magnitude) for net in self.nets.values()], magnitude)

    def estimates(self, logits: Sequence[Tensor], magnitude: Tensor) -> Tensor:
        """Turn each instrument's mask logits into estimates; shapes as in `forward`."""
        stacked = torch.stack(list(logits), dim=1)
        masks = stacked.softmax(dim=1) if self.config.softmax else stacked.sigmoid()
        return masks * magnitude.unsqueeze(1)


def wiener_mask(target: Tensor, rest: Tensor, exponent: float = 2.0) -> Tensor:
    """Return the mask e^2 / (e^2 + r^2) of two magnitude estimates; 0 where both are silent.

    Args:
        target: e, not negative.
        rest: r, of the same shape.
        exponent: Of the estimates; a larger one brings masks nearer to 0 and 1.
    """
    if exponent == 2:  # several times faster than a power
        target, rest = target.square(), rest.square()
    else:
        target, rest = target.pow(exponent), rest.pow(exponent)
    return target / (target + rest + _WIENER_EPS)


def published_config(name: str) -> SpleeterConfig:
    """Return the configuration of `spleeter-2stems`, `-4stems` or `-5stems`."""
    activation = "leaky_relu" if name == "spleeter-2stems" else "elu"
    return SpleeterConfig(STEMS[name], activation, softmax=name == "spleeter-5stems")


def convert(
    name: str, index_path: Path, data_path: Path
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Convert a published TensorFlow checkpoint.

    Args:
        name: `spleeter-2stems`, `spleeter-4stems` or `spleeter-5stems`.
        index_path: `model.index`.
        data_path: `model.data-00000-of-00001`.

    Returns:
        The state dict of `Spleeter`, and its configuration as a plain dictionary.

    Raises:
        CheckpointError: A variable is missing or has another shape.
    """
    config = published_config(name)
    variables = read_checkpoint(index_path, data_path)
    model = Spleeter(config)
    state = from_variables(variables, config)
    try:
        model.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise CheckpointError(f"{index_path}: not the checkpoint of {name}") from error
    return state, asdict(config)


def from_variables(
    variables: Mapping[str, np.ndarray], config: SpleeterConfig
) -> dict[str, Tensor]:
    """Rename and transpose TensorFlow variables to the state dict of `Spleeter`."""
    state: dict[str, Tensor] = {}
    ups, downs = len(DECODER_CHANNELS), len(ENCODER_CHANNELS)
    for index, stem in enumerate(config.stems):
        prefix = f"nets.{stem}"
        for level in range(downs):
            source = _numbered("conv2d", index * (downs + 1) + level)
            _copy_conv(variables, source, state, f"{prefix}.encoder.convs.{level}")
        _copy_conv(
            variables,
            _numbered("conv2d", index * (downs + 1) + downs),
            state,
            f"{prefix}.decoder.head",
        )
        for level in range(ups):
            source = _numbered("conv2d_transpose", index * ups + level)
            _copy_conv(variables, source, state, f"{prefix}.decoder.convs.{level}")
        norms = downs + ups  # the deepest encoder norm exists in the checkpoint, but is not used
        for level in range(downs - 1):
            source = _numbered("batch_normalization", index * norms + level)
            _copy_norm(variables, source, state, f"{prefix}.encoder.norms.{level}")
        for level in range(ups):
            source = _numbered("batch_normalization", index * norms + downs + level)
            _copy_norm(variables, source, state, f"{prefix}.decoder.norms.{level}")
    return state


def _numbered(base: str, number: int) -> str:
    return base if number == 0 else f"{base}_{number}"


def _variable(variables: Mapping[str, np.ndarray], name: str) -> Tensor:
    if name not in variables:
        raise CheckpointError(f"the checkpoint lacks {name!r}: is it of another Spleeter model?")
    return torch.from_numpy(np.array(variables[name], order="C"))


def _copy_conv(
    variables: Mapping[str, np.ndarray], source: str, state: dict[str, Tensor], target: str
) -> None:
    # HWIO -> OIHW; transposed kernels are stored HW(out)(in), PyTorch wants (in)(out)HW: the same.
    kernel = _variable(variables, f"{source}/kernel")
    state[f"{target}.weight"] = kernel.permute(3, 2, 0, 1).contiguous()
    state[f"{target}.bias"] = _variable(variables, f"{source}/bias")


def _copy_norm(
    variables: Mapping[str, np.ndarray], source: str, state: dict[str, Tensor], target: str
) -> None:
    names = {
        "weight": "gamma",
        "bias": "beta",
        "running_mean": "moving_mean",
        "running_var": "moving_variance",
    }
    for ours, theirs in names.items():
        state[f"{target}.{ours}"] = _variable(variables, f"{source}/{theirs}")
    state[f"{target}.num_batches_tracked"] = torch.tensor(0)
