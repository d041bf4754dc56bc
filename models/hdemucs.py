"""Hybrid Demucs: torchaudio's network, and the reader of its published weights.

In: waveforms `(batch, 2, time)` at 44.1 kHz. Out: `(batch, stems, 2, time)`.

Source: A. Defossez, "Hybrid Spectrogram and Waveform Source Separation", MDX workshop 2021; the
network is `torchaudio.models.HDemucs`, the weights those of its bundles HDEMUCS_HIGH_MUSDB and
HDEMUCS_HIGH_MUSDB_PLUS.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from separate.models.errors import CheckpointError
from separate.models.torch_file import read_torch_file

SAMPLE_RATE = 44_100  # Hz
HOP_SAMPLES = 1024  # of its transform
_SHORTEST_SAMPLES = 16_384  # what is shorter is followed by silence
_FIRST = "freq_encoder.0.conv.weight"


@dataclass(frozen=True)
class HDemucsConfig:
    """Sizes; the rest is as in `torchaudio.models.hdemucs_high`."""

    stems: tuple[str, ...] = ("drums", "bass", "other", "vocals")  # in the order of the outputs
    channels: int = 48  # of the first layer; each further one has twice as many


class HDemucs(nn.Module):
    """Hybrid Demucs for sounds of any length."""

    def __init__(self, config: HDemucsConfig) -> None:
        super().__init__()
        from separate.models.torchaudio_compat import torchaudio  # takes a second to import

        self.config = config
        self.net: nn.Module = torchaudio.models.HDemucs(
            sources=list(config.stems), channels=config.channels, nfft=4 * HOP_SAMPLES, depth=6
        )

    def forward(self, waveform: Tensor) -> Tensor:
        """Separate.

        Args:
            waveform: `(batch, 2, time)` at 44.1 kHz, at least one sample.

        Returns:
            `(batch, stems, 2, time)`; silence gives silence.

        Raises:
            ValueError: The waveform has another shape.
        """
        if waveform.dim() != 3 or waveform.shape[1] != 2 or not waveform.shape[-1]:
            raise ValueError(f"waveform must be (batch, 2, time), not {tuple(waveform.shape)}")
        length = waveform.shape[-1]
        padded = functional.pad(waveform, (0, max(0, _SHORTEST_SAMPLES - length)))
        stems: Tensor = self.net(padded)
        sounds = waveform.abs().amax(dim=(1, 2)) > 0  # its biases alone would make a sound
        return stems[..., :length] * sounds[:, None, None, None]


def convert(name: str, path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a checkpoint of torchaudio's bundles.

    Args:
        name: Of the weights, for messages.
        path: The `.pt` file; nothing but tensors is unpickled.

    Returns:
        The state of an `HDemucs`, and its configuration.

    Raises:
        CheckpointError: The file is damaged, or of another network.
    """
    state = read_torch_file(path)
    try:
        config = HDemucsConfig(channels=state[_FIRST].shape[0])
        prefixed = {f"net.{key}": tensor.float() for key, tensor in state.items()}
        HDemucs(config).load_state_dict(prefixed, strict=True)
    except (KeyError, AttributeError, TypeError, IndexError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{name}: not a checkpoint of Hybrid Demucs") from error
    return prefixed, {"stems": list(config.stems), "channels": config.channels}
