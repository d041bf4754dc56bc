"""Losses of the mask models; each is a differentiable scalar."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from separate.models.bands import band_widths, to_bands

_EPS = 1e-8


_SDR_FRAMES = 43  # of 1,024 samples at 44.1 kHz: the second over which SDR is taken
_SDR_FLOOR = 3e-3  # -25 dB of the mixture's power: errors below it do not count


@dataclass(frozen=True)
class Products:
    """Sufficient statistics of the error of a masked mixture, each `(batch, channels, frames, n)`.

    A mask m that is constant in a band has the error m^2 power - 2 m cross + wanted there.
    """

    power: Tensor  # sum of |X|^2 over each band's bins
    cross: Tensor  # sum of Re(X conj S)
    wanted: Tensor  # sum of |S|^2


def products(mixture: Tensor, target: Tensor, *, bands: bool = False) -> Products:
    """Multiply two spectra.

    Args:
        mixture: Complex, `(batch, channels, frames, freq)`.
        target: Complex, of the same shape.
        bands: Sum over the bins of each band of `separate.models.bands`.
    """
    x, s = torch.view_as_real(mixture), torch.view_as_real(target)
    parts = [x.square().sum(-1), (x * s).sum(-1), s.square().sum(-1)]
    if bands:
        widths = band_widths(x.device)
        parts = [to_bands(part) * widths for part in parts]
    return Products(*parts)


def mask_entropy_loss(logits: Tensor, product: Products) -> Tensor:
    """Cross-entropy between a mask and the best one, weighted by the mixture's magnitude.

    The best mask of a band is Re(X conj S) / |X|^2, held to 0..1. Unlike distances of spectra, the
    gradient by the logit is mask minus best mask: it does not vanish where a mask is
    saturated and wrong, so that a query whose mask is near 0 at first can recover.

    Args:
        logits: Of the mask, `(batch, channels, frames, n)`.
        product: Of mixture and target, of that shape.

    Returns:
        Scalar: the cross-entropy over its value for a mask of one half where the target is, so that
        a source of few bins, as a bass, counts as much as others.
    """
    best = (product.cross / (product.power + _EPS)).clamp(0, 1)
    weight = (product.power + _EPS).sqrt()
    entropy = functional.binary_cross_entropy_with_logits(logits, best, reduction="none")
    level = _mean(weight * (0.8 * best + 0.2)).clamp_min(1e-4)
    return (_mean(weight * entropy) / level).mean()


def masked_sdr_loss(mask: Tensor, product: Products) -> Tensor:
    """Minus the signal-to-distortion ratio of the masked mixture over seconds, in bel.

    Args:
        mask: `(batch, channels, frames, n)`, 0..1.
        product: Of mixture and target, of that shape.

    Returns:
        Scalar: the mean over batch and seconds of log10(|mX - S|^2 / |S|^2), with a floor of
        -25 dB of the mixture's power under both, so that seconds without the source count little.
    """
    error, power, wanted = (
        _seconds(x) for x in (masked_error(mask, product), product.power, product.wanted)
    )
    floor = _SDR_FLOOR * power + _EPS
    return ((error + floor) / (wanted + floor)).log10().mean()


def masked_correlation_loss(mask: Tensor, product: Products) -> Tensor:
    """Minus the scale-invariant SDR of the masked mixture over seconds, in bel.

    Unlike the SDR it does not improve with a mask that is small everywhere, a local optimum of the
    first steps, and its gradient does not vanish where the mask is small (Le Roux et al., 2019).

    Args:
        mask: `(batch, channels, frames, n)`, 0..1.
        product: Of mixture and target, of that shape.

    Returns:
        Scalar: the mean of log10(1 - rho^2), rho the correlation of estimate and target, over the
        seconds in which the target sounds.
    """
    sums = (mask * product.cross, mask.square() * product.power, product.wanted, product.power)
    correlation, estimate, truth, whole = (_seconds(x) for x in sums)
    squared = correlation.square() / (estimate * truth + _EPS**2 + 1e-9 * whole * truth)
    sounds = truth / (truth + _SDR_FLOOR * whole + _EPS)
    return (sounds * (1 - squared.clamp(0, 1) + _SDR_FLOOR).log10()).mean()


def masked_error(mask: Tensor, product: Products) -> Tensor:
    """Return |mX - S|^2, of the mask's shape."""
    # Real arithmetic where gradients flow.
    return (mask * (mask * product.power - 2 * product.cross) + product.wanted).clamp_min(0)


def _seconds(x: Tensor) -> Tensor:
    """Sum `(batch, channels, frames, n)` over each second: `(batch, seconds)`."""
    return torch.stack([part.sum((1, 2, 3)) for part in x.split(_SDR_FRAMES, dim=2)], dim=1)


def _mean(x: Tensor) -> Tensor:
    return x.flatten(1).mean(dim=1)
