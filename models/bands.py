"""Frequency bands, narrow below and wide above: the whole range at half the cost for a network.

In: anything over the bins of a 4096-point transform `(..., 2049)`. Out: the same over 512 bands
`(..., 512)`, and masks the way back. A bass needs the resolution of single bins, a cymbal does not.
"""

import torch
from torch import Tensor

BINS = 2049  # of the transform
SEGMENTS = ((256, 1), (128, 2), (64, 4), (64, 20))  # (bands, bins a band), from the lowest bin on
BANDS = sum(count for count, _ in SEGMENTS)
_LOUD = 4.0  # magnitude from which compression sets in; a full-scale tone has 1,024
_CONTINUED_BINS = 64  # above a mask's own range the mean of so many top bins goes on (690 Hz)


def to_bands(x: Tensor) -> Tensor:
    """Average `(..., 2049)` over the bins of each band: `(..., 512)`; the last bin is left out."""
    parts, start = [], 0
    for count, width in SEGMENTS:
        piece = x[..., start : start + count * width]
        parts.append(
            _halved(piece, width) if width <= 4 else piece.unflatten(-1, (count, width)).mean(-1)
        )
        start += count * width
    return torch.cat(parts, dim=-1)


def _halved(x: Tensor, width: int) -> Tensor:
    """Average pairs of neighbours until `width` have become one: faster than a mean of few."""
    while width > 1:
        x = (x[..., 0::2] + x[..., 1::2]) * 0.5
        width //= 2
    return x


def compressed(magnitude: Tensor) -> Tensor:
    """Bring loud magnitudes nearer to soft ones: asinh, but faster."""
    x = magnitude / _LOUD
    return _LOUD * (x + (x.square() + 1).sqrt()).log()


def from_bands(mask: Tensor) -> Tensor:
    """Give every bin the value of its band: `(..., 512)` to `(..., 2049)`."""
    parts, start = [], 0
    for count, width in SEGMENTS:
        piece = mask[..., start : start + count]
        spread = piece.unsqueeze(-1).expand(*piece.shape, width).flatten(-2)
        parts.append(piece if width == 1 else spread)
        start += count
    return torch.cat([*parts, mask[..., -1:]], dim=-1)


def band_widths(device: torch.device | str = "cpu") -> Tensor:
    """Return the number of bins of each band, float `(512,)`."""
    counts = torch.tensor([count for count, _ in SEGMENTS])
    widths = torch.tensor([float(width) for _, width in SEGMENTS])
    return widths.repeat_interleave(counts).to(device)


def continued(mask: Tensor, bins: int = BINS) -> Tensor:
    """Continue a mask `(..., fewer bins)` upward with the mean of its top bins.

    Args:
        mask: 0..1, frequency last.
        bins: Bins to return.
    """
    missing = bins - mask.shape[-1]
    if missing <= 0:
        return mask
    above = mask[..., -_CONTINUED_BINS:].mean(dim=-1, keepdim=True)
    return torch.cat([mask, above.expand(*mask.shape[:-1], missing)], dim=-1)
