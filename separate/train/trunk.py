"""What of a network a recipe trains, and how fast: one interface for all recipes.

In: a network. Out: masks' logits in bands for mixtures and queries, and groups of parameters.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from separate.models.query_unet import EXPERTS, QueryUNet
from separate.models.unet import Features, SmallUNet

TUNE = ("all", "film", "sounds", "music")


class Trunk(Protocol):
    """What recipes ask of a network."""

    model: nn.Module

    def encode(self, magnitude: Tensor) -> Any:
        """Compute what all queries share of magnitudes `(batch, channels, frames, 2049)`."""

    def decode(self, features: Any, query: Tensor) -> Tensor:
        """Return a mask's logits `(batch, channels, frames, 512)` for queries `(batch, dim)`."""

    def share(self, query: Tensor) -> Tensor:
        """Return how far this network answers queries `(batch, dim)`, 0..1, `(batch,)`."""

    def voice(self, features: Any) -> Tensor | None:
        """Return the open voice net's mask `(batch, 2, frames, 2049)`, where there is one."""

    def groups(self) -> list[dict[str, Any]]:
        """Return optimiser groups: `params`, and `multiple` of the learning rate."""


@dataclass(frozen=True)
class TrunkConfig:
    """What is trained, at which multiples of the learning rate."""

    tune: str = "all"  # "film": only normalisations and FiLM layers, to adapt a trained model;
    # "sounds": only the net for sounds; "music": only the music trunk, at one rate
    encoder_multiple: float = 0.5  # of the learning rate, for the music trunk's encoder
    film_multiple: float = 5.0  # for FiLM layers


@dataclass(frozen=True)
class Heard:
    """A mixture as the conditioned U-Net's decoder needs it."""

    features: Features
    voice: Tensor  # the voice net's mask, (batch, 2, frames, 2049)


class QueryTrunk:
    """The music trunk of the conditioned U-Net.

    Guard against forgetting: the voice net, which knows 25,000 songs, is left as it is, and so are
    the statistics of all normalisations.
    """

    def __init__(self, model: QueryUNet, config: TrunkConfig | None = None) -> None:
        """Mark what learns.

        Raises:
            ValueError: `tune` is none of `TUNE`.
        """
        self.model, self.config = model, config or TrunkConfig()
        if self.config.tune not in TUNE:
            raise ValueError(f"unknown part {self.config.tune!r}; take {', '.join(TUNE)}")
        model.eval().requires_grad_(False)  # no dropout, fixed statistics
        for group in self.groups():
            for parameter in group["params"]:
                parameter.requires_grad_(True)

    def encode(self, magnitude: Tensor) -> Heard:
        """See `Trunk`."""
        with torch.no_grad():  # the voice net is not trained
            voice = self.model.voice_mask(magnitude)
        return Heard(self.model.music.encode(self.model.music_input(magnitude, voice)), voice)

    def decode(self, features: Heard, query: Tensor) -> Tensor:
        """See `Trunk`."""
        return self.model.music.decode(features.features, query)

    def share(self, query: Tensor) -> Tensor:
        """See `Trunk`."""
        return self.model.expert_weights(query)[:, EXPERTS.index("music")]

    def voice(self, features: Heard) -> Tensor:
        """See `Trunk`."""
        return features.voice

    def groups(self) -> list[dict[str, Any]]:
        """Return the music net's parameters; `film` only, with multiples of the learning rate."""
        config, music = self.config, self.model.music
        if config.tune != "film":
            return [{"params": list(music.parameters()), "multiple": 1.0}]
        encoder = [value for name, value in music.encoder.named_parameters() if "norm" in name]
        return [
            {"params": list(music.film.parameters()), "multiple": config.film_multiple},
            {"params": list(music.norms.parameters()), "multiple": 1.0},
            {"params": encoder, "multiple": config.encoder_multiple},
        ]


class SmallTrunk:
    """All of a small U-Net, at one rate: by itself, or as a part of a larger model."""

    def __init__(self, net: SmallUNet, model: nn.Module | None = None) -> None:
        """Mark what learns.

        Args:
            net: The small U-Net.
            model: What it is a part of; the other parts stay as they are.
        """
        self.net, self.model = net, net if model is None else model
        self.model.eval().requires_grad_(False)
        net.requires_grad_(True)

    def encode(self, magnitude: Tensor) -> Features:
        """See `Trunk`."""
        return self.net.encode(magnitude)

    def decode(self, features: Features, query: Tensor) -> Tensor:
        """See `Trunk`."""
        return self.net.decode(features, query)

    def share(self, query: Tensor) -> Tensor:
        """See `Trunk`."""
        if isinstance(self.model, QueryUNet):
            return self.model.expert_weights(query)[:, EXPERTS.index("sounds")]
        return query.new_ones(len(query))

    def voice(self, features: Features) -> None:
        """See `Trunk`; it asks for voices as for all else."""

    def groups(self) -> list[dict[str, Any]]:
        """See `Trunk`."""
        return [{"params": list(self.net.parameters()), "multiple": 1.0}]


def trunk_of(model: nn.Module, config: TrunkConfig) -> QueryTrunk | SmallTrunk:
    """Return the trunk of a network that answers queries."""
    if isinstance(model, SmallUNet):
        return SmallTrunk(model)
    if config.tune == "sounds" and isinstance(model, QueryUNet) and model.sounds is not None:
        return SmallTrunk(model.sounds, model)
    return QueryTrunk(model, config)
