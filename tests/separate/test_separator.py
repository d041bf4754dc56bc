"""The invariants of a separation, with a small network of random weights behind the interface."""

import numpy as np
import pytest
import torch

from separate.backends.nets import wrap
from separate.errors import InputError, QueryError, SettingsError
from separate.models.query_unet import QueryUNet, QueryUNetConfig
from separate.models.registry import Card
from separate.queries.query import Query
from separate.separator import Separator
from separate.settings import Settings

RATE = 44100


@pytest.fixture(scope="module")
def net() -> QueryUNet:
    torch.manual_seed(0)
    net = QueryUNet(QueryUNetConfig(film_dim=16)).eval().requires_grad_(False)
    torch.nn.init.normal_(net.music.film.out.weight, std=0.3)
    torch.nn.init.constant_(net.gate.bias, -100.0)
    return net


@pytest.fixture
def make(net: QueryUNet, monkeypatch: pytest.MonkeyPatch):
    card = Card("random", "query-unet", "", {}, "", query_encoder="embedded", sha256="0" * 64)

    def build(**options) -> Separator:
        monkeypatch.setattr(
            "separate.separator.open_model", lambda name, settings: wrap(net, card, settings)
        )
        return Separator(Settings(segment=1.5, keep_absent=True, **options))

    return build


def noise(samples: int, channels: int = 2) -> np.ndarray:
    rng = np.random.default_rng(1)
    return (0.1 * rng.normal(size=(channels, samples))).astype(np.float32)


