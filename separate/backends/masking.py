"""From a segment to a spectrum, to masks, and back to segments: the part all mask models share.

In: a stereo segment `(2, n)` at the model's rate and prepared queries. Out:
`(queries + sums + 1, 2, n)`; the last output is the estimate of all queries together. Models differ
only in how they estimate a query's mask: see `separate.backends.nets`.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import torch
from torch import Tensor

from separate.backends.base import Sums, with_sums
from separate.backends.exclusion import Mask, exclude
from separate.models.bands import continued
from separate.models.registry import Card
from separate.models.spleeter import FRAME_MULTIPLE
from separate.models.stft import InverseStft, StftConfig, compute_magnitude, stft
from separate.queries.query import Query
from separate.settings import Settings
from separate.stream import Segmentation

_DEFAULT_FRAMES = 512
_DEFAULT_OVERLAP = 0.03125
_BLOCK_FRAMES = 32  # that are masked and transformed back at a time: they fit a core's cache
_EPS = 1e-10
_COMPETING_EXPONENT = 2.0  # of masks in the ratio of a locked mask to its competitors
_OFFSET = 1e-3  # a larger mean of a window is a constant offset
_OFFSET_SAMPLES = 16_000  # of a shorter window the mean is its sound
_QUIET = 0.12  # RMS of a window, -18 dBFS: music as it is published
_HIGHEST_GAIN = 1e4  # 80 dB: what is still quieter is rounding noise


@dataclass(frozen=True)
class PreparedQuery:
    """One query as a mask model takes it."""

    positive: object  # what is wanted: a prepared query vector, or a stem's name
    negative: tuple[object, ...] = ()  # what is excluded
    is_part: tuple[bool, ...] = ()  # of each negative: a part of the positive, or another source
    negative_weight: float = 1.0  # 0: negatives change nothing
    is_rest: bool = False  # whether it asks for `other`
    answered_as: str | None = None  # a broader source that has the same mask


class MaskModel(ABC):
    """A model that masks the mixture's spectrum, at 44.1 kHz by STFT 4096/1024 by default."""

    sample_rate = 44100
    stft = StftConfig()
    hop_samples = stft.hop_length

    def __init__(self, card: Card, settings: Settings) -> None:
        self.sha256 = card.sha256
        self.device = torch.device(settings.device)
        self.sum_to_mixture = settings.sum_to_mixture
        self.mask_exponent = settings.mask_exponent

    @abstractmethod
    def prepare(self, queries: Sequence[Query]) -> list[PreparedQuery]:
        """Turn queries into what `mask` takes."""

    @abstractmethod
    def mask(self, magnitude: Tensor, wanted: Sequence[Any]) -> list[Mask]:
        """Return a mask for each item.

        Args:
            magnitude: Of the mixture, `(2, frames, 2049)`.
            wanted: Positives and negatives of prepared queries.
        """

    def routes(self, prepared: Any) -> dict[str, str]:
        """See `SourceModel`; there is only one route."""
        return {}

    def answered_as(self, prepared: Sequence[PreparedQuery]) -> list[str | None]:
        """See `SourceModel`."""
        return [query.answered_as for query in prepared]

    def segmentation(self, settings: Settings) -> Segmentation:
        """Return segments of `--segment` seconds in whole blocks of 64 frames."""
        frames = _DEFAULT_FRAMES
        if settings.segment is not None:
            wanted = settings.segment * self.sample_rate / self.hop_samples
            frames = max(1, round(wanted / FRAME_MULTIPLE)) * FRAME_MULTIPLE
        overlap = _DEFAULT_OVERLAP if settings.overlap is None else settings.overlap
        samples = self.stft.samples(frames)
        return Segmentation(samples, int(samples * overlap))

    def separate(self, stereo: Tensor, prepared: Any, sums: Sums = ()) -> Tensor:
        """See `SourceModel`; the mask of a sum is the sum of its masks, at most 1."""
        stereo = stereo.to(self.device)
        length = stereo.shape[-1]
        frames = math.ceil((length / self.hop_samples + 1) / FRAME_MULTIPLE) * FRAME_MULTIPLE
        level, gain = levelled(stereo)
        padded = torch.nn.functional.pad(level, (0, self.stft.samples(frames) - length))
        spectrum = stft(padded, self.stft)
        masks = self.masks(compute_magnitude(spectrum.transpose(1, 2)), prepared)
        normalises = self.sum_to_mixture and len(masks) > 1
        masked_sums = () if normalises else sums  # the other sums are those of waveforms
        total = len(masks) + len(masked_sums) + 1
        count = len(masks) - 1 if normalises else total - (len(masks) == 1)
        inverses = [InverseStft(frames, self.stft) for _ in range(count)]
        for start in range(0, frames, _BLOCK_FRAMES):
            some = slice(start, start + _BLOCK_FRAMES)
            parts = [mask(some) for mask in masks]
            parts = (
                self._normalised(parts, prepared) if normalises else with_union(parts, masked_sums)
            )
            for inverse, part in zip(inverses, parts, strict=True):
                inverse.add(apply_mask(part, spectrum[..., some]))
        outputs = stereo.new_empty(total, *stereo.shape)
        for output, inverse in zip(outputs, inverses, strict=False):
            inverse.waveform(length, out=output)
        if gain != 1:
            outputs /= gain
        if normalises:
            outputs[-2] = stereo - outputs[:-2].sum(0)
            outputs[-1] = stereo
        elif len(masks) == 1:
            outputs[1] = outputs[0]
        return with_sums(outputs, sums) if normalises else outputs

    def locked(self, prepared: Sequence[PreparedQuery]) -> list[bool]:
        """Return which queries keep their masks in sum-to-mixture normalisation."""
        return [False] * len(prepared)

    def competing(self, prepared: Sequence[PreparedQuery]) -> list[bool]:
        """Return which queries take their shares of locked ones too."""
        return [False] * len(prepared)

    def masks(self, magnitude: Tensor, prepared: Sequence[PreparedQuery]) -> list[Mask]:
        """Return one mask a query, before sum-to-mixture normalisation."""
        wanted = [item for query in prepared for item in (query.positive, *query.negative)]
        found = iter(self.mask(magnitude, wanted))
        return [
            exclude(
                next(found),
                [next(found) for _ in query.negative],
                query.is_part,
                query.negative_weight,
                magnitude,
            )
            for query in prepared
        ]

    def _normalised(self, masks: list[Tensor], prepared: Sequence[PreparedQuery]) -> list[Tensor]:
        """Return all masks but the last, so that with the rest they sum to one."""
        locked = self.locked(prepared)
        if any(query.is_rest for query in prepared):
            pairs = zip(prepared, locked, strict=True)
            masks = sharpened(masks, [query.is_rest or is_locked for query, is_locked in pairs])
        return sum_to_mixture(masks, locked, self.competing(prepared))


