"""The likelihood of the voice in each bin of a recording, kept to compare thresholds."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from separate.audio import resample
from separate.errors import SettingsError
from separate.models import registry
from separate.models.ibm_cnn import SAMPLE_RATE, STFT, IbmCnn, pruned
from separate.models.stft import compute_magnitude, istft, stft
from separate.weights.store import models_dir


@dataclass(frozen=True)
class VoiceMap:
    """A mixture's spectrum and the likelihood of the voice in it, `(frames, 513)`."""

    spectrum: Tensor  # complex
    likelihood: Tensor
    sample_rate: int  # of the recording
    samples: int
    exponent: float  # of the mask

    def voice(self, threshold: float) -> np.ndarray:
        """Return the voice `(1, samples)`: bins below the threshold are set to zero."""
        masked = pruned(self.likelihood, threshold, self.exponent) * self.spectrum
        samples = -(-self.samples * SAMPLE_RATE // self.sample_rate)
        sound = istft(masked.T[None], samples, STFT).numpy()
        sound = resample(sound, SAMPLE_RATE, self.sample_rate)[:, : self.samples]
        return np.pad(sound, ((0, 0), (0, self.samples - sound.shape[1])))


class VoiceFinder:
    """A binary-mask network by name or path."""

    def __init__(self, model: str) -> None:
        """Load it.

        Raises:
            CheckpointError: There is no such model.
            SettingsError: It is of another kind.
        """
        net, card = registry.load(registry.find(model, [models_dir()]))
        if not isinstance(net, IbmCnn):
            raise SettingsError(
                f"{model}: a {card.kind!r} keeps no likelihoods; take one of `separate train ibm`"
            )
        self.net, self.name = net, card.name

    @torch.inference_mode()
    def find(self, mono: np.ndarray, sample_rate: int) -> VoiceMap:
        """Map a whole recording `(1, samples)`; its memory grows with its length."""
        waveform = torch.from_numpy(resample(mono, sample_rate, SAMPLE_RATE))
        spectrum = stft(waveform, STFT)[0].T
        likelihood = self.net(compute_magnitude(spectrum)[None])[0]
        exponent = self.net.config.exponent
        return VoiceMap(spectrum, likelihood, sample_rate, mono.shape[-1], exponent)
