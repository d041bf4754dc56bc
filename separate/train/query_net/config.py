"""Settings of the audio tower's training, and the table of analysed sounds that it trains on."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor


@dataclass(frozen=True)
class AudioTraining:
    """How the audio tower is trained."""

    minutes: float = 18.0  # wall-clock time; the learning rate falls to zero over it
    batch: int = 32  # sounds a step
    learning_rate: float = 2.5e-3  # the highest, after a short rise
    weight_decay: float = 0.02
    lengths: tuple[int, ...] = (32, 47, 63, 94, 125)  # frames of the random cuts: 1 to 4 s
    mixtures: float = 0.5  # share of sounds that get a second one mixed in
    loudest_second_db: float = 0.0  # the second sound, against the first
    softest_second_db: float = -20.0
    equaliser_db: float = 5.0  # standard deviation of a random smooth filter
    cut_off: float = 0.15  # share of sounds that lose their highest, or lowest, bands
    noisy: float = 0.3  # share of sounds with noise 20 to 60 dB below
    holes: float = 0.3  # share of sounds with a band, or a while, attenuated
    temperature: float = 0.07  # of both contrasts
    contrast_weight: float = 0.5  # of the contrast with all labels
    names_weight: float = 0.3  # of the contrast with the names of the teacher's classes
    class_weight: float = 1.0  # of the teacher's likelihoods
    embedding_weight: float = 0.5  # of the teacher's embedding
    seed: int = 0


@dataclass(frozen=True)
class SoundTable:
    """Sounds as the towers see them."""

    mels: Tensor  # (n, mels, frames) float16, log; padded with silence
    frames: Tensor  # (n,) int64, how many are real
    logits: Tensor  # (n, 527) float16, the teacher's
    embeddings: Tensor  # (n, 384) float16, the teacher's
    labels: list[str]
    sources: list[str]
    held_out: Tensor  # (n,) bool

    def save(self, path: Path) -> None:
        """Write to a file."""
        torch.save(vars(self), path)

    @classmethod
    def load(cls, path: Path) -> "SoundTable":
        """Read what `save` wrote."""
        return cls(**torch.load(path, weights_only=True))
