"""The supervised recipe: mix sources, ask for some of them, compare with the truth.

In: example numbers. Out: the loss of the conditioned U-Net on them.

Guard against forgetting: the voice trunks, open nets that know 25,000 songs, are left as they are;
the music trunk alone is trained.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from separate.models.losses import (
    magnitude_loss,
    masked_correlation_loss,
    masked_sdr_loss,
    masked_spectrum_loss,
)
from separate.models.stft import modulus
from separate.models.unet import QueryUNet, wiener_mask
from separate.train.mixing import Mixer


@dataclass(frozen=True)
class SupervisedConfig:
    """Weights of the loss and of the learning rates."""

    magnitude_weight: float = 0.3  # of the loss of the two magnitudes
    spectrum_weight: float = 0.0  # of the masked-spectrum loss
    correlation_weight: float = 1.0  # of the scale-invariant SDR loss (in bel)
    sdr_weight: float = 0.3  # of the SDR loss (in bel)
    encoder_multiple: float = 0.33  # of the learning rate, for the music trunk's encoder
    film_multiple: float = 4.0  # for FiLM layers
    last_multiple: float = 2.0  # for the last level, whose weights start at random
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
        evaluate: Callable[[nn.Module], dict[str, float]] = lambda model: {},
        device: torch.device | str = "cpu",
    ) -> None:
        """Keep what the recipe needs.

        Args:
            model: The network to train.
            mixer: Makes examples.
            phrases: Query vectors `(phrases, dim)` by label.
            config: Weights.
            evaluate: Scores a model on development songs.
            device: Where to train.
        """
        self.model = model.to(device)
        self.mixer = mixer
        self.phrases = phrases
        self.config = config
        self.evaluate = evaluate
        self.device = torch.device(device)
        self.model.requires_grad_(False)
        self.model.music.requires_grad_(True)

    def calibrate(self, examples: int = 8) -> None:
        """Fit the random last level's normalisation to some examples, before the first step."""
        numbers = list(range(examples))
        batch = self.mixer.batch(numbers, self.device)
        queries = self._vectors(numbers, batch.labels)[:, 0]
        self.model.music.calibrate(modulus(batch.mixture), queries)

    def groups(self) -> list[dict[str, Any]]:
        """Return the music trunk's parameters in four groups with their rate multiples."""
        config, music = self.config, self.model.music
        fresh = [music.convs[-1], music.norms[-1], music.head]
        known = {id(p) for part in (*fresh, music.encoder, music.film) for p in part.parameters()}
        return [
            {"params": list(music.encoder.parameters()), "multiple": config.encoder_multiple},
            {
                "params": [p for p in music.parameters() if id(p) not in known],
                "multiple": 1.0,
            },
            {"params": list(music.film.parameters()), "multiple": config.film_multiple},
            {
                "params": [p for part in fresh for p in part.parameters()],
                "multiple": config.last_multiple,
            },
        ]

    def loss(self, numbers: list[int]) -> tuple[Tensor, dict[str, float]]:
        """Return the mean loss over examples and queries.

        The music trunk learns every query, voices too, though the gate gives those to the voice
        trunks later: the mixer should make few of them.
        """
        self.model.eval()  # fixed normalisation statistics, no dropout
        batch = self.mixer.batch(numbers, self.device)
        magnitude = modulus(batch.mixture)
        queries = self._vectors(numbers, batch.labels)
        features = self.model.music.encode(magnitude)
        total = magnitude.new_zeros(())
        for index in range(queries.shape[1]):
            masks = self.model.music.decode(features, queries[:, index]).sigmoid()
            target, rest = (mask * magnitude for mask in masks.chunk(2, dim=1))
            total = total + self._query_loss(
                (target, rest), batch.mixture, magnitude, batch.targets[:, index]
            )
        mean = total / queries.shape[1]
        return mean, {"loss": float(mean.detach())}

    def _query_loss(
        self,
        estimates: tuple[Tensor, Tensor],
        mixture: Tensor,
        magnitude: Tensor,
        target: Tensor,
    ) -> Tensor:
        wanted, rest = estimates
        config = self.config
        mask = wiener_mask(wanted, rest)
        loss = magnitude.new_zeros(())
        if config.spectrum_weight:
            loss = loss + config.spectrum_weight * masked_spectrum_loss(mask, mixture, target)
        if config.correlation_weight:
            loss = loss + config.correlation_weight * masked_correlation_loss(mask, mixture, target)
        if config.sdr_weight:
            loss = loss + config.sdr_weight * masked_sdr_loss(mask, mixture, target)
        both = magnitude_loss(wanted, modulus(target), magnitude) + magnitude_loss(
            rest, modulus(mixture - target), magnitude
        )
        return loss + self.config.magnitude_weight * both

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
