"""The ideal-binary-mask CNN: its size, its shared convolutions, its loss."""

import math

import pytest
import torch
from torch.nn import functional

from separate.models.ibm_cnn import (
    IbmCnn,
    IbmCnnConfig,
    ibm_loss,
    ideal_binary_mask,
    patches,
    pruned,
)

SMALL = IbmCnnConfig(channels=(3, 2, 4, 2), hidden=(8, 8))


@pytest.fixture
def net() -> IbmCnn:
    torch.manual_seed(0)
    return IbmCnn(SMALL).eval()


def test_the_papers_size() -> None:
    net = IbmCnn()
    assert net.dense[0].in_features == 4320 and net.head.out_features == 18_441
    assert sum(p.numel() for p in net.parameters()) == pytest.approx(19.5e6, rel=0.005)


def test_convolutions_shared_over_time_change_nothing(net: IbmCnn) -> None:
    """Each frame's likelihood is the middle of what its patch alone gives."""
    magnitude = torch.rand(1, 12, 2049, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        shared = net(magnitude)
        padded = functional.pad(magnitude, (0, 0, 8, 8))
        for frame in (0, 5, 11):
            alone = net.logits(padded[:, frame : frame + 17])
            assert alone.shape == (1, 1, 9, 2049)
            torch.testing.assert_close(shared[:, frame], alone[:, 0, 4].sigmoid())


def test_patches_lie_where_the_logits_do(net: IbmCnn) -> None:
    magnitude = torch.rand(2, 8 + 9 + 16, 2049)
    cut = patches(magnitude)
    assert cut.shape == net.logits(magnitude).shape == (2, 3, 9, 2049)
    torch.testing.assert_close(cut[:, 1], magnitude[:, 12:21])


def test_the_loss_is_the_smoothed_cross_entropy() -> None:
    logits = torch.tensor([[0.0, 2.0]], requires_grad=True)
    mask = ideal_binary_mask(torch.tensor([[3.0, 1.0]]), torch.tensor([[1.0, 1.0]]))
    assert mask.tolist() == [[1.0, 0.0]]  # as loud is not louder
    loss = ibm_loss(logits, mask)
    p = 1 / (1 + math.exp(-2.0))
    second = -(0.02 * math.log(p) + 0.98 * math.log(1 - p))
    assert loss.item() == pytest.approx((math.log(2) + second) / 2, rel=1e-5)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert gradient[0, 0] < 0 < gradient[0, 1]  # towards the voice, and away from it


def test_what_is_unlikely_is_left_out() -> None:
    likelihood = torch.tensor([0.0, 0.14, 0.15, 0.9])
    torch.testing.assert_close(pruned(likelihood, 0.15), torch.tensor([0.0, 0.0, 0.15, 0.9]))
    torch.testing.assert_close(pruned(likelihood, 0.0), likelihood)
