"""The recipe `supervised`: mix sources, separate some of them, compare with the true stems."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from separate.backends.masking import sharpened
from separate.models.bands import to_bands
from separate.models.losses import (
    Products,
    mask_entropy_loss,
    masked_correlation_loss,
    masked_sdr_loss,
    products,
)
from separate.models.stft import compute_magnitude
from separate.train.data.mixing import MUSIC, Mixer
from separate.train.data.phrases import draw_wording
from separate.train.distributed import mean_over_all
from separate.train.trainable import TrainableNet

_EPS = 1e-6
_SURE = tuple(stem == "other" for stem in MUSIC)  # see `sharpened`


@dataclass(frozen=True)
class SupervisedConfig:
    """Weights of the loss."""

    entropy_weight: float = 1.0  # of the cross-entropy with the best mask
    correlation_weight: float = 0.3  # of the scale-invariant SDR loss (in bel)
    shared_weight: float = 1.0  # of the SDR loss (in bel) of drums, bass, other after normalisation
    doubts: bool = False  # normalise doubted masks, as `--stems` does
    taught_weight: float = 2.0  # of the cross-entropy with a teacher's mask, where there is one
    query_noise: float = 0.03  # standard deviation of noise on each coordinate of a query vector


class Supervised:
    """See `separate.train.loop.Recipe`."""

    name = "supervised"

    def __init__(
        self,
        net: TrainableNet[Any],
        mixer: Mixer,
        phrases: Mapping[str, Tensor],
        config: SupervisedConfig,
        *,
        evaluate: Callable[[nn.Module], dict[str, float]] = lambda model: {},
        teacher: TrainableNet[Any] | None = None,
    ) -> None:
        """Keep what the recipe needs.

        Args:
            net: The network to train.
            mixer: Makes examples.
            phrases: Query vectors `(phrases, dim)` by label.
            config: Weights.
            evaluate: Scores a model on development songs.
            teacher: A trained network whose masks are a second target (distillation), for the
                queries that it masks.
        """
        self.device = mixer.device  # where to train
        self.net, self.model = net, net.model.to(self.device)
        self.teacher = teacher
        if teacher is not None:
            teacher.model.to(self.device).requires_grad_(False)
        self.mixer = mixer
        self.phrases = phrases
        self.config = config
        self.evaluate = evaluate

    def groups(self) -> list[dict[str, Any]]:
        """See `TrainableNet`."""
        return self.net.groups()

    def loss(self, indices: list[int]) -> tuple[Tensor, dict[str, float]]:
        """Return the mean loss over examples and queries."""
        batch = self.mixer.batch(indices)
        queries = self._vectors(indices, batch.labels)
        magnitude = compute_magnitude(batch.mixture)
        features = self.net.encode(magnitude)
        count = queries.shape[1]
        logits = [self.net.decode(features, queries[:, i]) for i in range(count)]
        pairs = [products(batch.mixture, batch.targets[:, i], bands=True) for i in range(count)]
        alone = torch.stack([self._query_loss(*pair) for pair in zip(logits, pairs, strict=True)])
        loss = alone.mean()
        voice = self.net.voice(features)
        if voice is not None:
            shared = self._shared_loss(logits, pairs, to_bands(voice), batch.shared)
            loss = loss + self.config.shared_weight * mean_over_all(shared)
        metrics = {"alone": float(alone.detach().mean())}
        if self.teacher is not None:
            taught = self._taught_loss(logits, pairs, magnitude, queries)
            metrics["taught"] = float(taught.detach())
            loss = loss + self.config.taught_weight * taught
        return loss, {"loss": float(loss.detach()), **metrics}

    def _taught_loss(
        self, logits: Sequence[Tensor], pairs: Sequence[Products], magnitude: Tensor, query: Tensor
    ) -> Tensor:
        """Return the distillation loss: cross-entropy with the teacher's masks minus their entropy.

        Source: G. Hinton et al., "Distilling the Knowledge in a Neural Network", 2015.
        """
        assert self.teacher is not None
        with torch.no_grad():
            features = self.teacher.encode(magnitude)
        losses = [magnitude.new_zeros(())]
        for i, (own, pair) in enumerate(zip(logits, pairs, strict=True)):
            rows = self.teacher.expert_weight(query[:, i]) > 0.5
            if not rows.any():
                continue
            with torch.no_grad():
                mask = self.teacher.decode(features, query[:, i])[rows].sigmoid()
            power = pair.power[rows]  # the teacher's mask replaces the ideal one
            wanted = Products(power, power * mask, pair.wanted[rows])
            least = mask_entropy_loss(mask.logit(_EPS), wanted)
            losses.append((mask_entropy_loss(own[rows], wanted) - least) * rows.float().mean())
        return torch.stack(losses).sum() / len(logits)

    def _shared_loss(
        self, logits: Sequence[Tensor], pairs: Sequence[Products], voice: Tensor, rows: Tensor
    ) -> Tensor:
        """Return the SDR loss of drums, bass and other, normalised with the voice to sum to 1.

        Without normalisation the first steps make all masks small.

        Returns:
            The loss of each row `(rows,)`.
        """
        if not bool(rows.any()):
            return voice.new_zeros(0)
        masks = [part[rows].sigmoid() for part in logits[: len(MUSIC)]]
        if self.config.doubts:
            masks = sharpened([mask.clamp_min(_EPS) for mask in masks], _SURE)
        music = torch.stack(masks)
        normalised = music * (1 - voice[rows]) / (music.sum(0) + _EPS)
        losses = [
            masked_sdr_loss(mask, Products(*(part[rows] for part in astuple(pair))))
            for mask, pair in zip(normalised, pairs, strict=False)
        ]
        return torch.stack(losses).mean().expand(int(rows.sum()))

    def _query_loss(self, logits: Tensor, product: Products) -> Tensor:
        config = self.config
        loss = config.entropy_weight * mask_entropy_loss(logits, product)
        return loss + config.correlation_weight * masked_correlation_loss(logits.sigmoid(), product)

    def _vectors(self, indices: Sequence[int], labels: Sequence[Sequence[str]]) -> Tensor:
        """Draw a phrase for each query and add noise to its vector."""
        rows = [
            draw_wording(self.phrases[label], (index, place), self.config.query_noise)
            for index, row in zip(indices, labels, strict=True)
            for place, label in enumerate(row)
        ]
        return torch.stack(rows).reshape(len(labels), -1, rows[0].shape[0]).to(self.device)
