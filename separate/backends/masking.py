"""Source models: what turns a window of a mixture into the windows of its sources.

In: a stereo window `(2, n)` at the model's rate and prepared queries. Out: `(stems + 1, 2, n)`;
the last output is what the queries claim of the mixture together.

Any model joins through the small interface `SourceModel`. Mask models share the way from window to
spectrum to masks to windows here, and differ only in how they estimate a query's magnitudes.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from typing import Any, cast

import torch
from torch import Tensor, nn

from separate.backends.base import SourceModel, Sums, with_sums
from separate.backends.cascade import CascadeModel, StemSource
from separate.backends.exclusion import Mask, without
from separate.backends.stems import WaveformStems
from separate.errors import QueryError
from separate.models import registry
from separate.models.bands import continued, from_bands
from separate.models.hdemucs import HDemucs
from separate.models.ibm_cnn import SAMPLE_RATE as IBM_RATE
from separate.models.ibm_cnn import STEMS, IbmCnn, pruned
from separate.models.ibm_cnn import STFT as IBM_STFT
from separate.models.query_unet import QueryUNet
from separate.models.query_unet_fused import FusedQuery, FusedQueryUNet
from separate.models.registry import Card
from separate.models.spleeter import FRAME_MULTIPLE, FREQ_BINS, Spleeter, wiener_mask
from separate.models.stft import InverseStft, StftConfig, modulus, stft
from separate.models.unet import SmallUNet
from separate.models.unet_fused import FusedSpleeter
from separate.queries.base import Encoder
from separate.queries.encoders import encoder_for
from separate.queries.query import Query, embed_query, means_part, means_rest
from separate.settings import Settings
from separate.stream import Grid
from separate.weights.store import models_dir

_DEFAULT_FRAMES = 512
_DEFAULT_OVERLAP = 0.03125
_BLOCK_FRAMES = 32  # that are masked and transformed back at a time: they fit a core's cache
_EPS = 1e-10
QUERY_MODEL = "default"  # takes what is finer than a stem, or fits none


@dataclass(frozen=True)
class PreparedQuery:
    """One query as a mask model wants it: what to take, what to leave out of that."""

    positive: object  # a query vector or a stem's name
    negative: tuple[object, ...] = ()
    is_part: tuple[bool, ...] = ()  # whether each negative is a part of the positive, or its rival
    firmness: float = 1.0  # how firmly the negative parts are taken out
    is_rest: bool = False  # whether it asks for `other`


def embedded(encoder: Encoder, query: Query, fold: Callable[[Tensor], object]) -> PreparedQuery:
    """Embed a query's positive and negative parts.

    Args:
        encoder: The query net.
        query: Words or examples.
        fold: Makes of a vector `(dim,)` what the model takes.
    """
    positive, negative = embed_query(encoder, query)
    parts = [fold(part) for part in (positive, *negative)]
    is_part = tuple(means_part(encoder, positive, vector) for vector in negative)
    return PreparedQuery(
        parts[0], tuple(parts[1:]), is_part, query.firmness, is_rest=means_rest(query)
    )


class MaskModel(ABC):
    """A model that masks the mixture's spectrum, at 44.1 kHz by STFT 4096/1024 unless it says."""

    sample_rate = 44100
    stft = StftConfig()
    hop_samples = stft.hop_length

    def __init__(self, card: Card, settings: Settings) -> None:
        self.sha256 = card.sha256
        self.device = torch.device(settings.device)
        self.share = settings.share
        self.strength = settings.strength

    @abstractmethod
    def prepare(self, queries: Sequence[Query]) -> list[PreparedQuery]:
        """Turn queries into what `estimate` takes."""

    @abstractmethod
    def mask(self, magnitude: Tensor, wanted: Sequence[object]) -> list[Mask]:
        """Return a mask of each wanted thing.

        Args:
            magnitude: Of the mixture, `(2, frames, 2049)`.
            wanted: Prepared queries, positive or negative.
        """

    def ways(self, prepared: Any) -> dict[str, str]:
        """See `SourceModel`; there is one way."""
        return {}

    def grid(self, settings: Settings) -> Grid:
        """Return windows of `--segment` seconds in whole blocks of 64 frames."""
        frames = _DEFAULT_FRAMES
        if settings.segment is not None:
            wanted = settings.segment * self.sample_rate / self.hop_samples
            frames = max(1, round(wanted / FRAME_MULTIPLE)) * FRAME_MULTIPLE
        overlap = _DEFAULT_OVERLAP if settings.overlap is None else settings.overlap
        samples = self.stft.samples(frames)
        return Grid(samples, int(samples * overlap))

    def separate(self, stereo: Tensor, prepared: Any, sums: Sums = ()) -> Tensor:
        """See `SourceModel`; the mask of a sum is that of its masks, and at most 1."""
        length = stereo.shape[-1]
        frames = math.ceil((length / self.hop_samples + 1) / FRAME_MULTIPLE) * FRAME_MULTIPLE
        padding = self.stft.samples(frames) - length
        padded = torch.nn.functional.pad(stereo.to(self.device), (0, padding))
        spectrum = stft(padded, self.stft)
        masks = self.masks(modulus(spectrum.transpose(1, 2)), prepared)
        shared = self.share and len(masks) > 1
        claims = self.claims(prepared)
        sure = [query.is_rest or claim for query, claim in zip(prepared, claims, strict=True)]
        doubts = any(query.is_rest for query in prepared)
        limited = () if shared else sums
        count = len(masks) - 1 if shared else len(masks) + len(sums) + (len(masks) > 1)
        inverses = [InverseStft(frames, self.stft) for _ in range(count)]
        for start in range(0, frames, _BLOCK_FRAMES):
            some = slice(start, start + _BLOCK_FRAMES)
            parts = [mask(some) for mask in masks]
            if shared and doubts:
                parts = doubted(parts, sure)
            summed = [reduce(torch.add, [parts[i] for i in some]).clamp(max=1) for some in limited]
            parts = _shares(parts, claims) if shared else _with_claim(parts, summed)
            for inverse, part in zip(inverses, parts, strict=True):
                inverse.add(apply_mask(part, spectrum[..., some]))
        stereo = stereo.to(self.device)
        outputs = stereo.new_empty(len(masks) + len(limited) + 1, *stereo.shape)
        for output, inverse in zip(outputs, inverses, strict=False):
            inverse.waveform(length, out=output)
        if shared:
            outputs[-2] = stereo - outputs[:-2].sum(0)
            outputs[-1] = stereo
        elif len(masks) == 1:
            outputs[1] = outputs[0]
        return with_sums(outputs, sums) if shared else outputs

    def claims(self, prepared: Sequence[PreparedQuery]) -> list[bool]:
        """Say which queries keep their masks when the mixture is shared out among all."""
        return [False] * len(prepared)

    def masks(self, magnitude: Tensor, prepared: Sequence[PreparedQuery]) -> list[Mask]:
        """Return one mask a query, before any sharing."""
        wanted = [thing for query in prepared for thing in (query.positive, *query.negative)]
        ratios = iter(self.mask(magnitude, wanted))
        return [
            without(
                next(ratios),
                [next(ratios) for _ in query.negative],
                query.is_part,
                query.firmness,
                magnitude,
            )
            for query in prepared
        ]


