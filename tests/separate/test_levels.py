"""A result scales with its input, and a constant offset belongs to the residual."""

import numpy as np
import pytest
from quality import example, sdr

from separate import Separator, Settings

QUERIES = ["drums", "vocals", "dog barking"]


@pytest.fixture(scope="module")
def separator() -> Separator:
    return Separator(Settings(threads=1))


@pytest.fixture(scope="module")
def loud(separator: Separator) -> dict[str, np.ndarray]:
    mixture, _ = example(6)
    return {
        name: estimate.numpy()
        for name, estimate in separator.separate(mixture, 44_100, QUERIES).estimates.items()
    }


@pytest.mark.parametrize("gain", [0.1, 1e-2, 1e-4])
def test_results_scale_with_the_input(separator, loud, gain) -> None:
    mixture, truth = example(6)
    result = separator.separate(mixture * np.float32(gain), 44_100, QUERIES)
    for name in ("drums", "vocals"):
        found = result.estimates[name].numpy() / gain
        assert sdr(truth[name], found) > sdr(truth[name], loud[name]) - 0.5
    quiet = result.estimates["dog barking"].numpy() / gain
    assert np.square(quiet).sum() < 2 * np.square(loud["dog barking"]).sum()


def test_an_offset_belongs_to_the_residual(separator, loud) -> None:
    mixture, truth = example(6)
    result = separator.separate(mixture + np.float32(0.05), 44_100, QUERIES)
    for name in ("drums", "vocals"):
        found = result.estimates[name].numpy()
        assert sdr(truth[name], found) > sdr(truth[name], loud[name]) - 0.5
        assert abs(found.mean()) < 1e-3
    assert result.residual.mean().item() == pytest.approx(0.05, abs=2e-3)
