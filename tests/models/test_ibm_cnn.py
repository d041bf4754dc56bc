"""The ideal-binary-mask CNN: its size, what it depends on, its loss."""

import math

import pytest
import torch

from separate.models.ibm_cnn import (
    IbmCnn,
    IbmCnnConfig,
    ibm_loss,
    ideal_binary_mask,
    pruned,
)

SMALL = IbmCnnConfig(channels=4, maps=2, hidden=8)
AROUND = 45  # frames on either side of a frame that change its likelihood, see below


@pytest.fixture
def net() -> IbmCnn:
    torch.manual_seed(0)
    return IbmCnn(SMALL).eval()


def test_its_weights_fit_into_four_megabytes() -> None:
    assert sum(p.numel() for p in IbmCnn().parameters()) < 4_000_000  # int8, a byte each


def test_every_bin_has_a_likelihood(net: IbmCnn) -> None:
    magnitude = torch.rand(2, 7, 513, generator=torch.Generator().manual_seed(1))
    kept = magnitude.clone()
    with torch.inference_mode():
        likelihood = net(magnitude)
        alone = net(magnitude[1:])
    assert likelihood.shape == magnitude.shape and torch.equal(magnitude, kept)
    assert likelihood.min() > 0 and likelihood.max() < 1
    torch.testing.assert_close(likelihood[1:], alone)


def test_a_frame_depends_on_those_around_it_alone(net: IbmCnn) -> None:
    """Five convolutions of 3 frames and four dilated ones reach 5 + 1 + 3 + 9 + 27 frames."""
    magnitude = torch.rand(1, 120, 513, generator=torch.Generator().manual_seed(2))
    other = magnitude.clone()
    other[:, 60] += 1
    with torch.inference_mode():
        changed = (net(magnitude) != net(other)).any(-1)[0]
    assert changed[60 - AROUND : 61 + AROUND].all()
    assert not changed[: 60 - AROUND].any() and not changed[61 + AROUND :].any()


def test_the_whole_frame_matters_to_each_bin(net: IbmCnn) -> None:
    """Dense layers carry what sounds at one end of the spectrum to the other."""
    magnitude = torch.rand(1, 3, 513, generator=torch.Generator().manual_seed(3))
    other = magnitude.clone()
    other[..., 500:] += 1
    with torch.inference_mode():
        assert (net(magnitude) != net(other))[..., :100].any()


def test_the_loss_is_the_smoothed_cross_entropy() -> None:
    logits = torch.tensor([[0.0, 2.0]], requires_grad=True)
    mask = ideal_binary_mask(torch.tensor([[3.0, 1.0]]), torch.tensor([[1.0, 1.0]]))
    assert mask.tolist() == [[1.0, 0.0]]  # as loud is not louder
    loss = ibm_loss(logits, mask, torch.tensor([[4.0, 0.2]]))
    p = 1 / (1 + math.exp(-2.0))
    second = -(0.02 * math.log(p) + 0.98 * math.log(1 - p))
    weights = math.log(41), math.log(3)
    wanted = (weights[0] * math.log(2) + weights[1] * second) / sum(weights)
    assert loss.item() == pytest.approx(wanted, rel=1e-5)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert gradient[0, 0] < 0 < gradient[0, 1]  # towards the voice, and away from it


def test_silence_has_no_loss() -> None:
    nothing = torch.zeros(1, 3)
    assert ibm_loss(nothing, ideal_binary_mask(nothing, nothing), nothing).item() == 0


def test_what_is_unlikely_is_left_out() -> None:
    likelihood = torch.tensor([0.0, 0.14, 0.15, 0.9])
    torch.testing.assert_close(pruned(likelihood, 0.15), torch.tensor([0.0, 0.0, 0.15, 0.9]))
    torch.testing.assert_close(pruned(likelihood, 0.0), likelihood)
    raised = torch.tensor([0.0, 0.0, 0.15**0.5, 0.9**0.5])
    torch.testing.assert_close(pruned(likelihood, 0.15, 0.5), raised)