class QueryModel(MaskModel):
    """The conditioned U-Net: any query."""

    def __init__(self, net: QueryUNet, card: Card, settings: Settings) -> None:
        super().__init__(card, settings)
        self.net = FusedQueryUNet(net)
        self.encoder = encoder_for(card.query_encoder or "embedded", settings.query_net)

    def prepare(self, queries: Sequence[Query]) -> list[PreparedQuery]:
        """Embed each query's positive and negative parts and fold them into kernels."""

        def fold(vector: Tensor) -> object:
            return self.net.query(vector.to(self.device))

        with torch.inference_mode():
            return [embedded(self.encoder, query, fold) for query in queries]

    def claims(self, prepared: Sequence[PreparedQuery]) -> list[bool]:
        """See `MaskModel`: the voice net knows more of voices than the others of all else."""
        queries = [cast(FusedQuery, query.positive) for query in prepared]
        return [query.music is None and query.sounds is None for query in queries]

    def mask(self, magnitude: Tensor, wanted: Sequence[Any]) -> list[Mask]:
        """See `MaskModel`; the encoders run once, the decoders query by query."""
        masks = self.net.masks(magnitude[None], wanted, self.strength)
        return [lambda frames, mask=mask: mask(frames)[0] for mask in masks]  # type: ignore[misc]


class SmallModel(MaskModel):
    """A small U-Net trained from nothing: any query that it was taught."""

    def __init__(self, net: SmallUNet, card: Card, settings: Settings) -> None:
        super().__init__(card, settings)
        self.net = net
        self.encoder = encoder_for(card.query_encoder or "embedded", settings.query_net)

    def prepare(self, queries: Sequence[Query]) -> list[PreparedQuery]:
        """Embed each query's positive and negative parts."""
        return [embedded(self.encoder, query, lambda vector: vector[None]) for query in queries]

    def mask(self, magnitude: Tensor, wanted: Sequence[Any]) -> list[Mask]:
        """See `MaskModel`; the encoder runs once."""
        heard = magnitude.unflatten(0, (-1, self.net.config.channels))  # mono: one by one
        features = self.net.encode(heard)
        rows = [vector.to(self.device).expand(len(heard), -1) for vector in wanted]
        odds = [self.net.decode(features, row).flatten(0, 1) * self.strength for row in rows]
        masks = [from_bands(row.sigmoid()) for row in odds]
        return [lambda frames, mask=mask: mask[:, frames] for mask in masks]  # type: ignore[misc]


