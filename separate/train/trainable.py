"""One interface for the networks that recipes train: which parts learn, and how fast.

A trainable network maps magnitudes and queries to the logits of masks in bands, and names the
groups of parameters for the optimiser.
"""

from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn

from separate.models.query_unet import EXPERTS, QueryUNet
from separate.models.unet import Features, SmallUNet
from separate.train.settings import TUNE, TuneConfig

F = TypeVar("F")  # what the encoder returns


class TrainableNet(Protocol[F]):
    """The interface of a network towards a recipe."""

    @property
    def model(self) -> nn.Module:
        """Return the whole model, frozen parts included."""

    def encode(self, magnitude: Tensor) -> F:
        """Compute the features of magnitudes `(batch, channels, frames, 2049)`, for any query."""

    def decode(self, features: F, query: Tensor) -> Tensor:
        """Return a mask's logits `(batch, channels, frames, 512)` for queries `(batch, dim)`."""

    def expert_weight(self, query: Tensor) -> Tensor:
        """Return the gate's weight of this network for queries `(batch, dim)`: `(batch,)`, 0..1."""

    def voice(self, features: F) -> Tensor | None:
        """Return the pretrained voice net's mask `(batch, 2, frames, 2049)`; None without one."""

    def groups(self) -> list[dict[str, Any]]:
        """Return optimiser groups: `params`, and `lr_scale`, a factor of the learning rate."""


@dataclass(frozen=True)
class MusicFeatures:
    """Features of mixtures for the music net's decoder."""

    features: Features
    voice: Tensor  # the voice net's mask, (batch, 2, frames, 2049)


class TrainableQueryUNet:
    """The music net of the conditioned U-Net.

    The voice net, which was trained on 25,000 songs, and the statistics of all normalisations stay
    fixed.
    """

    def __init__(self, model: QueryUNet, config: TuneConfig | None = None) -> None:
        """Freeze all parameters but those that are trained.

        Raises:
            ValueError: `tune` is none of `TUNE`.
        """
        self.model, self.config = model, config or TuneConfig()
        if self.config.tune not in TUNE:
            raise ValueError(f"unknown part {self.config.tune!r}; take {', '.join(TUNE)}")
        model.eval().requires_grad_(False)  # no dropout, fixed statistics
        for group in self.groups():
            for parameter in group["params"]:
                parameter.requires_grad_(True)

    def encode(self, magnitude: Tensor) -> MusicFeatures:
        """See `TrainableNet`."""
        with torch.no_grad():  # the voice net is not trained
            voice = self.model.voice_mask(magnitude)
        return MusicFeatures(
            self.model.music.encode(self.model.music_input(magnitude, voice)), voice
        )

    def decode(self, features: MusicFeatures, query: Tensor) -> Tensor:
        """See `TrainableNet`."""
        return self.model.music.decode(features.features, query)

    def expert_weight(self, query: Tensor) -> Tensor:
        """See `TrainableNet`."""
        return self.model.expert_weights(query)[:, EXPERTS.index("music")]

    def voice(self, features: MusicFeatures) -> Tensor:
        """See `TrainableNet`."""
        return features.voice

    def groups(self) -> list[dict[str, Any]]:
        """Return the music net's parameters; for "film" a part of them, with factors."""
        config, music = self.config, self.model.music
        if config.tune != "film":
            return [{"params": list(music.parameters()), "lr_scale": 1.0}]
        encoder = [value for name, value in music.encoder.named_parameters() if "norm" in name]
        return [
            {"params": list(music.film.parameters()), "lr_scale": config.film_lr_scale},
            {"params": list(music.norms.parameters()), "lr_scale": 1.0},
            {"params": encoder, "lr_scale": config.encoder_lr_scale},
        ]


class TrainableSmallUNet:
    """All parameters of a small U-Net, which may be a part of a larger model."""

    def __init__(self, net: SmallUNet, model: nn.Module | None = None) -> None:
        """Freeze all parameters but the small U-Net's.

        Args:
            net: The small U-Net.
            model: The model that contains it; its other parts stay fixed.
        """
        self.net, self.model = net, net if model is None else model
        self.model.eval().requires_grad_(False)
        net.requires_grad_(True)

    def encode(self, magnitude: Tensor) -> Features:
        """See `TrainableNet`."""
        return self.net.encode(magnitude)

    def decode(self, features: Features, query: Tensor) -> Tensor:
        """See `TrainableNet`."""
        return self.net.decode(features, query)

    def expert_weight(self, query: Tensor) -> Tensor:
        """See `TrainableNet`."""
        if isinstance(self.model, QueryUNet):
            return self.model.expert_weights(query)[:, EXPERTS.index("sounds")]
        return query.new_ones(len(query))

    def voice(self, features: Features) -> None:
        """See `TrainableNet`; this network has no separate voice net."""

    def groups(self) -> list[dict[str, Any]]:
        """See `TrainableNet`."""
        return [{"params": list(self.net.parameters()), "lr_scale": 1.0}]


def trainable(model: nn.Module, config: TuneConfig) -> TrainableNet[Any]:
    """Wrap a network that is conditioned on queries for training.

    Raises:
        TypeError: The network takes no queries.
    """
    if isinstance(model, SmallUNet):
        return TrainableSmallUNet(model)
    if not isinstance(model, QueryUNet):
        raise TypeError(f"{type(model).__name__} takes no queries")
    if config.tune == "sounds" and model.sounds is not None:
        return TrainableSmallUNet(model.sounds, model)
    return TrainableQueryUNet(model, config)
