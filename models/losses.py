"""Losses of the mask models: numbers in, one differentiable number out."""

import torch
from torch import Tensor

_EPS = 1e-8


_SDR_FRAMES = 43  # of 1,024 samples at 44.1 kHz: the second over which SDR is taken
_SDR_FLOOR = 3e-3  # -25 dB of the mixture's power: what lies below is neither asked nor punished


def masked_spectrum_loss(mask: Tensor, mixture: Tensor, target: Tensor) -> Tensor:
    """Mean distance in the complex plane between the masked mixture and the target.

    With the mixture's phase the best mask is phase-sensitive (Erdogan et al., 2015); a distance of
    complex spectra leads there, a distance of magnitudes does not. The distance is relative to the
    mean of the target's and the mixture's magnitude, so that a source of few bins, a bass, counts.

    Args:
        mask: `(batch, channels, frames, freq)`, 0..1.
        mixture: Complex, of the same shape.
        target: Complex, of the same shape.

    Returns:
        Scalar.
    """
    squared, power, wanted = masked_error(mask, mixture, target)
    distance = _mean((squared + _EPS).sqrt())
    level = 0.8 * _mean(wanted.sqrt()) + 0.2 * _mean(power.sqrt())
    return (distance / level.clamp_min(1e-4)).mean()


def masked_sdr_loss(mask: Tensor, mixture: Tensor, target: Tensor) -> Tensor:
    """Minus the signal-to-distortion ratio of the masked mixture over seconds, in bel.

    Args:
        mask: `(batch, channels, frames, freq)`, 0..1.
        mixture: Complex, of the same shape.
        target: Complex, of the same shape.

    Returns:
        Scalar: the mean over batch and seconds of log10(|mX - S|^2 / |S|^2), with a floor of
        -25 dB of the mixture's power under both, so that seconds without the source count little.
    """
    error, power, wanted = (
        torch.stack([part.sum((1, 2, 3)) for part in x.split(_SDR_FRAMES, dim=2)], dim=1)
        for x in masked_error(mask, mixture, target)
    )
    floor = _SDR_FLOOR * power + _EPS
    return ((error + floor) / (wanted + floor)).log10().mean()


def masked_correlation_loss(mask: Tensor, mixture: Tensor, target: Tensor) -> Tensor:
    """Minus the scale-invariant SDR of the masked mixture over seconds, in bel.

    Unlike the SDR it gains nothing from a mask that is small everywhere, the trap of the first
    steps, and its gradient does not fade where the mask is small (Le Roux et al., 2019).

    Args:
        mask: `(batch, channels, frames, freq)`, 0..1.
        mixture: Complex, of the same shape.
        target: Complex, of the same shape.

    Returns:
        Scalar: the mean of log10(1 - rho^2), rho the correlation of estimate and target, over the
        seconds in which the target sounds.
    """
    power, cross, wanted = products(mixture, target)
    sums = (mask * cross, mask.square() * power, wanted, power)
    correlation, estimate, truth, whole = (
        torch.stack([part.sum((1, 2, 3)) for part in x.split(_SDR_FRAMES, dim=2)], dim=1)
        for x in sums
    )
    squared = correlation.square() / (estimate * truth + _EPS**2 + 1e-9 * whole * truth)
    sounds = truth / (truth + _SDR_FLOOR * whole + _EPS)
    return (sounds * (1 - squared.clamp(0, 1) + _SDR_FLOOR).log10()).mean()


def masked_error(mask: Tensor, mixture: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return |mX - S|^2, |X|^2 and |S|^2, real, of the mask's shape."""
    # |mX - S|^2 = m^2 |X|^2 - 2 m Re(X conj S) + |S|^2: real arithmetic where gradients flow.
    power, cross, wanted = products(mixture, target)
    return (mask * (mask * power - 2 * cross) + wanted).clamp_min(0), power, wanted


def products(mixture: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return |X|^2, Re(X conj S) and |S|^2 of two complex spectra, real, of their shape."""
    x, s = torch.view_as_real(mixture), torch.view_as_real(target)
    return x.square().sum(-1), (x * s).sum(-1), s.square().sum(-1)


def magnitude_loss(estimate: Tensor, target: Tensor, mixture: Tensor) -> Tensor:
    """Mean absolute difference of magnitudes plus 0.7 of that of their square roots.

    Args:
        estimate: `(batch, channels, frames, freq)`, not negative.
        target: Magnitudes of the same shape.
        mixture: Magnitudes of the same shape, for the scale.

    Returns:
        Scalar, relative to each mixture's mean magnitude (and mean square root).
    """
    linear = _mean((estimate - target).abs()) / _level(mixture)
    roots = (estimate + _EPS).sqrt() - (target + _EPS).sqrt()
    return (linear + 0.7 * _mean(roots.abs()) / _level((mixture + _EPS).sqrt())).mean()


def _mean(x: Tensor) -> Tensor:
    return x.flatten(1).mean(dim=1)


def _level(x: Tensor) -> Tensor:
    """Each item's mean with a floor, so that a silent mixture divides by no zero."""
    return _mean(x).clamp_min(1e-4)