class StemModel(MaskModel):
    """A model of fixed stems; each query is the name of one, see `cascade`."""

    def __init__(self, net: Spleeter, card: Card, settings: Settings) -> None:
        super().__init__(card, settings)
        self.net = FusedSpleeter(net)
        self.name = card.name
        self.stems = net.config.stems

    def prepare(self, queries: Sequence[Query]) -> list[PreparedQuery]:
        """Return the stems that are wanted."""
        return [PreparedQuery(query.name) for query in queries]

    def mask(self, magnitude: Tensor, wanted: Sequence[object]) -> list[Mask]:
        """See `MaskModel`; Spleeter's own Wiener masks: a stem's power over that of all stems."""
        estimates = self.net(magnitude[None, ..., :FREQ_BINS])[0]
        return [partial(self._wiener, estimates, self.stems.index(str(stem))) for stem in wanted]

    def _wiener(self, estimates: Tensor, stem: int, frames: slice) -> Tensor:
        some = estimates[:, :, frames]
        rest = (some.square().sum(0) - some[stem].square()).clamp_min(0).sqrt()
        return wiener_mask(some[stem], rest, 2 * self.strength)


class BinaryMaskModel(MaskModel):
    """The CNN trained on the ideal binary mask: the voice, and all else; mono masks for stereo."""

    sample_rate = IBM_RATE
    stft = IBM_STFT
    hop_samples = IBM_STFT.hop_length

    def __init__(self, net: IbmCnn, card: Card, settings: Settings) -> None:
        super().__init__(card, settings)
        self.net = net
        self.name = card.name
        self.stems = STEMS

    def prepare(self, queries: Sequence[Query]) -> list[PreparedQuery]:
        """Return the stems that are wanted."""
        return [PreparedQuery(query.name) for query in queries]

    def mask(self, magnitude: Tensor, wanted: Sequence[object]) -> list[Mask]:
        """See `MaskModel`; both channels are heard together."""
        likelihood = self.net(magnitude.mean(0)[None])
        voice = pruned(likelihood, self.net.config.threshold)
        masks = [voice if stem == STEMS[0] else 1 - voice for stem in wanted]
        return [lambda frames, mask=mask: mask[:, frames] for mask in masks]  # type: ignore[misc]


def open_model(name: str, settings: Settings) -> SourceModel:
    """Load a model by name or path.

    Raises:
        CheckpointError: There is no such model, or it is damaged.
    """
    net, card = registry.load(registry.find(name, [models_dir()]), settings.device)
    return wrap(net, card, settings)


def wrap(net: nn.Module, card: Card, settings: Settings) -> SourceModel:
    """Put a loaded network behind the interface."""
    if isinstance(net, QueryUNet):
        return QueryModel(net, card, settings)
    if isinstance(net, SmallUNet):
        return SmallModel(net, card, settings)
    stem_models: dict[type[nn.Module], Callable[..., StemSource]] = {
        Spleeter: StemModel, HDemucs: WaveformStems, IbmCnn: BinaryMaskModel
    }  # fmt: skip
    if type(net) in stem_models:
        stems = stem_models[type(net)](net, card, settings)
        return CascadeModel(stems, settings, partial(open_model, QUERY_MODEL, settings))
    raise QueryError(f"{card.name}: a {card.kind!r} does not separate; take another model")


def _with_claim(masks: Sequence[Tensor], sums: Sequence[Tensor]) -> list[Tensor]:
    """Add the masks of sums and of all queries: the largest of theirs; one query's is its own."""
    return [*masks, *sums, reduce(torch.maximum, masks)] if len(masks) > 1 else list(masks)


def doubted(masks: Sequence[Tensor], sure: Sequence[bool]) -> list[Tensor]:
    """Bring masks to the power 1.5, but for those of `other` and of what claims its mask.

    What a net is not sure of then falls to `other`: more in real recordings resembles a bass or a
    drum than in what models learn from. Chosen on songs that no model was trained on, see
    `models/RUNS.md`.
    """
    pairs = zip(masks, sure, strict=True)
    return [mask if is_sure else mask * mask.sqrt() for mask, is_sure in pairs]


def _shares(masks: Sequence[Tensor], claims: Sequence[bool]) -> list[Tensor]:
    """Share the mixture out by masks, and return all shares but the last: that is the rest.

    Shares sum to one, where one of the masks is not 0. What claims its mask keeps it, the others
    share what remains.
    """
    kept = [mask for mask, claim in zip(masks, claims, strict=True) if claim]
    others = [mask for mask, claim in zip(masks, claims, strict=True) if not claim]
    whole = reduce(torch.add, kept) if kept else torch.zeros((), device=masks[0].device)
    left = (1 - whole).clamp_min_(0)
    if others:
        left = left / reduce(torch.add, others).clamp_min(_EPS)
    if len(kept) > 1:
        masks = [
            mask / whole.clamp_min(1) if claim else mask
            for mask, claim in zip(masks, claims, strict=True)
        ]
    pairs = zip(masks[:-1], claims, strict=False)
    return [mask if claim else mask * left for mask, claim in pairs]


def apply_mask(mask: Tensor, spectrum: Tensor) -> Tensor:
    """Mask a spectrum; above the mask's band the mean of its top bins goes on.

    Args:
        mask: `(channels, frames, bins)`, 0..1.
        spectrum: Complex, `(channels, freq, frames)`, with at least as many frequencies as bins.

    Returns:
        Complex, the spectrum's shape.
    """
    full = continued(mask, spectrum.shape[1])
    return (spectrum.transpose(1, 2) * full).transpose(1, 2)
