"""The supervised recipe: mix sources, ask for some of them, compare with the truth.

In: example numbers. Out: the loss of the conditioned U-Net on them.

Guard against forgetting: where the query is "vocals", the estimates are also held to those of the
frozen open nets that the model started from, which know 25,000 songs, not twenty.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from separate.models.losses import magnitude_loss, masked_sdr_loss, masked_spectrum_loss
from separate.models.spleeter import Spleeter
from separate.models.stft import modulus
from separate.models.unet import QueryUNet, wiener_mask
from separate.train.mixing import Mixer


@dataclass(frozen=True)
class SupervisedConfig:
    """Weights of the loss and of the learning rates."""

    magnitude_weight: float = 0.5  # of the magnitude loss beside the masked-spectrum loss
    sdr_weight: float = 0.5  # of the SDR loss (in bel) beside it
    teacher_weight: float = 1.0  # of the frozen nets' estimates, on voice queries
    encoder_multiple: float = 0.33  # of the learning rate, for the music trunk's encoder
    film_multiple: float = 4.0  # for FiLM layers and gate
    voice_multiple: float = 0.0  # for the voice trunk's convolutions; 0 leaves them as they are
    query_noise: float = 0.03  # standard deviation of noise on each coordinate of a query vector


class Supervised:
    """See `separate.train.loop.Recipe`."""

    def __init__(
        self,
        model: QueryUNet,
        mixer: Mixer,
        phrases: Mapping[str, Tensor],
        config: SupervisedConfig,
        *,
        teacher: Spleeter | None = None,
        evaluate: Callable[[nn.Module], dict[str, float]] = lambda model: {},
        device: torch.device | str = "cpu",
    ) -> None:
        """Keep what the recipe needs.

        Args:
            model: The network to train.
            mixer: Makes examples.
            phrases: Query vectors `(phrases, dim)` by label.
            config: Weights.
            teacher: The open two-stem model, frozen.
            evaluate: Scores a model on development songs.
            device: Where to train.
        """
        self.model = model.to(device)
        self.mixer = mixer
        self.phrases = phrases
        self.config = config
        self.teacher = teacher.to(device).eval().requires_grad_(False) if teacher else None
        self.evaluate = evaluate
        self.device = torch.device(device)
        self.voice_trained = config.voice_multiple > 0
        for name, parameter in self.model.voice.named_parameters():
            parameter.requires_grad_(self.voice_trained or name.startswith("film"))

    def groups(self) -> list[dict[str, Any]]:
        """Return encoder, decoder, FiLM and voice parameters with their rate multiples."""
        config, music, voice = self.config, self.model.music, self.model.voice
        decoder = [p for n, p in music.named_parameters() if not n.startswith(("encoder", "film"))]
        films = [*music.film.parameters(), *voice.film.parameters(), *self.model.gate.parameters()]
        sung = [p for n, p in voice.named_parameters() if not n.startswith("film")]
        return [
            {"params": list(music.encoder.parameters()), "multiple": config.encoder_multiple},
            {"params": decoder, "multiple": 1.0},
            {"params": films, "multiple": config.film_multiple},
            {"params": sung, "multiple": config.voice_multiple},
        ]

    def loss(self, numbers: list[int]) -> tuple[Tensor, dict[str, float]]:
        """Return the mean loss over examples and queries."""
        self._set_mode()
        batch = self.mixer.batch(numbers, self.device)
        magnitude = modulus(batch.mixture)
        queries = self._vectors(numbers, batch.labels)
        features = self.model.encode(magnitude, queries.flatten(0, 1))
        total = magnitude.new_zeros(())
        parts: dict[str, list[float]] = {}
        for index in range(queries.shape[1]):
            target = batch.targets[:, index]
            estimates = self.model.estimate(magnitude, features, queries[:, index])
            loss = self._query_loss(estimates, batch.mixture, magnitude, target)
            labels = [row[index] for row in batch.labels]
            held = self._teacher_loss(estimates, magnitude, labels)
            total = total + loss + self.config.teacher_weight * held
            parts.setdefault("loss", []).append(float(loss.detach()))
            parts.setdefault("teacher", []).append(float(held.detach()))
        means = {name: sum(values) / len(values) for name, values in parts.items()}
        return total / queries.shape[1], means

    def _query_loss(
        self,
        estimates: tuple[Tensor, Tensor],
        mixture: Tensor,
        magnitude: Tensor,
        target: Tensor,
    ) -> Tensor:
        wanted, rest = estimates
        mask = wiener_mask(wanted, rest)
        loss = masked_spectrum_loss(mask, mixture, target)
        if self.config.sdr_weight:
            loss = loss + self.config.sdr_weight * masked_sdr_loss(mask, mixture, target)
        both = magnitude_loss(wanted, modulus(target), magnitude) + magnitude_loss(
            rest, modulus(mixture - target), magnitude
        )
        return loss + self.config.magnitude_weight * both

    def _teacher_loss(
        self, estimates: tuple[Tensor, Tensor], magnitude: Tensor, labels: Sequence[str]
    ) -> Tensor:
        """Hold voice queries to the open nets' vocals and accompaniment."""
        chosen = [i for i, label in enumerate(labels) if label == "vocals"]
        if not chosen or self.teacher is None:
            return magnitude.new_zeros(())
        mixture = magnitude[chosen]
        with torch.no_grad():
            vocals, accompaniment = self.teacher(mixture).unbind(1)
        loss = magnitude_loss(estimates[0][chosen], vocals, mixture) + magnitude_loss(
            estimates[1][chosen], accompaniment, mixture
        )
        return loss * len(chosen) / len(labels)

    def _vectors(self, numbers: Sequence[int], labels: Sequence[Sequence[str]]) -> Tensor:
        """Draw a phrase for each query; a little noise makes neighbours mean the same."""
        rows = []
        for number, row in zip(numbers, labels, strict=True):
            generator = torch.Generator().manual_seed(number)
            for label in row:
                known = self.phrases[label]
                pick = int(torch.randint(len(known), (), generator=generator))
                noise = torch.randn(known.shape[1], generator=generator) * self.config.query_noise
                rows.append(nn.functional.normalize(known[pick] + noise, dim=0))
        return torch.stack(rows).reshape(len(labels), -1, rows[0].shape[0]).to(self.device)

    def _set_mode(self) -> None:
        """Train, but keep the open nets' normalisation statistics and use no dropout."""
        self.model.eval()
