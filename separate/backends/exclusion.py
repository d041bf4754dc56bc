"""Masks with negatives: the mask of what is wanted, without what is excluded.

In: the mask of the positive, the masks of negatives, and the segment's magnitudes. Out: a mask.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

Mask = Callable[[slice], Tensor]  # some frames -> 0..1, (2, frames, bins); above, as `continued`

_SMOOTH = (41, 5)  # frames and bins of the neighbourhood in which masks are compared: 1 s, 50 Hz
_KEPT = 0.69  # of the positive's energy in a segment: the least that is left at a weight of 1
_HIGHEST_POWER = 32.0  # of the ratio of two masked energies
_HALVINGS = 12  # of the search for the power
_EPS = 1e-10


def exclude(
    mask: Mask,
    negatives: Sequence[Mask],
    is_part: Sequence[bool],
    negative_weight: float,
    magnitude: Tensor,
) -> Mask:
    """Reduce a mask where the masks of negatives are large.

    The mask of a part of the positive ("vocals", not "backing vocals") lies under the positive's
    mask: the mask is multiplied by the part's complement. Another source ("flute", not "cello")
    changes the mask only where its masked energy is the larger one in the neighbourhood; there the
    mask falls with a power of their ratio. The power is the highest that leaves the positive
    0.69 ** negative_weight of its masked energy: where a source would take more, the masks do not
    discriminate between the two.

    Args:
        mask: Of the positive.
        negatives: Masks of what is excluded.
        is_part: Of each negative, whether it is a part of the positive, or another source.
        negative_weight: 0 excludes nothing.
        magnitude: Of the segment, `(2, frames, freq)`.
    """
    if not negatives:
        return mask
    factors: list[Tensor] = []  # of the whole segment: computed once, with the first frames

    def masked(frames: slice = slice(None)) -> Tensor:
        if not factors:
            whole = mask(slice(None))
            power = magnitude[..., : whole.shape[-1]].square()
            factor = torch.ones_like(whole)
            for negative, part in zip(negatives, is_part, strict=True):
                other = negative(slice(None))
                if part:
                    factor *= (1 - other) ** negative_weight
                else:
                    factor *= _ratio_factor(whole, other, power, negative_weight)
            factors.append(factor)
        return mask(frames) * factors[0][:, frames]

    return masked


def _ratio_factor(wanted: Tensor, other: Tensor, power: Tensor, negative_weight: float) -> Tensor:
    """Return the factor 0..1 that another source puts on a mask.

    Args:
        wanted: The positive's mask, `(2, frames, bins)`.
        other: The negative's mask.
        power: Of the mixture.
        negative_weight: See `exclude`.
    """
    near = _smooth(power) + _EPS
    ratio = _smooth(wanted * power) / near / (_smooth(other * power) / near + _EPS)
    log_ratio = ratio.clamp(_EPS, 1).log()
    energy = wanted.square() * power
    least = _KEPT**negative_weight * float(energy.sum())

    def factor(exponent: float) -> Tensor:
        return (exponent * log_ratio).exp()

    low, high = 0.0, _HIGHEST_POWER
    if float((energy * factor(2 * high)).sum()) >= least:  # squared: of energies
        return factor(high)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        enough = float((energy * factor(2 * middle)).sum()) >= least
        low, high = (middle, high) if enough else (low, middle)
    return factor(low)


def _smooth(x: Tensor) -> Tensor:
    """Return the mean over each bin's neighbourhood."""
    padding = (_SMOOTH[0] // 2, _SMOOTH[1] // 2)
    smooth: Tensor = functional.avg_pool2d(
        x[None], _SMOOTH, stride=1, padding=padding, count_include_pad=False
    )[0]
    return smooth
