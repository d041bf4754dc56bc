import math

import pytest
import torch

from separate.models.weak_losses import (
    Weighting,
    consistency_loss,
    contrastive_loss,
    loudness_weight,
    mix_and_separate_loss,
    waveform_loss,
    weighted_l1,
)


def grid(*values: float) -> torch.Tensor:
    """Values as (batch 1, n, channels 1, frames 1, freq 1)."""
    return torch.tensor(values).reshape(1, -1, 1, 1, 1)


def test_weights_are_the_clamped_logarithm() -> None:
    weights = loudness_weight(torch.tensor([0.0, math.e - 1, 1e9]))
    torch.testing.assert_close(weights, torch.tensor([1e-3, 1.0, 10.0]))
    error = weighted_l1(torch.tensor([1.0, 5.0]), torch.tensor([0.0, 2.0]), torch.tensor([1.0, 2]))
    assert error == (1 + 6) / 2


def test_mix_and_separate_by_hand() -> None:
    whole = torch.full((1, 1, 1, 1), math.e - 1)  # its weight is 1
    targets = grid(1.0, math.e - 2)
    loss = mix_and_separate_loss(grid(0.5, 0.25), whole, targets)
    expected = abs((math.e - 1) / 2 - 1) + abs((math.e - 1) / 4 - (math.e - 2))
    assert float(loss) == pytest.approx(expected, rel=1e-5)
    perfect = mix_and_separate_loss(targets / whole.unsqueeze(1), whole, targets)
    assert float(perfect) == pytest.approx(0, abs=1e-6)


def test_mix_and_separate_moves_masks_towards_the_target() -> None:
    masks = grid(0.9, 0.1).requires_grad_()
    mix_and_separate_loss(masks, torch.full((1, 1, 1, 1), 2.0), grid(1.0, 1.0)).backward()
    assert masks.grad is not None and masks.grad.flatten()[0] > 0 > masks.grad.flatten()[1]


@pytest.mark.parametrize(
    ("weighting", "weights_of_bins"),
    [("mixture", (math.log(5), math.log(5))), ("part", (1.0, 1e-3))],
)
def test_consistency_by_hand(weighting: Weighting, weights_of_bins: tuple[float, float]) -> None:
    # Mixture 0 has two phrases, mixture 1 one phrase that counts half and one that is padding.
    masks = torch.tensor([[0.5, 0.25], [0.5, 0.9]]).reshape(1, 2, 2, 1, 1, 1)
    weights = torch.tensor([[[1.0, 1.0], [0.5, 0.0]]])
    targets = grid(math.e - 1, 0.0)
    loss = consistency_loss(masks, weights, torch.full((1, 1, 1, 1), 4.0), targets, weighting)
    errors = abs(0.75 * 4 - (math.e - 1)), 0.25 * 4
    expected = sum(w * e for w, e in zip(weights_of_bins, errors, strict=True))
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_a_leak_costs_where_its_part_is_silent() -> None:
    """Two parts in bins of their own, one phrase each: masks of the truth and of half of both."""
    whole = torch.full((1, 1, 1, 2), 4.0)
    targets = torch.tensor([[4.0, 0.0], [0.0, 4.0]]).reshape(1, 2, 1, 1, 2)
    truth = (targets / 4).unsqueeze(2)
    leak = truth.clone()
    leak[0, 0, ..., 1] = 1.0  # the first phrase takes the second part's bin as well

    def cost(masks: torch.Tensor, weighting: Weighting) -> float:
        return float(consistency_loss(masks, torch.ones(1, 2, 1), whole, targets, weighting))

    assert cost(truth, "mixture") == cost(truth, "part") == 0
    gap = cost(truth * torch.tensor([[1.0], [0.0]])[:, :, None, None, None], "mixture")
    assert cost(leak, "part") < 0.01 * gap  # the paper's weight: nearly free
    assert cost(leak, "mixture") == pytest.approx(gap)  # as much as leaving a part out


def test_consistency_raises_masks_that_do_not_add_up() -> None:
    masks = torch.full((1, 1, 2, 1, 1, 1), 0.2, requires_grad=True)
    consistency_loss(masks, torch.ones(1, 1, 2), torch.ones(1, 1, 1, 1), grid(1.0)).backward()
    assert masks.grad is not None and (masks.grad < 0).all()


def test_contrast_by_hand_with_a_repeated_phrase_masked() -> None:
    logits = torch.tensor([[2.0, 1.0, 5.0], [0.0, 3.0, 1.0]], requires_grad=True)
    phrases = torch.tensor([7, 8, 7])  # texts 0 and 2 are one phrase
    loss = contrastive_loss(logits, torch.tensor([7, 8]), phrases)
    first = math.log(math.exp(2) + math.exp(1)) - 2  # text 2, the same phrase, is no negative
    second = math.log(math.exp(0) + math.exp(3) + math.exp(1)) - 3
    torch.testing.assert_close(loss, torch.tensor([first, second]))
    loss.sum().backward()
    assert logits.grad is not None
    assert logits.grad[0, 0] < 0 < logits.grad[0, 1] and logits.grad[0, 2] == 0


def test_contrast_wants_every_phrase_among_the_texts() -> None:
    with pytest.raises(ValueError, match="not among"):
        contrastive_loss(torch.zeros(1, 2), torch.tensor([3]), torch.tensor([1, 2]))


def test_waveforms_by_hand() -> None:
    estimate = torch.tensor([1.0, -1.0], requires_grad=True)
    loss = waveform_loss(estimate, torch.tensor([0.5, 0.0]))
    assert float(loss.detach()) == 0.75
    loss.backward()
    assert estimate.grad is not None and estimate.grad.tolist() == [0.5, -0.5]


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="shapes"):
        mix_and_separate_loss(grid(0.5), torch.ones(1, 1, 1, 1), grid(1.0, 2.0))
    with pytest.raises(ValueError, match="shapes"):
        waveform_loss(torch.zeros(2), torch.zeros(3))