def with_union(masks: Sequence[Tensor], sums: Sums) -> list[Tensor]:
    """Append masks of sums, at most 1, and of all queries together, the largest of theirs.

    Args:
        masks: `(channels, frames, bins)` each; for a single one nothing is appended.
        sums: Indices of the masks of each sum.
    """
    if len(masks) == 1:
        return list(masks)
    summed = [reduce(torch.add, [masks[i] for i in indices]).clamp(max=1) for indices in sums]
    return [*masks, *summed, reduce(torch.maximum, masks)]


def sharpened(masks: Sequence[Tensor], is_kept: Sequence[bool]) -> list[Tensor]:
    """Raise masks to the power 1.5, but for those that are kept: of `other` and locked ones.

    Bins of small masks then go to `other`: more in real recordings resembles a bass or a drum than
    in the training data. The power was chosen on songs that no model was trained on, see
    `models/RUNS.md`.
    """
    pairs = zip(masks, is_kept, strict=True)
    return [mask if kept else mask * mask.sqrt() for mask, kept in pairs]


def sum_to_mixture(
    masks: Sequence[Tensor], locked: Sequence[bool], competing: Sequence[bool]
) -> list[Tensor]:
    """Normalise masks to a sum of one, whatever their order; return all but the last, the rest.

    Without locked masks, or of locked masks alone, each mask is divided by their sum. Else a locked
    mask keeps its value (above a sum of one they are divided by it), less what competing
    ones take in the same bin: it is multiplied by its part of their sum of powers. The others share
    the remainder in proportion to their masks. A mask of zero still has the smallest share, so that
    where all are zero each gets the same.

    Args:
        masks: `(channels, frames, bins)` each, 0..1.
        locked: Of each mask: the voice net's, which are more accurate than those of music.
        competing: Of each mask that is not locked: whether it is as accurate as the locked ones.
    """
    floored = [mask.clamp_min(_EPS) for mask in masks]
    if all(locked) or not any(locked):
        total = reduce(torch.add, floored)
        return [mask / total for mask in floored[:-1]]
    kept = {i: mask for i, mask in enumerate(floored) if locked[i]}
    others = {i: mask for i, mask in enumerate(floored) if not locked[i]}
    powers = [mask**_COMPETING_EXPONENT for i, mask in others.items() if competing[i]]
    if powers:
        taken = reduce(torch.add, powers)
        kept = {i: mask / (1 + taken / mask**_COMPETING_EXPONENT) for i, mask in kept.items()}
    whole = reduce(torch.add, kept.values())
    if len(kept) > 1:
        kept = {i: mask / whole.clamp_min(1) for i, mask in kept.items()}
    scale = (1 - whole).clamp_min_(0) / reduce(torch.add, others.values())
    shares = kept | {i: mask * scale for i, mask in others.items()}
    return [shares[i] for i in range(len(masks) - 1)]


def levelled(stereo: Tensor) -> tuple[Tensor, float]:
    """Bring a window to what the networks are trained on.

    A constant offset is removed, which then belongs to the residual. A window quieter than
    -18 dBFS is amplified to that level: the networks see absolute magnitudes, and the voice net
    loses 1 to 2 dB of SDR for each 10 dB below it.

    Args:
        stereo: `(2, n)`.

    Returns:
        The window, and the factor by which it was amplified.
    """
    if stereo.shape[1] >= _OFFSET_SAMPLES:
        mean = stereo.mean(dim=1, keepdim=True)
        if float(mean.abs().max()) > _OFFSET:
            stereo = stereo - mean
    level = float(stereo.square().mean().sqrt())
    if not 0 < level < _QUIET:
        return stereo, 1.0
    gain = min(_QUIET / level, _HIGHEST_GAIN)
    return stereo * gain, gain


def apply_mask(mask: Tensor, spectrum: Tensor) -> Tensor:
    """Mask a spectrum; above the mask's band the mean of its top bins is used.

    Args:
        mask: `(channels, frames, bins)`, 0..1.
        spectrum: Complex, `(channels, freq, frames)`, with at least as many frequencies as bins.

    Returns:
        Complex, the spectrum's shape.
    """
    full = continued(mask, spectrum.shape[1])
    return (spectrum.transpose(1, 2) * full).transpose(1, 2)
