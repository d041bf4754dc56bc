"""The supervised recipe: mix sources, ask for some of them, compare with the truth.

In: example numbers. Out: the loss of the conditioned U-Net on them.

Guard against forgetting: the voice net, which knows 25,000 songs, is left as it is; the music trunk
alone is trained.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from separate.models.bands import to_bands
from separate.models.losses import (
    Products,
    mask_entropy_loss,
    masked_correlation_loss,
    masked_sdr_loss,
    products,
)
from separate.models.stft import modulus
from separate.models.unet import QueryUNet, music_input
from separate.train.mixing import MUSIC, Mixer

_EPS = 1e-6
_FULL_RATE_INPUTS = 800  # inputs of an output up to which a layer learns at the full rate


@dataclass(frozen=True)
class SupervisedConfig:
    """Weights of the loss and of the learning rates."""

    entropy_weight: float = 1.0  # of the cross-entropy with the best mask
    correlation_weight: float = 0.3  # of the scale-invariant SDR loss (in bel)
    shared_weight: float = 1.0  # of the SDR loss (in bel) of drums, bass, other, shared out
    encoder_multiple: float = 0.5  # of the learning rate, for the music trunk's encoder
    film_multiple: float = 5.0  # for FiLM layers
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
        """Fit the music trunk's normalisation to some examples, before the first step."""
        numbers = list(range(examples))
        batch = self.mixer.batch(numbers, self.device)
        queries = self._vectors(numbers, batch.labels)[:, 0]
        magnitude = modulus(batch.mixture)
        with torch.no_grad():
            seen = music_input(magnitude, self.model.voice_mask(magnitude))
        self.model.music.calibrate(seen, queries)

    def groups(self) -> list[dict[str, Any]]:
        """Return the music trunk's parameters layer by layer with their rate multiples.

        With fixed statistics nothing catches a layer whose output drifts, and Adam moves all
        weights alike, so that what a step does to an output grows with the number of inputs; the
        rate falls with it (Yang et al., 2022).
        """
        config, music = self.config, self.model.music
        groups: list[dict[str, Any]] = [
            {"params": list(music.film.parameters()), "multiple": config.film_multiple},
            {"params": list(music.norms.parameters()), "multiple": 1.0},
            {"params": list(music.encoder.norms.parameters()), "multiple": config.encoder_multiple},
            {"params": list(music.head.parameters()), "multiple": 1.0},
        ]
        for conv in music.convs:
            inputs = conv.in_channels * 25 / 4  # of one output of a transposed one
            groups.append({"params": list(conv.parameters()), "multiple": _slower(inputs)})
        for conv in music.encoder.convs:
            multiple = config.encoder_multiple * _slower(conv.in_channels * 25)
            groups.append({"params": list(conv.parameters()), "multiple": multiple})
        return groups

    def loss(self, numbers: list[int]) -> tuple[Tensor, dict[str, float]]:
        """Return the mean loss over examples and queries."""
        self.model.eval()  # fixed normalisation statistics, no dropout
        batch = self.mixer.batch(numbers, self.device)
        queries = self._vectors(numbers, batch.labels)
        magnitude = modulus(batch.mixture)
        with torch.no_grad():  # the voice net is not trained
            voice = self.model.voice_mask(magnitude)
        features = self.model.music.encode(music_input(magnitude, voice))
        count = queries.shape[1]
        logits = [self.model.music.decode(features, queries[:, i]) for i in range(count)]
        pairs = [products(batch.mixture, batch.targets[:, i], bands=True) for i in range(count)]
        alone = torch.stack([self._query_loss(*pair) for pair in zip(logits, pairs, strict=True)])
        loss = alone.mean()
        if bool(batch.shared.any()):
            shared = self._shared_loss(logits, pairs, to_bands(voice), batch.shared)
            loss = loss + self.config.shared_weight * shared
        return loss, {"loss": float(loss.detach()), "alone": float(alone.detach().mean())}

    def _shared_loss(
        self, logits: Sequence[Tensor], pairs: Sequence[Products], voice: Tensor, rows: Tensor
    ) -> Tensor:
        """SDR loss of drums, bass and other as `--stems` shares the mixture out among the four.

        A share cannot be raised by making all masks small, the trap of the first steps.
        """
        music = torch.stack([part[rows].sigmoid() for part in logits[: len(MUSIC)]])
        shares = music * (1 - voice[rows]) / (music.sum(0) + _EPS)
        losses = [
            masked_sdr_loss(share, Products(*(part[rows] for part in astuple(pair))))
            for share, pair in zip(shares, pairs, strict=False)
        ]
        return torch.stack(losses).mean()

    def _query_loss(self, logits: Tensor, product: Products) -> Tensor:
        config = self.config
        loss = config.entropy_weight * mask_entropy_loss(logits, product)
        return loss + config.correlation_weight * masked_correlation_loss(logits.sigmoid(), product)

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


def _slower(inputs: float) -> float:
    return min(1.0, _FULL_RATE_INPUTS / inputs)