@pytest.mark.parametrize("rate", [8000, 44100, 192000])
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_shape_rate_and_sum_are_kept(make, rate: int, channels: int) -> None:
    mixture = noise(rate // 2 + 11, channels)
    before = mixture.copy()
    result = make().separate(mixture, rate, ["drums"])
    assert result.sample_rate == rate
    assert result.estimates["drums"].shape == result.residual.shape == mixture.shape
    total = result.estimates["drums"] + result.residual
    np.testing.assert_allclose(total.numpy(), mixture, atol=1e-4)
    np.testing.assert_array_equal(mixture, before)
    assert 0 <= result.presence["drums"] <= 1


def test_pairs_of_speakers_are_separated_as_stereo_and_the_others_alone(make) -> None:
    mixture, separator = noise(RATE, 6), make()
    whole = separator.separate(mixture, RATE, ["drums"]).estimates["drums"]
    for group in ([0, 1], [2], [3], [4, 5]):
        alone = separator.separate(mixture[group], RATE, ["drums"]).estimates["drums"]
        np.testing.assert_allclose(whole[group].numpy(), alone.numpy(), atol=1e-5)


def test_opposite_polarity_keeps_its_presence(make) -> None:
    mixture = noise(RATE, 1)
    same, opposite = (
        make().separate(np.concatenate([mixture, sign * mixture]), RATE, ["drums"]).presence
        for sign in (1, -1)
    )
    assert opposite["drums"] == pytest.approx(same["drums"], abs=0.05)


def test_eight_channels_and_one_sample(make) -> None:
    separator = make()
    assert separator.separate(noise(3000, 8), RATE, ["drums"]).residual.shape == (8, 3000)
    single = separator.separate(noise(1), RATE, ["drums"])
    assert single.estimates["drums"].shape == (2, 1) and torch.isfinite(single.residual).all()


def test_the_arrival_does_not_matter_and_twice_is_the_same(make) -> None:
    mixture = noise(4 * RATE)
    separator = make()
    whole = separator.separate(mixture, RATE, ["drums", "bass"])
    for block_samples in (RATE // 3, RATE, 7 * RATE):
        blocks = [mixture[:, i : i + block_samples] for i in range(0, 4 * RATE, block_samples)]
        stream = separator.stream(blocks, RATE, 2, ["drums", "bass"])
        pieces = list(stream)
        estimates = np.concatenate([piece.estimates for piece in pieces], axis=-1)
        np.testing.assert_allclose(estimates[0], whole.estimates["drums"].numpy(), atol=1e-6)
        np.testing.assert_allclose(estimates[1], whole.estimates["bass"].numpy(), atol=1e-6)


def test_the_number_of_threads_does_not_matter(make) -> None:
    mixture = noise(6 * RATE)
    one, three = (make(threads=n).separate(mixture, RATE, ["drums"]) for n in (1, 3))
    assert torch.equal(one.estimates["drums"], three.estimates["drums"])
    assert one.presence == three.presence


def test_silence_gives_silence(make) -> None:
    result = make().separate(np.zeros((2, RATE), np.float32), RATE, ["drums", "vocals"])
    for estimate in (*result.estimates.values(), result.residual):
        assert torch.isfinite(estimate).all() and not estimate.any()
    assert set(result.presence.values()) == {0.0}


def test_shared_queries_sum_to_the_mixture_in_any_order(make) -> None:
    """The last estimate is what the others leave; asked first it is what its mask gives."""
    mixture = noise(RATE)
    names = ["vocals", "drums", "bass", "other"]
    result = make(sum_to_mixture=True).separate(mixture, RATE, names)
    assert result.residual.abs().max() < 1e-6
    again = make(sum_to_mixture=True).separate(mixture, RATE, [names[-1], *names[:-1]])
    for name in names:
        torch.testing.assert_close(again.estimates[name], result.estimates[name], atol=1e-5, rtol=0)


def test_what_is_doubtful_falls_to_other(make) -> None:
    mixture = noise(RATE)
    less = Query("other", ("other",), exclude=("dog barking",))  # no longer plainly `other`
    drums = {}
    for name in ("other", "other instruments", "less"):
        asked = [less if name == "less" else Query(name, (name,)), Query("drums", ("drums",))]
        result = make(sum_to_mixture=True).separate(mixture, RATE, asked)
        drums[name] = result.estimates["drums"].square().sum()
    assert drums["other"] < 0.9 * drums["less"] and drums["other instruments"] < 0.9 * drums["less"]


def test_free_queries_leave_what_none_claims(make) -> None:
    mixture = noise(RATE)
    separator = make()
    alone = separator.separate(mixture, RATE, ["drums"])
    pair = separator.separate(mixture, RATE, ["drums", "drums please"])
    torch.testing.assert_close(alone.estimates["drums"], pair.estimates["drums"])
    assert pair.residual.square().sum() <= alone.residual.square().sum() * 1.001


def test_excluding_lowers_and_strength_bites(make) -> None:
    mixture = noise(RATE)
    plain = make().separate(mixture, RATE, ["vocals"]).estimates["vocals"]
    query = Query("vocals", ("vocals",), exclude=("backing vocals",))
    less = make().separate(mixture, RATE, [query]).estimates["vocals"]
    assert less.square().sum() < plain.square().sum()
    harder = make(mask_exponent=2.0).separate(mixture, RATE, ["vocals"]).estimates["vocals"]
    assert not torch.allclose(harder, plain)


def test_shifts_and_averages_of_models_run(make) -> None:
    mixture = noise(RATE)
    one = make().separate(mixture, RATE, ["drums"]).estimates["drums"]
    both = make(model="a,b").separate(mixture, RATE, ["drums"]).estimates["drums"]
    torch.testing.assert_close(one, both, atol=1e-6, rtol=1e-5)
    shifted = make(shifts=1).separate(mixture, RATE, ["drums"]).estimates["drums"]
    assert shifted.shape == one.shape and not torch.equal(shifted, one)


@pytest.mark.parametrize(
    ("mixture", "queries", "error"),
    [
        (np.zeros((2, 0), np.float32), ["drums"], InputError),
        (np.full((2, 9), np.nan, np.float32), ["drums"], InputError),
        (np.zeros((2, 2, 9), np.float32), ["drums"], InputError),
        (np.zeros((2, 9), np.float32), [], QueryError),
        (np.zeros((2, 9), np.float32), [""], QueryError),
        (np.zeros((2, 9), np.float32), ["drums", "drums"], QueryError),
    ],
)
def test_bad_input_is_one_line(make, mixture, queries, error) -> None:
    with pytest.raises(error) as caught:
        make().separate(mixture, RATE, queries)
    assert "\n" not in str(caught.value)


def test_overlap_over_a_half_is_refused(make) -> None:
    with pytest.raises(SettingsError):
        make(overlap=0.7).separate(noise(RATE), RATE, ["drums"])


def test_loaded_models_are_taken_by_the_old_keyword_too(make) -> None:
    models = make().models
    with pytest.warns(DeprecationWarning, match="`sources` is called `models` now"):
        assert Separator(sources=models).models == models
