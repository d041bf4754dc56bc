"""Mixtures of sounds in the mel domain, where energies add: training data of the audio tower.

`SoundMixer` draws rows of the table of analysed sounds and returns log-mel spectrograms of cut,
filtered and mixed sounds, as the tower's front end computes them. The tower later embeds a
separator's estimates, so leaks of other sources and holes of masks are simulated too.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from separate.models.audio_tower import FLOOR
from separate.train.query_net.config import AudioTraining, SoundTable

_LEAST_ENERGY = 0.03  # a cut with less of its sound's mean energy is silence, and is left out
_DB = math.log(10) / 10  # natural logarithm of an energy ratio of 1 dB


@dataclass(frozen=True)
class SoundBatch:
    """The examples of one step."""

    mels: Tensor  # (batch, mels, frames), as the tower's `log_mel` gives
    first: Tensor  # (batch,) int64, rows of the table
    second: Tensor  # (batch,) int64, rows of the sounds mixed in
    second_db: Tensor  # (batch,) energy of the second against the first; -inf where there is none
    audible: Tensor  # (batch,) 1 or 0: whether the cut holds enough of its sound


class SoundMixer:
    """Draws batches; every random number comes from one generator."""

    def __init__(
        self, table: SoundTable, rows: Tensor, weights: Tensor, settings: AudioTraining
    ) -> None:
        """Keep the table.

        Args:
            table: Analysed sounds.
            rows: `(n,)` int64, the sounds to train on.
            weights: `(n,)`, how often to draw each.
            settings: SoundBatch, lengths, levels.
        """
        self.table = table
        self.rows = rows
        self.weights = weights
        self.settings = settings
        self.generator = torch.Generator().manual_seed(settings.seed)

    def draw(self) -> SoundBatch:
        """Return a batch of one length, which is drawn too."""
        settings, size = self.settings, self.settings.batch
        frames = settings.lengths[int(self._uniform(1) * len(settings.lengths))]
        first, second = self._rows(size), self._rows(size)
        target, audible = self.cut(first, frames)
        other, other_audible = self.cut(second, frames)
        span = settings.loudest_second_db - settings.softest_second_db
        second_db = settings.softest_second_db + span * self._uniform(size)
        mixed = (self._uniform(size) < settings.mixtures) & other_audible
        second_db = torch.where(mixed, second_db, -torch.inf)
        energy = target + other * (second_db * _DB).exp()[:, None, None]
        return SoundBatch(self.spoil(energy), first, second, second_db, audible.float())

    def cut(self, rows: Tensor, frames: int) -> tuple[Tensor, Tensor]:
        """Cut sounds at random places and speeds.

        Args:
            rows: `(batch,)` of the table.
            frames: Length of the cuts; a shorter sound gets a random position in silence.

        Returns:
            Energies `(batch, mels, frames)` with mean 1, and whether enough was in the cut
            `(batch,)`, bool.
        """
        length = self.table.frames[rows]
        speed = 0.85 + 0.3 * self._uniform(len(rows))
        start = (length - frames * speed) * self._uniform(len(rows))
        index = (start[:, None] + torch.arange(frames) * speed[:, None]).round().long()
        inside = (index >= 0) & (index < length[:, None])
        mels = self.table.mels[rows].float()
        index = index.clamp(0, mels.shape[-1] - 1)[:, None].expand(-1, mels.shape[1], -1)
        energy = (mels.gather(2, index).exp() - FLOOR).clamp_min(0) * inside[:, None]
        mean = energy.mean(dim=(1, 2))
        share = mean * frames / torch.minimum(length / speed, torch.tensor(float(frames)))
        return energy / mean.clamp_min(1e-4)[:, None, None], share > _LEAST_ENERGY

    def spoil(self, energy: Tensor) -> Tensor:
        """Filter, add noise, cut holes, and take the logarithm as the front end does."""
        batch, mels, frames = energy.shape
        energy = energy * (self._filter(batch, mels) * _DB).exp().unsqueeze(-1)
        level = energy.mean(dim=(1, 2), keepdim=True)
        noise_db = -20 - 40 * self._uniform(batch)
        noisy = (self._uniform(batch) < self.settings.noisy).float()
        slope = torch.linspace(0, 1, mels) * (20 * self._uniform(batch)[:, None] - 10)
        grain = -self._uniform(batch, mels, frames).clamp_min(1e-6).log()
        noise = (noise_db[:, None] + slope).mul(_DB).exp().unsqueeze(-1) * grain
        energy = energy + noise * level * noisy[:, None, None]
        energy = energy * (-self._holes(batch, mels, frames) * _DB).exp()
        level = energy.mean(dim=(1, 2), keepdim=True).clamp_min(1e-6)
        return (energy / level + FLOOR).log()

    def _filter(self, batch: int, mels: int) -> Tensor:
        """Smooth random gains in dB `(batch, mels)`, some with one end cut off."""
        position = torch.linspace(0, 1, mels)
        waves = torch.stack([torch.cos(math.pi * order * position) for order in (1, 2, 3)])
        size = self.settings.equaliser_db / 3**0.5
        gains = torch.randn(batch, 3, generator=self.generator) * size @ waves
        top = torch.where(
            self._uniform(batch) < self.settings.cut_off, 0.35 + 0.6 * self._uniform(batch), 2.0
        )
        bottom = torch.where(
            self._uniform(batch) < self.settings.cut_off, 0.3 * self._uniform(batch), -1.0
        )
        outside = (position > top[:, None]) | (position < bottom[:, None])
        return gains - 40 * outside

    def _holes(self, batch: int, mels: int, frames: int) -> Tensor:
        """Attenuation in dB `(batch, mels, frames)` of a random band and a random while."""
        result = torch.zeros(batch, mels, frames)
        for axis, size, widest in ((1, mels, 0.2), (2, frames, 0.3)):
            start = self._uniform(batch)[:, None]
            end = start + widest * self._uniform(batch)[:, None]
            position = torch.linspace(0, 1, size)[None]
            depth = 10 + 30 * self._uniform(batch)[:, None]
            hole = ((position >= start) & (position < end)) * depth
            hole = hole * (self._uniform(batch)[:, None] < self.settings.holes)
            result = result + (hole[:, :, None] if axis == 1 else hole[:, None, :])
        return result

    def _rows(self, count: int) -> Tensor:
        drawn = torch.multinomial(self.weights, count, True, generator=self.generator)
        return self.rows[drawn]

    def _uniform(self, *shape: int) -> Tensor:
        return torch.rand(*shape, generator=self.generator)
