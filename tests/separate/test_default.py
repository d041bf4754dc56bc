"""The shipped model, on the bundled example: what a new user meets first."""

import numpy as np
import pytest

from separate import Separator, Settings, example_path, read_audio
from separate.models import registry


@pytest.fixture(scope="module")
def mixture() -> tuple[np.ndarray, int]:
    return read_audio(example_path())


def test_its_card_says_what_it_is() -> None:
    card = registry.read_card(registry.find("default").with_suffix(".json"))
    assert card.licence == "CC-BY-SA-4.0" and any("Deezer" in n for n in card.notices)
    classes = {row.get("licence_class") for row in card.trained_on} - {None}
    assert classes <= {"free", "sharealike"}
    assert registry.find("default").stat().st_size < 40e6
    weights = sum(path.stat().st_size for path in registry.SHIPPED.glob("*.safetensors"))
    assert weights < 60e6


def test_stems_sum_to_the_mixture(mixture: tuple[np.ndarray, int]) -> None:
    audio, rate = mixture[0][:, : 8 * mixture[1]], mixture[1]
    stems = ["vocals", "drums", "bass", "other"]
    result = Separator(Settings(share=True)).separate(audio, rate, stems)
    total = sum(result.estimates.values()) + result.residual
    np.testing.assert_allclose(total.numpy(), audio, atol=1e-4)
    for name, estimate in result.estimates.items():
        assert 0 < estimate.square().sum() < np.square(audio).sum(), name


def test_synonyms_get_nearly_the_same(mixture: tuple[np.ndarray, int]) -> None:
    audio, rate = mixture[0][:, : 6 * mixture[1]], mixture[1]
    result = Separator().separate(audio, rate, ["vocals", "singer"])
    one, other = result.estimates.values()
    assert (one - other).square().sum() < 0.05 * one.square().sum()
