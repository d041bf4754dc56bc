"""The networks behind the separator's interface, and the one function that opens a model.

In: the name or path of a model, and settings. Out: a `SourceModel`. Each class here maps a
network's inputs and outputs to the masks that `separate.backends.masking` applies.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn

from separate.backends.base import FixedStemsModel, SourceModel
from separate.backends.cascade import CascadeModel
from separate.backends.exclusion import Mask
from separate.backends.masking import MaskModel, PreparedQuery
from separate.backends.stems import WaveformStems
from separate.errors import QueryError
from separate.models import ibm_cnn, registry
from separate.models.bands import from_bands
from separate.models.hdemucs import HDemucs
from separate.models.ibm_cnn import IbmCnn, pruned
from separate.models.query_unet import QueryUNet
from separate.models.query_unet_fused import FusedQuery, FusedQueryUNet
from separate.models.registry import Card
from separate.models.spleeter import FREQ_BINS, Spleeter, wiener_mask
from separate.models.unet import SmallUNet
from separate.models.unet_fused import FusedSpleeter
from separate.queries.encoders import encoder_for
from separate.queries.query import (
    Query,
    embed_query,
    mean_same,
    means_part,
    means_rest,
    nearest_label,
)
from separate.settings import Settings
from separate.weights.store import models_dir

QUERY_MODEL = "default"  # separates what is finer than a stem, or belongs to none
_VOICES = "vocals"  # the label of what the voice net separates
_MOSTLY = 0.5  # weight of a net whose mask decides
_NEARLY_ALL = 0.9  # weight of the voice net from which a mask is that of all voices


def open_model(name: str, settings: Settings) -> SourceModel:
    """Load a model by name or path.

    Raises:
        CheckpointError: There is no such model, or it is damaged.
    """
    net, card = registry.load(registry.find(name, [models_dir()]), settings.device)
    return wrap(net, card, settings)


def wrap(net: nn.Module, card: Card, settings: Settings) -> SourceModel:
    """Put a loaded network behind the interface.

    Raises:
        QueryError: It does not separate.
    """
    stems: FixedStemsModel
    if isinstance(net, QueryUNet):
        return QueryModel(net, card, settings)
    if isinstance(net, SmallUNet):
        return SmallModel(net, card, settings)
    if isinstance(net, Spleeter):
        stems = StemModel(net, card, settings)
    elif isinstance(net, HDemucs):
        stems = WaveformStems(net, card, settings)
    elif isinstance(net, IbmCnn):
        stems = BinaryMaskModel(net, card, settings)
    else:
        raise QueryError(f"{card.name}: a {card.kind!r} does not separate; take another model")
    return CascadeModel(stems, settings, partial(open_model, QUERY_MODEL, settings))


class _QueryMaskModel(MaskModel):
    """A mask model that query vectors condition."""

    def __init__(self, card: Card, settings: Settings) -> None:
        super().__init__(card, settings)
        self.encoder = encoder_for(card.query_encoder or "embedded", settings.query_net)

    def fold(self, vector: Tensor) -> object:
        """Turn a query vector `(dim,)` into what `mask` takes."""
        return vector[None]

    @torch.inference_mode()
    def prepare(self, queries: Sequence[Query]) -> list[PreparedQuery]:
        """Embed each query's positive and negative parts."""
        return [self._prepared(query) for query in queries]

    def broader(self, folded: object) -> str | None:
        """Return the source whose mask a folded query gets, where that source has many parts."""
        return None

    def _prepared(self, query: Query) -> PreparedQuery:
        positive, negative = embed_query(self.encoder, query)
        folded = self.fold(positive)
        negatives = [self.fold(vector) for vector in negative]
        names = [*query.exclude, *(path.name for path in query.unlike)]
        for name, vector, other in zip(names, negative, negatives, strict=True):
            broader = self.broader(folded)
            is_same = broader is not None and broader == self.broader(other)
            if query.negative_weight and (is_same or mean_same(self.encoder, positive, vector)):
                raise QueryError(
                    f"{name!r} can't be left out of {query.name!r}: both are separated as"
                    f" {broader or nearest_label(self.encoder, positive)!r}; ask without it"
                )
        return PreparedQuery(
            folded,
            tuple(negatives),
            tuple(means_part(self.encoder, positive, vector) for vector in negative),
            query.negative_weight,
            is_rest=means_rest(query),
            answered_as=self._answered_as(folded, positive),
        )

    def _answered_as(self, folded: object, vector: Tensor) -> str | None:
        broader = self.broader(folded)
        return None if broader == nearest_label(self.encoder, vector) else broader


