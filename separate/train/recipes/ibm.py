"""The recipe `ibm`: a CNN is trained on the ideal binary mask of the voice.

The loss is the cross-entropy of the network's mask with the ideal one, on mixtures of vocals and
backing.

Source: see `separate.models.ibm_cnn`. Where this deviates: voices and backings of different songs
are mixed too, at other levels, speeds and equalisations, since the songs are few. The network needs
no pretraining as an autoencoder: its layers are normalised.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from separate.errors import DataError
from separate.models.ibm_cnn import SAMPLE_RATE, STFT, IbmCnn, ibm_loss, ideal_binary_mask
from separate.models.stft import compute_magnitude, stft
from separate.train.data.folders import Corpus, CorpusSong
from separate.train.data.mixing import SAMPLE_RATE as CORPUS_RATE

_EXAMPLE = 3  # keeps the draws of these examples apart from those of other mixers
_VOICE = "vocals"
_EDGE = 128  # samples that are cut from either end after a change of speed, which is circular
_LEVEL = 0.1  # RMS of backings: separation brings windows to 0.12, as two such sources have
_SPREAD_DB = 2.0  # standard deviation of that level
_KNOTS = 10  # frequencies at which the random equaliser draws a gain
_PROBED = 16  # one of so many samples is read for a song's level
_TINY = 1e-4  # RMS below which nothing is amplified


@dataclass(frozen=True)
class IbmConfig:
    """How examples are made."""

    frames: int = 96  # STFT frames (16 ms) an example
    aligned: float = 0.3  # probability that voice and backing come from one song and time
    gain_db: float = 2.0  # standard deviation of the voice's gain
    speed: float = 0.27  # largest change of speed and pitch, +-, of four sources in five
    eq_db: float = 3.0  # standard deviation of each source's random equaliser
    silent: float = 0.02  # probability that there is no voice


class IbmMixer:
    """Draws voices and backings, each example from its own seed and number."""

    def __init__(self, corpus: Corpus, config: IbmConfig, seed: int = 0) -> None:
        """Keep what examples are drawn from.

        Raises:
            DataError: No song has both vocals and something else.
        """
        songs = [song for song in corpus.songs if {_VOICE} < set(song.parents.values())]
        if not songs:
            raise DataError("ibm needs songs with a stem of vocals and another of all else")
        self.config, self.seed = config, seed
        self.songs = [_Pair(song) for song in songs]
        lengths = np.array([song.samples for song in songs], dtype=float)
        self.weights = lengths / lengths.sum()

    def batch(self, indices: Sequence[int], device: torch.device | str = "cpu") -> Tensor:
        """Return complex spectra `(batch, 2, frames, 513)` of voice and backing, in mono."""
        drawn = [self._example(number) for number in indices]
        audio = torch.from_numpy(np.stack([pair for pair, _ in drawn])).to(device)
        knots = torch.from_numpy(np.stack([knots for _, knots in drawn])).to(device)
        gains = 10 ** (knots @ _between_knots().to(device) / 20)
        return stft(audio, STFT).transpose(-1, -2) * gains[:, :, None]

    def _example(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Return voice and backing, `(2, samples)`, and gains in dB `(2, knots)`."""
        config = self.config
        rng = np.random.default_rng((self.seed, _EXAMPLE, number))
        first, second = (self.songs[i] for i in rng.choice(len(self.songs), 2, p=self.weights))
        speed = self._speed(rng)
        place = rng.random()
        voice = self._excerpt(first, 0, speed, place)
        gain = config.gain_db * rng.standard_normal()
        if rng.random() < config.aligned:
            backing = self._excerpt(first, 1, speed, place)
        else:
            backing = self._excerpt(second, 1, self._speed(rng), rng.random())
            backing *= first.level / second.level  # as loud as in the voice's own song
        factor = 0.0 if rng.random() < config.silent else 10 ** (gain / 20)
        level = _LEVEL * 10 ** (_SPREAD_DB * rng.standard_normal() / 20) / first.level
        pair = np.stack([voice * factor, backing]) * level
        knots = config.eq_db * rng.standard_normal((2, _KNOTS))
        return pair.astype(np.float32), knots.astype(np.float32)

    def _speed(self, rng: np.random.Generator) -> float:
        """Draw a factor, evenly by pitch."""
        largest = math.log(1 + self.config.speed)
        return math.exp(rng.uniform(-largest, largest)) if rng.random() < 0.8 else 1.0

    def _excerpt(self, song: "_Pair", part: int, speed: float, place: float) -> np.ndarray:
        """Return `(samples,)` from a place (0..1) in a song, in mono at the network's rate."""
        samples = STFT.samples(self.config.frames) + 2 * _EDGE
        length = round(samples * speed * CORPUS_RATE / SAMPLE_RATE)
        start = int(place * max(0, song.samples - length))
        return _resampled(song.read(part, start, length), samples)[_EDGE:-_EDGE]


def _between_knots() -> Tensor:
    """Return `(knots, 513)`, which interpolates between knots that lie evenly on the mel scale."""
    hertz = torch.linspace(0, SAMPLE_RATE / 2, STFT.bins)
    mel = torch.log1p(hertz / 700)
    return (1 - (mel / mel[-1] * (_KNOTS - 1) - torch.arange(_KNOTS)[:, None]).abs()).clamp_min(0)


class _Pair:
    """A song as a voice and its backing."""

    def __init__(self, song: CorpusSong) -> None:
        voices = [song.stems[name] for name, parent in song.parents.items() if parent == _VOICE]
        others = [song.stems[name] for name, parent in song.parents.items() if parent != _VOICE]
        self.parts, self.samples = (voices, others), song.samples
        backing = self.read(1, 0, song.samples, _PROBED)
        self.level = math.sqrt(float(np.square(backing).mean())) + _TINY  # RMS of the backing

    def read(self, part: int, start: int, length: int, step: int = 1) -> np.ndarray:
        """Return samples of the voice (0) or the backing (1), mono, zeros after the end."""
        sound = sum(
            stem[start : start + length : step].astype(np.float32).mean(1)
            for stem in self.parts[part]
        )
        return np.pad(sound, (0, -(-length // step) - len(sound))) / 32768


def _resampled(sound: np.ndarray, samples: int) -> np.ndarray:
    """Change a sound's length by its spectrum: the same pitch in a file of another rate."""
    spectrum = torch.fft.rfft(torch.from_numpy(sound), norm="forward")
    return torch.fft.irfft(spectrum, samples, norm="forward").numpy()


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
        """Return the mean loss over the examples."""
        spectra = self.mixer.batch(indices, self.device)
        voice, rest = (compute_magnitude(spectra[:, i]) for i in range(2))
        mixture = compute_magnitude(spectra.sum(1))
        loss = ibm_loss(self.model.logits(mixture), ideal_binary_mask(voice, rest), mixture)
        return loss, {"loss": float(loss.detach())}
