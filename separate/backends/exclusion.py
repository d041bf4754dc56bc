"""What a query excludes, taken out of its mask.

In: the mask of what is wanted, the masks of what is not, and the window's magnitudes. Out: a mask.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

Mask = Callable[[slice], Tensor]  # some frames -> 0..1, (2, frames, bins); fewer bins go on upward

_SMOOTH = (41, 5)  # frames and bins around a bin in which two claims are compared: a second, 50 Hz
_KEPT = 0.69  # of a claim's energy in a window: what a rival may not take at firmness 1
_HIGHEST_POWER = 32.0  # of the ratio of two claims
_HALVINGS = 12  # of the search for the power
_EPS = 1e-10


def without(
    mask: Mask,
    negatives: Sequence[Mask],
    is_part: Sequence[bool],
    firmness: float,
    magnitude: Tensor,
) -> Mask:
    """Take from a mask what others claim.

    A part of what is wanted ("vocals", not "backing vocals") lies under the mask itself: what
    remains is what the part does not claim. A rival ("flute", not "cello") only matters where its
    claim is the larger one in the neighbourhood; there the mask falls with a power of their ratio.
    The power is the highest that leaves the wanted source 0.69 ** firmness of its claimed energy: a
    rival that would take more sounds so much like what is wanted that the masks can't tell them
    apart.

    Args:
        mask: Of what is wanted.
        negatives: Of what is not.
        is_part: Of each of those, whether it is a part of what is wanted, or its rival.
        firmness: 0 takes out nothing.
        magnitude: Of the window, `(2, frames, freq)`.
    """
    if not negatives:
        return mask
    left: list[Tensor] = []  # of the whole window: found once, with the first frames asked for

    def masked(frames: slice = slice(None)) -> Tensor:
        if not left:
            whole = mask(slice(None))
            power = magnitude[..., : whole.shape[-1]].square()
            kept = torch.ones_like(whole)
            for negative, part in zip(negatives, is_part, strict=True):
                other = negative(slice(None))
                kept *= (1 - other) ** firmness if part else _spared(whole, other, power, firmness)
            left.append(kept)
        return mask(frames) * left[0][:, frames]

    return masked


def _spared(wanted: Tensor, rival: Tensor, power: Tensor, firmness: float) -> Tensor:
    """What a rival leaves of the mask of what is wanted, 0..1; all of shape `(2, frames, bins)`."""
    near = _smooth(power) + _EPS
    ratio = _smooth(wanted * power) / near / (_smooth(rival * power) / near + _EPS)
    log_ratio = ratio.clamp(_EPS, 1).log()
    claimed = wanted.square() * power
    least = _KEPT**firmness * float(claimed.sum())

    def spared(exponent: float) -> Tensor:
        return (exponent * log_ratio).exp()

    low, high = 0.0, _HIGHEST_POWER
    if float((claimed * spared(2 * high)).sum()) >= least:  # squared: of energies
        return spared(high)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        enough = float((claimed * spared(2 * middle)).sum()) >= least
        low, high = (middle, high) if enough else (low, middle)
    return spared(low)


def _smooth(x: Tensor) -> Tensor:
    """Mean over a bin's neighbourhood."""
    padding = (_SMOOTH[0] // 2, _SMOOTH[1] // 2)
    smooth: Tensor = functional.avg_pool2d(
        x[None], _SMOOTH, stride=1, padding=padding, count_include_pad=False
    )[0]
    return smooth
