"""Source models: what turns a window of a mixture into the windows of its sources.

In: a stereo window `(2, n)` at the model's rate and prepared queries. Out: `(stems + 1, 2, n)`;
the last output is what the queries claim of the mixture together.

Any model joins through the small interface `SourceModel`. Mask models share the way from window to
spectrum to masks to windows here, and differ only in how they estimate a query's magnitudes.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from separate.errors import QueryError
from separate.models import registry
from separate.models.bands import continued
from separate.models.fused import FusedUNet
from separate.models.registry import Card
from separate.models.spleeter import FRAME_MULTIPLE, FREQ_BINS, Spleeter
from separate.models.stft import StftConfig, istft, modulus, stft
from separate.models.unet import QueryUNet, UNetConfig, wiener_mask
from separate.queries import load_encoder
from separate.queries.query import Query, embed_query
from separate.settings import Settings
from separate.stream import Grid
from separate.weights import models_dir

_DEFAULT_FRAMES = 512
_DEFAULT_OVERLAP = 0.03125
_EPS = 1e-10
_ROUTING_SIMILARITY = 0.35  # least cosine between a query and the stem that answers it


class SourceModel(Protocol):
    """What the separator asks of any model."""

    sample_rate: int
    hop_samples: int
    sha256: str

    def grid(self, settings: Settings) -> Grid:
        """Return the windows that define this model's results."""

    def prepare(self, queries: Sequence[Query]) -> Any:
        """Turn queries into what `separate` needs, once for a whole stream."""

    def separate(self, stereo: Tensor, prepared: Any) -> Tensor:
        """Map a window `(2, n)` to `(stems + 1, 2, n)`, the queries' claim last."""


@dataclass(frozen=True)
class PreparedQuery:
    """One query as a mask model wants it: what to take, what to leave out of that."""

    positive: object  # a query vector or a stem's name
    negative: tuple[object, ...] = ()


class MaskModel(ABC):
    """A model that masks the mixture's spectrum (44.1 kHz, STFT 4096/1024)."""

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
    def mask(self, magnitude: Tensor, wanted: Sequence[object]) -> list[Tensor]:
        """Return a mask 0..1 of each wanted thing.

        Args:
            magnitude: Of the mixture, `(2, frames, 2049)`.
            wanted: Prepared queries, positive or negative.

        Returns:
            Each `(2, frames, bins)`; one of fewer bins goes on upward.
        """

    def grid(self, settings: Settings) -> Grid:
        """Return windows of `--segment` seconds in whole blocks of 64 frames."""
        frames = _DEFAULT_FRAMES
        if settings.segment is not None:
            wanted = settings.segment * self.sample_rate / self.hop_samples
            frames = max(1, round(wanted / FRAME_MULTIPLE)) * FRAME_MULTIPLE
        overlap = _DEFAULT_OVERLAP if settings.overlap is None else settings.overlap
        samples = self.stft.samples(frames)
        return Grid(samples, int(samples * overlap))

    def separate(self, stereo: Tensor, prepared: Any) -> Tensor:
        """See `SourceModel`."""
        length = stereo.shape[-1]
        frames = math.ceil((length / self.hop_samples + 1) / FRAME_MULTIPLE) * FRAME_MULTIPLE
        padding = self.stft.samples(frames) - length
        padded = torch.nn.functional.pad(stereo.to(self.device), (0, padding))
        spectrum = stft(padded, self.stft)
        masks = self.masks(modulus(spectrum.transpose(1, 2)), prepared)
        if self.share and len(masks) > 1:
            return self._shared(stereo, spectrum, masks, self.claims(prepared))
        outputs = [istft(apply_mask(mask, spectrum), length, self.stft) for mask in masks]
        if len(masks) == 1:
            claim = outputs[0]
        else:
            largest = torch.stack(masks).amax(0)
            claim = istft(apply_mask(largest, spectrum), length, self.stft)
        return torch.stack([*outputs, claim])

    def claims(self, prepared: Sequence[PreparedQuery]) -> list[bool]:
        """Say which queries keep their masks when the mixture is shared out among all."""
        return [False] * len(prepared)

    def _shared(
        self, stereo: Tensor, spectrum: Tensor, masks: Sequence[Tensor], claims: Sequence[bool]
    ) -> Tensor:
        """Share the mixture out by the masks; the last source is what the others leave.

        What claims its mask keeps it, the others share what remains.
        """
        kept = [mask for mask, claim in zip(masks, claims, strict=True) if claim]
        others = [mask for mask, claim in zip(masks, claims, strict=True) if not claim]
        claimed = _total(kept)
        factor = None if claimed is None else claimed.clamp_min(1).reciprocal()
        shares = _total(others)
        if shares is not None:
            shares = shares.clamp_min_(_EPS).reciprocal_()
            if claimed is not None:
                shares *= 1 - claimed.clamp_max(1)
            shares = apply_mask(shares, spectrum)
        claiming = spectrum if factor is None else apply_mask(factor, spectrum)
        length, rest = stereo.shape[-1], stereo.to(self.device)
        outputs = []
        for mask, claim in zip(masks[:-1], claims, strict=False):
            part = claiming if claim or shares is None else shares
            outputs.append(istft(apply_mask(mask, part), length, self.stft))
            rest = rest - outputs[-1]
        return torch.stack([*outputs, rest, stereo.to(self.device)])

    def masks(self, magnitude: Tensor, prepared: Sequence[PreparedQuery]) -> list[Tensor]:
        """Return one mask `(2, frames, bins)` a query, 0..1, before any sharing."""
        wanted = [thing for query in prepared for thing in (query.positive, *query.negative)]
        ratios = iter(self.mask(magnitude, wanted))
        masks = []
        for query in prepared:
            mask = next(ratios)
            for _ in query.negative:
                mask = mask * (1 - next(ratios))
            masks.append(mask)
        return masks


