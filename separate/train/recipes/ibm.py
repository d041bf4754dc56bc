"""The recipe `ibm`: a CNN is trained on the ideal binary mask of the voice.

The loss is the cross-entropy of the network's mask with the ideal one, on mixtures of vocals and
backing.

Source: see `separate.models.ibm_cnn`. The network is first trained as an autoencoder of the voice's
bins, by examples up to a number, then on the mask. Where this deviates: voices and backings of
different songs are mixed too, and played a little faster or slower, since the songs are few.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from separate.audio import resample
from separate.corpus.sources.store import PARENTS
from separate.errors import DataError
from separate.models.ibm_cnn import (
    SAMPLE_RATE,
    STFT,
    IbmCnn,
    compressed,
    ibm_loss,
    ideal_binary_mask,
    patches,
)
from separate.models.stft import compute_magnitude, stft
from separate.train.data.folders import Corpus
from separate.train.data.mixing import SAMPLE_RATE as CORPUS_RATE
from separate.train.data.mixing import MixConfig, Mixer

_EXAMPLE = 3  # keeps the draws of these examples apart from those of other mixers
_VOICE = {"vocals"}
_BACKING = set(PARENTS) - _VOICE


@dataclass(frozen=True)
class IbmConfig:
    """How examples are made."""

    frames: int = 32  # corpus frames (23 ms) an example: short ones differ more
    aligned: float = 0.5  # probability that voice and backing come from one song and time
    gain_db: float = 3.0  # of the voice, +-
    speed: float = 0.15  # largest change of speed and pitch, +-, of half the sources
    autoencoder_examples: int = 0  # of the pretraining


class IbmMixer:
    """Draws voices and backings, each example from its own seed and number."""

    def __init__(self, corpus: Corpus, config: IbmConfig, seed: int = 0) -> None:
        """Keep what examples are drawn from.

        Raises:
            DataError: No song has both vocals and something else.
        """
        parents = {parent for song in corpus.songs for parent in song.parents.values()}
        if not (parents & _VOICE and parents & _BACKING):
            raise DataError("ibm needs songs with a stem of vocals and another of all else")
        self.config, self.seed = config, seed
        settings = MixConfig(frames=config.frames, drop=0.0, speed=config.speed)
        self.mixer = Mixer(corpus, settings, seed)

    def batch(self, indices: Sequence[int], device: torch.device | str = "cpu") -> Tensor:
        """Return complex spectra `(batch, 2, frames, 2049)` of voice and backing, in mono."""
        audio = torch.from_numpy(np.stack([self._example(number) for number in indices]))
        return stft(audio.to(device), STFT).transpose(-1, -2)

    def _example(self, number: int) -> np.ndarray:
        """Return voice and backing, `(2, samples)`."""
        rng = np.random.default_rng((self.seed, _EXAMPLE, number))
        song = self.mixer.song(rng, "vocals")
        if rng.random() < self.config.aligned:
            sources = self.mixer.song_window(rng, song, set(PARENTS))
        else:
            sources = self.mixer.song_window(rng, song, _VOICE)
            sources += self.mixer.song_window(rng, self.mixer.song(rng), _BACKING)
        pair = np.zeros((2, self.mixer.samples), np.float32)
        for source in sources:
            pair[0 if source.parent in _VOICE else 1] += source.audio.mean(0).numpy()
        gain = self.config.gain_db * rng.uniform(-1, 1)
        pair[0] *= np.float32(10 ** (gain / 20))
        return resample(pair, CORPUS_RATE, SAMPLE_RATE)


class Ibm:
    """See `separate.train.loop.Recipe`."""

    name = "ibm"

    def __init__(
        self,
        model: IbmCnn,
        mixer: IbmMixer,
        *,
        evaluate: Callable[[nn.Module], dict[str, float]] = lambda model: {},
        device: torch.device | str = "cpu",
    ) -> None:
        """Keep what the recipe needs.

        Args:
            model: What to train; its dropout is on.
            mixer: Makes examples.
            evaluate: Scores a model on development songs.
            device: Where to train.
        """
        self.model = model.to(device).train().requires_grad_(True)
        self.mixer = mixer
        self.evaluate = evaluate
        self.device = torch.device(device)

    def groups(self) -> list[dict[str, Any]]:
        """Return all parameters, with one learning rate."""
        return [{"params": list(self.model.parameters()), "lr_scale": 1.0}]

    def loss(self, indices: list[int]) -> tuple[Tensor, dict[str, float]]:
        """Return the mean loss over the examples: of the mask, or first of the autoencoder."""
        spectra = self.mixer.batch(indices, self.device)
        voice, rest = (compute_magnitude(spectra[:, i]) for i in range(2))
        mixture, mask = compute_magnitude(spectra.sum(1)), ideal_binary_mask(voice, rest)
        if indices[0] < self.mixer.config.autoencoder_examples:
            masked = mask * mixture
            loss = functional.mse_loss(self.model.logits(masked), patches(compressed(masked)))
            return loss, {"autoencoder": float(loss.detach())}
        loss = ibm_loss(self.model.logits(mixture), patches(mask))
        return loss, {"loss": float(loss.detach())}
