"""Losses of the mask models: numbers in, one differentiable number out."""

import torch
from torch import Tensor

_EPS = 1e-8


def masked_spectrum_loss(mask: Tensor, mixture: Tensor, target: Tensor) -> Tensor:
    """Mean distance in the complex plane between the masked mixture and the target.

    With the mixture's phase the best mask is phase-sensitive (Erdogan et al., 2015); a distance of
    complex spectra leads there, a distance of magnitudes does not.

    Args:
        mask: `(batch, channels, frames, freq)`, 0..1.
        mixture: Complex, of the same shape.
        target: Complex, of the same shape.

    Returns:
        Scalar, relative to each mixture's mean magnitude.
    """
    # |mX - S|^2 = m^2 |X|^2 - 2 m Re(X conj S) + |S|^2: real arithmetic where gradients flow.
    x, s = torch.view_as_real(mixture), torch.view_as_real(target)
    power, cross, wanted = x.square().sum(-1), (x * s).sum(-1), s.square().sum(-1)
    squared = mask * (mask * power - 2 * cross) + wanted
    distance = (squared.clamp_min(0) + _EPS).sqrt()
    return (_mean(distance) / _level(power.sqrt())).mean()


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