class QueryModel(_QueryMaskModel):
    """The query U-Net: any query."""

    def __init__(self, net: QueryUNet, card: Card, settings: Settings) -> None:
        super().__init__(card, settings)
        self.net = FusedQueryUNet(net)

    def fold(self, vector: Tensor) -> object:
        """Fold a query vector into kernels."""
        return self.net.query(vector.to(self.device))

    def broader(self, folded: object) -> str | None:
        """See `_QueryMaskModel`; the voice net has one mask for all voices."""
        return _VOICES if cast(FusedQuery, folded).voice >= _NEARLY_ALL else None

    def locked(self, prepared: Sequence[PreparedQuery]) -> list[bool]:
        """See `MaskModel`: the voice net's masks, which are more accurate than the others."""
        queries = [cast(FusedQuery, query.positive) for query in prepared]
        return [query.music is None and query.sounds is None for query in queries]

    def competing(self, prepared: Sequence[PreparedQuery]) -> list[bool]:
        """See `MaskModel`: those of the net for sounds, which separates them from speech better."""
        queries = [cast(FusedQuery, query.positive) for query in prepared]
        return [query.sounds_weight >= _MOSTLY for query in queries]

    def mask(self, magnitude: Tensor, wanted: Sequence[Any]) -> list[Mask]:
        """See `MaskModel`; the encoders run once, the decoders query by query."""
        masks = self.net.masks(magnitude[None], wanted, self.mask_exponent)
        return [lambda frames, mask=mask: mask(frames)[0] for mask in masks]  # type: ignore[misc]


class SmallModel(_QueryMaskModel):
    """A small U-Net: any query that it was trained on."""

    def __init__(self, net: SmallUNet, card: Card, settings: Settings) -> None:
        super().__init__(card, settings)
        self.net = net

    def mask(self, magnitude: Tensor, wanted: Sequence[Any]) -> list[Mask]:
        """See `MaskModel`; the encoder runs once."""
        examples = magnitude.unflatten(0, (-1, self.net.config.channels))  # mono: one by one
        features = self.net.encode(examples)
        rows = [vector.to(self.device).expand(len(examples), -1) for vector in wanted]
        logits = [self.net.decode(features, row).flatten(0, 1) * self.mask_exponent for row in rows]
        return [partial(_frames_of, from_bands(row.sigmoid())) for row in logits]


class _StemMaskModel(MaskModel):
    """A mask model of fixed stems; each query is the name of one, see `cascade`."""

    def __init__(self, card: Card, stems: tuple[str, ...], settings: Settings) -> None:
        super().__init__(card, settings)
        self.name = card.name
        self.stems = stems

    def prepare(self, queries: Sequence[Query]) -> list[PreparedQuery]:
        """Return the stems that are wanted."""
        return [PreparedQuery(query.name) for query in queries]


class StemModel(_StemMaskModel):
    """Spleeter."""

    def __init__(self, net: Spleeter, card: Card, settings: Settings) -> None:
        super().__init__(card, net.config.stems, settings)
        self.net: Callable[[Tensor], Tensor] = FusedSpleeter(net)

    def mask(self, magnitude: Tensor, wanted: Sequence[Any]) -> list[Mask]:
        """See `MaskModel`; Spleeter's own Wiener masks: a stem's power over that of all stems."""
        estimates = self.net(magnitude[None, ..., :FREQ_BINS])[0]
        return [partial(self._wiener, estimates, self.stems.index(stem)) for stem in wanted]

    def _wiener(self, estimates: Tensor, stem: int, frames: slice) -> Tensor:
        some = estimates[:, :, frames]
        rest = (some.square().sum(0) - some[stem].square()).clamp_min(0).sqrt()
        return wiener_mask(some[stem], rest, 2 * self.mask_exponent)


class BinaryMaskModel(_StemMaskModel):
    """The CNN trained on the ideal binary mask: the voice and its complement, mono masks."""

    sample_rate = ibm_cnn.SAMPLE_RATE
    stft = ibm_cnn.STFT
    hop_samples = ibm_cnn.STFT.hop_length

    def __init__(self, net: IbmCnn, card: Card, settings: Settings) -> None:
        super().__init__(card, ibm_cnn.STEMS, settings)
        self.net = net

    def mask(self, magnitude: Tensor, wanted: Sequence[Any]) -> list[Mask]:
        """See `MaskModel`; the mean of both channels is masked."""
        likelihood = self.net(magnitude.mean(0)[None])
        config = self.net.config
        voice = pruned(likelihood, config.threshold, config.exponent * self.mask_exponent)
        masks = [voice if stem == self.stems[0] else 1 - voice for stem in wanted]
        return [partial(_frames_of, mask) for mask in masks]


def _frames_of(mask: Tensor, frames: slice) -> Tensor:
    """Return some frames of a mask `(channels, frames, bins)`."""
    return mask[:, frames]
