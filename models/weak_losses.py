"""Losses without isolated sources: of mixtures, their phrases, and similarities of the two.

In: masks, magnitudes, similarities. Out: one differentiable number.

Source: T. Mahmud, S. Amizadeh, K. Koishida, D. Marculescu, "Weakly-supervised Audio Separation via
Bi-modal Semantic Similarity", ICLR 2024; `waveform_loss` is that of Q. Kong et al., "Universal
Source Separation with Weakly Labelled Data", 2023.
"""

from typing import Literal

import torch
from torch import Tensor

Weighting = Literal["mixture", "part"]  # whose loudness weighs the bins of the consistency loss
_LOWEST_WEIGHT, _HIGHEST_WEIGHT = 1e-3, 10.0


def loudness_weight(magnitude: Tensor) -> Tensor:
    """Return clamp(log(1 + |X|), 1e-3, 10), of the magnitude's shape."""
    return magnitude.log1p().clamp(_LOWEST_WEIGHT, _HIGHEST_WEIGHT)


def weighted_l1(estimate: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Return mean(w |a - b|) over everything; the shapes are equal, or broadcast."""
    return (weight * (estimate - target).abs()).mean()


def mix_and_separate_loss(masks: Tensor, magnitude: Tensor, targets: Tensor) -> Tensor:
    """Sum over n of mean(w_X |M_n |X| - |S_n||): unsupervised where the S_n are mixtures.

    Where each S_n is a single source this is the supervised mix-and-separate loss.

    Args:
        masks: M_n, `(batch, n, channels, frames, freq)`, 0..1.
        magnitude: |X| of the sum of all, `(batch, channels, frames, freq)`.
        targets: |S_n|, of the masks' shape.

    Raises:
        ValueError: The shapes don't fit.
    """
    _check(masks.shape == targets.shape, masks, targets)
    whole = magnitude.unsqueeze(1)
    return masks.shape[1] * weighted_l1(masks * whole, targets, loudness_weight(whole))


def consistency_loss(
    masks: Tensor,
    phrase_weights: Tensor,
    magnitude: Tensor,
    targets: Tensor,
    weighting: Weighting = "mixture",
) -> Tensor:
    """Sum over n of mean(w |sum_k w_k M_nk |X| - |S_n||), where w is w_X or w_Sn.

    The estimates of all phrases of a part must add up to it. The paper weighs each bin by the
    loudness of the part, w_Sn. Then a leak of the other part costs nothing where S_n is silent, and
    half of both parts under every phrase has next to no loss. Weighed by the loudness of the whole
    mixture, w_X, as the mix-and-separate loss is, a leak costs as much as a gap. Then the sources
    are determined, because a source has other partners in other examples.

    Args:
        masks: M_nk, `(batch, n, phrases, channels, frames, freq)`, 0..1.
        phrase_weights: w_k, `(batch, n, phrases)`: 1 over the phrase's count; 0 for padding.
        magnitude: |X|, `(batch, channels, frames, freq)`.
        targets: |S_n|, `(batch, n, channels, frames, freq)`.
        weighting: "mixture" for w_X; "part" for the paper's w_Sn.

    Raises:
        ValueError: The shapes don't fit.
    """
    _check(masks.shape[:3] == phrase_weights.shape, masks, phrase_weights)
    _check(masks.shape[:2] + masks.shape[3:] == targets.shape, masks, targets)
    whole = magnitude.unsqueeze(1)
    total = (phrase_weights[..., None, None, None] * masks).sum(2)
    weight = loudness_weight(whole if weighting == "mixture" else targets)
    return masks.shape[1] * weighted_l1(total * whole, targets, weight)


def contrastive_loss(logits: Tensor, sounds: Tensor, texts: Tensor) -> Tensor:
    """InfoNCE from sound to text: each estimate must be nearest to its own phrase.

    Other texts with the sound's own phrase are no negatives: unmasked they would be false ones.

    Args:
        logits: Similarities over the temperature, `(sounds, texts)`.
        sounds: Number of each sound's phrase, int `(sounds,)`.
        texts: Number of each text's phrase, int `(texts,)`; texts of one phrase are the same text.

    Returns:
        Cross-entropy of each sound, `(sounds,)`.

    Raises:
        ValueError: The shapes don't fit, or the phrase of a sound is not among the texts.
    """
    _check(logits.shape == (len(sounds), len(texts)), logits, texts)
    same = sounds[:, None] == texts[None, :]
    if not bool(same.any(dim=1).all()):
        raise ValueError("the phrase of a sound is not among the texts")
    own = logits.gather(1, same.int().argmax(dim=1, keepdim=True))
    others = logits.masked_fill(same, -torch.inf)
    return torch.cat([own, others], dim=1).logsumexp(dim=1) - own.squeeze(1)


def waveform_loss(estimate: Tensor, target: Tensor) -> Tensor:
    """Return mean |s - s'| of waveforms of one shape."""
    _check(estimate.shape == target.shape, estimate, target)
    return (estimate - target).abs().mean()


def _check(fits: bool, *tensors: Tensor) -> None:
    if not fits:
        shapes = ", ".join(str(tuple(tensor.shape)) for tensor in tensors)
        raise ValueError(f"shapes do not fit each other: {shapes}")