class QueryModel(MaskModel):
    """The conditioned U-Net: any query."""

    def __init__(self, net: QueryUNet, card: Card, settings: Settings) -> None:
        super().__init__(card, settings)
        self.net = FusedUNet(net)
        self.encoder = load_encoder(settings.query_net or card.query_encoder or "embedded")

    def prepare(self, queries: Sequence[Query]) -> list[PreparedQuery]:
        """Embed each query's positive and negative parts and fold them into kernels."""
        prepared = []
        with torch.inference_mode():
            for query in queries:
                positive, negative = embed_query(self.encoder, query)
                parts = [self.net.query(part.to(self.device)) for part in (positive, *negative)]
                prepared.append(PreparedQuery(parts[0], tuple(parts[1:])))
        return prepared

    def claims(self, prepared: Sequence[PreparedQuery]) -> list[bool]:
        """See `MaskModel`: the voice net knows more of voices than the trunk of all else."""
        return [query.positive.music is None for query in prepared]  # type: ignore[attr-defined]

    def mask(self, magnitude: Tensor, wanted: Sequence[Any]) -> list[Tensor]:
        """See `MaskModel`; the encoders run once, the decoders query by query."""
        return [mask[0] for mask in self.net.masks(magnitude[None], wanted, self.strength)]


class StemModel(MaskModel):
    """A model of fixed stems; each query is routed to the stem that it means."""

    def __init__(self, net: Spleeter, card: Card, settings: Settings) -> None:
        super().__init__(card, settings)
        self.net = net
        self.name = card.name
        self.stems = net.config.stems
        self.encoder = load_encoder(settings.query_net or "embedded")

    def prepare(self, queries: Sequence[Query]) -> list[PreparedQuery]:
        """Route each part of each query to a stem.

        Raises:
            QueryError: A query fits no stem.
        """
        return [
            PreparedQuery(
                self.route(query), tuple(self.route(Query(t, (t,))) for t in query.exclude)
            )
            for query in queries
        ]

    def route(self, query: Query) -> str:
        """Return the stem nearest to a query."""
        if query.text and query.text[0].lower() in self.stems:
            return query.text[0].lower()
        named = [stem for stem in self.stems if stem != "other"]
        wanted, _ = embed_query(self.encoder, Query(query.name, query.text, query.like))
        similarity = self.encoder.embed_text(named) @ wanted
        best = int(similarity.argmax())
        if float(similarity[best]) < _ROUTING_SIMILARITY:
            raise QueryError(
                f"{self.name} separates {', '.join(self.stems)}; {query.name!r} fits none of them:"
                " use --model default"
            )
        return named[best]

    def mask(self, magnitude: Tensor, wanted: Sequence[object]) -> list[Tensor]:
        """See `MaskModel`; Spleeter's own Wiener masks: a stem's power over that of all stems."""
        stems = dict(zip(self.stems, self.net(magnitude[None, ..., :FREQ_BINS])[0], strict=True))
        power = torch.stack(list(stems.values())).square().sum(0)
        masks = []
        for stem in wanted:
            target = stems[str(stem)]
            rest = (power - target.square()).clamp_min(0).sqrt()
            masks.append(wiener_mask(target, rest, 2 * self.strength))
        return masks


def open_model(name: str, settings: Settings) -> SourceModel:
    """Load a model by name or path.

    Raises:
        CheckpointError: There is no such model, or it is damaged.
    """
    net, card = registry.load(registry.find(name, [models_dir()]), settings.device)
    return wrap(net, card, settings)


def random_model(settings: Settings) -> SourceModel:
    """Return the query model untrained: what its speed is does not depend on its weights.

    Only its gate knows the four stems, so that as much of it runs for each as in a trained one.
    """
    card = Card("random", "query-unet", "", {}, "", query_encoder="embedded")
    net = QueryUNet(UNetConfig()).eval().requires_grad_(False)
    vectors = load_encoder("embedded").embed_text(["vocals", "drums", "bass", "other"])
    wanted = torch.tensor([[20.0, -20.0]] + [[-20.0, -20.0]] * 3)
    net.gate.weight.copy_(torch.linalg.lstsq(vectors, wanted).solution.T)
    net.gate.bias.zero_()
    return wrap(net, card, settings)


def wrap(net: nn.Module, card: Card, settings: Settings) -> SourceModel:
    """Put a loaded network behind the interface."""
    if isinstance(net, QueryUNet):
        return QueryModel(net, card, settings)
    if isinstance(net, Spleeter):
        return StemModel(net, card, settings)
    raise QueryError(f"{card.name}: a {card.kind!r} does not separate; take another model")


def _total(masks: Sequence[Tensor]) -> Tensor | None:
    """Sum masks without stacking them; None where there are none."""
    if not masks:
        return None
    total = masks[0].clone()
    for mask in masks[1:]:
        total += mask
    return total


def apply_mask(mask: Tensor, spectrum: Tensor) -> Tensor:
    """Mask a spectrum; above the mask's band the mean of its top bins goes on.

    Args:
        mask: `(channels, frames, bins)`, 0..1.
        spectrum: Complex, `(channels, freq, frames)`, with at least as many frequencies as bins.

    Returns:
        Complex, the spectrum's shape.
    """
    full = continued(mask, spectrum.shape[1]).transpose(1, 2)
    return torch.view_as_complex(torch.view_as_real(spectrum) * full.unsqueeze(-1))
