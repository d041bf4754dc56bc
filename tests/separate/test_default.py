"""The shipped model, on the bundled example: what a new user meets first."""

import numpy as np
import pytest
import quality
import torch

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


@pytest.fixture(scope="module", params=[False, True], ids=["free", "summed"])
def stems(request: pytest.FixtureRequest) -> quality.Sounds:
    mixture, _ = quality.example(8)
    separator = Separator(Settings(sum_to_mixture=request.param))
    result = separator.separate(mixture, quality.RATE, quality.STEMS)
    return {name: estimate.numpy() for name, estimate in result.estimates.items()}


def test_each_stem_is_most_like_its_own_truth(stems: quality.Sounds) -> None:
    _, truth = quality.example(8)
    for name, estimate in stems.items():
        likeness = {other: quality.sdr(true, estimate) for other, true in truth.items()}
        assert max(likeness, key=likeness.__getitem__) == name
        share = np.square(estimate).sum() / np.square(truth[name]).sum()
        assert 0.25 < share < 2, name


def test_masks_lie_between_0_and_1() -> None:
    (model,) = Separator().models
    seen: list[torch.Tensor] = []
    quality.mask_after(model, lambda masks, mixture: seen.append(masks) or masks)
    mixture, _ = quality.example(2)
    Separator(models=[model]).separate(mixture, quality.RATE, [*quality.STEMS, "dog bark"])
    (masks,) = seen
    assert 0 <= masks.amin() < 0.05 and 0.9 < masks.amax() <= 1


def test_the_order_of_summed_stems_does_not_matter() -> None:
    """The last is the mixture without the others: that must be what its own mask gives."""
    mixture, _ = quality.example(3)
    separator = Separator(Settings(sum_to_mixture=True))
    first, second = (
        separator.separate(mixture, quality.RATE, names).estimates
        for names in (quality.STEMS, quality.STEMS[::-1])
    )
    for name in quality.STEMS:
        torch.testing.assert_close(first[name], second[name], atol=1e-4, rtol=0)


def test_synonyms_get_nearly_the_same(mixture: tuple[np.ndarray, int]) -> None:
    audio, rate = mixture[0][:, : 6 * mixture[1]], mixture[1]
    result = Separator().separate(audio, rate, ["vocals", "singer"])
    one, other = result.estimates.values()
    assert (one - other).square().sum() < 0.05 * one.square().sum()
