"""What a query excludes, on masks written by hand."""

import numpy as np
import pytest
import torch
from scipy.ndimage import uniform_filter
from torch import Tensor

from separate.backends.exclusion import Mask, exclude

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
    assert exclude(mask, [], [], 1.0, MAGNITUDE) is mask


@pytest.mark.parametrize("negative_weight", [0.0, 0.5, 1.0, 3.0])
def test_a_competitor_takes_only_where_its_mask_is_larger(negative_weight: float) -> None:
    wanted, competitor = halves(0.3, 0.9), halves(0.8, 0.1)
    found = exclude(mask_of(wanted), [mask_of(competitor)], [False], negative_weight, MAGNITUDE)(
        slice(None)
    )
    torch.testing.assert_close(found[..., BINS // 2 + 2 :], wanted[..., BINS // 2 + 2 :])
    low = found[..., : BINS // 2 - 2].amax()
    assert low == pytest.approx(0.3) if negative_weight == 0 else low < 0.01


def test_a_competitor_that_cannot_be_told_apart_takes_a_bounded_share() -> None:
    wanted = torch.full((2, FRAMES, BINS), 0.5)
    competitor = torch.full((2, FRAMES, BINS), 0.6)
    for negative_weight in (0.5, 1.0, 2.0):
        found = exclude(mask_of(wanted), [mask_of(competitor)], [False], negative_weight, MAGNITUDE)
        kept = float(found(slice(None)).square().sum() / wanted.square().sum())
        assert kept == pytest.approx(0.69**negative_weight, abs=0.02)


def test_a_part_is_taken_out_whole() -> None:
    found = exclude(mask_of(halves(0.8, 0.8)), [mask_of(halves(1, 0))], [True], 1.0, MAGNITUDE)
    torch.testing.assert_close(found(slice(None)), halves(0.0, 0.8))


def test_frames_asked_for_one_by_one_are_the_same() -> None:
    torch.manual_seed(0)
    wanted, competitor = torch.rand(2, 2, FRAMES, BINS)
    found = exclude(mask_of(wanted), [mask_of(competitor)], [False], 1.0, MAGNITUDE)
    pieces = [found(slice(at, at + 32)) for at in range(0, FRAMES, 32)]
    torch.testing.assert_close(torch.cat(pieces, 1), found(slice(None)), rtol=0, atol=0)


def test_silence_stays_finite() -> None:
    competitor = mask_of(halves(0.9, 0.2))
    found = exclude(mask_of(halves(0.2, 0.2)), [competitor], [False], 1.0, 0 * MAGNITUDE)
    assert found(slice(None)).isfinite().all()


def nearby(x: np.ndarray) -> np.ndarray:
    """Mean over a second and 50 Hz around each bin, of what there is of that at the borders."""
    sums = uniform_filter(x, (1, 41, 5), mode="constant")
    return sums / uniform_filter(np.ones_like(x), (1, 41, 5), mode="constant")


@pytest.mark.parametrize("negative_weight", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("lean", [0.4, 0.8, 1.0])
def test_the_power_of_the_ratio_is_the_largest_that_leaves_enough(
    negative_weight: float, lean: float
) -> None:
    """Against a search in NumPy, on masks and magnitudes without any structure."""
    random = torch.Generator().manual_seed(0)
    wanted, competitor = torch.rand(2, 2, FRAMES, BINS, generator=random).unbind()
    wanted = wanted * torch.linspace(lean, 1, BINS)
    magnitude = (
        torch.rand(2, FRAMES, BINS + 60, generator=random) ** 4 * 50
    )  # bins above the mask's
    found = exclude(mask_of(wanted), [mask_of(competitor)], [False], negative_weight, magnitude)(
        slice(None)
    )
    one, two = wanted.double().numpy(), competitor.double().numpy()
    power = magnitude[..., :BINS].double().numpy() ** 2
    ratio = np.minimum(1, nearby(one * power) / nearby(two * power))

    def energy(exponent: float) -> float:
        return float((one**2 * power * ratio ** (2 * exponent)).sum())

    left = 0.69**negative_weight * energy(0)
    powers = np.linspace(0, 32, 4097)
    enough = max(power for power in powers if energy(power) >= left)
    np.testing.assert_allclose(found.numpy(), one * ratio**enough, atol=2e-3)


def test_several_are_taken_out_one_after_the_other() -> None:
    whole, part, more = torch.rand(3, 2, FRAMES, BINS, generator=torch.Generator().manual_seed(1))
    asked = [mask_of(part), mask_of(more)]
    found = exclude(mask_of(whole), asked, [True, True], 2.0, MAGNITUDE)(slice(None))
    torch.testing.assert_close(found, whole * (1 - part) ** 2 * (1 - more) ** 2)
    found = exclude(mask_of(whole), asked, [True, False], 1.0, MAGNITUDE)(slice(None))
    competitors = exclude(mask_of(whole), [mask_of(more)], [False], 1.0, MAGNITUDE)(slice(None))
    torch.testing.assert_close(found, competitors * (1 - part))


def test_a_competitor_of_no_strength_takes_nothing() -> None:
    wanted, competitor = halves(0.3, 0.9), halves(0.0, 0.0)
    found = exclude(mask_of(wanted), [mask_of(competitor)], [False], 1.0, MAGNITUDE)(slice(None))
    torch.testing.assert_close(found, wanted)
