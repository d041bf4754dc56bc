"""What a query excludes, on masks written by hand."""

import pytest
import torch
from torch import Tensor

from separate.backends.exclusion import Mask, without

FRAMES, BINS = 96, 64


def mask_of(values: Tensor) -> Mask:
    return lambda frames=slice(None): values[:, frames]


def halves(low: float, high: float) -> Tensor:
    """One value in the lower half of the bins, another in the upper one."""
    mask = torch.full((2, FRAMES, BINS), high)
    mask[..., : BINS // 2] = low
    return mask


MAGNITUDE = torch.ones(2, FRAMES, BINS)


def test_without_negatives_the_mask_is_the_same() -> None:
    mask = mask_of(halves(0.3, 0.7))
    assert without(mask, [], [], 1.0, MAGNITUDE) is mask


@pytest.mark.parametrize("firmness", [0.0, 0.5, 1.0, 3.0])
def test_a_rival_takes_only_where_its_claim_is_larger(firmness: float) -> None:
    wanted, rival = halves(0.3, 0.9), halves(0.8, 0.1)
    found = without(mask_of(wanted), [mask_of(rival)], [False], firmness, MAGNITUDE)(slice(None))
    torch.testing.assert_close(found[..., BINS // 2 + 2 :], wanted[..., BINS // 2 + 2 :])
    low = found[..., : BINS // 2 - 2].amax()
    assert low == pytest.approx(0.3) if firmness == 0 else low < 0.01


def test_a_rival_that_cannot_be_told_apart_takes_a_bounded_share() -> None:
    wanted = torch.full((2, FRAMES, BINS), 0.5)
    rival = torch.full((2, FRAMES, BINS), 0.6)
    for firmness in (0.5, 1.0, 2.0):
        found = without(mask_of(wanted), [mask_of(rival)], [False], firmness, MAGNITUDE)
        kept = float(found(slice(None)).square().sum() / wanted.square().sum())
        assert kept == pytest.approx(0.69**firmness, abs=0.02)


def test_a_part_is_taken_out_whole() -> None:
    found = without(mask_of(halves(0.8, 0.8)), [mask_of(halves(1, 0))], [True], 1.0, MAGNITUDE)
    torch.testing.assert_close(found(slice(None)), halves(0.0, 0.8))


def test_frames_asked_for_one_by_one_are_the_same() -> None:
    torch.manual_seed(0)
    wanted, rival = torch.rand(2, 2, FRAMES, BINS)
    found = without(mask_of(wanted), [mask_of(rival)], [False], 1.0, MAGNITUDE)
    pieces = [found(slice(at, at + 32)) for at in range(0, FRAMES, 32)]
    torch.testing.assert_close(torch.cat(pieces, 1), found(slice(None)), rtol=0, atol=0)


def test_silence_stays_finite() -> None:
    rival = mask_of(halves(0.9, 0.2))
    found = without(mask_of(halves(0.2, 0.2)), [rival], [False], 1.0, 0 * MAGNITUDE)
    assert found(slice(None)).isfinite().all()
