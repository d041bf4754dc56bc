"""From masks to windows of sources, against PyTorch's own transform, with masks of the test."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from separate.backends.masking import MaskModel, PreparedQuery, apply_mask, sum_to_mixture
from separate.backends.nets import open_model, wrap
from separate.errors import CheckpointError, QueryError
from separate.models.hdemucs import HDemucs, HDemucsConfig
from separate.models.ibm_cnn import IbmCnn, IbmCnnConfig
from separate.models.registry import Card
from separate.models.spleeter import Spleeter, SpleeterConfig
from separate.models.unet import SmallUNet, UNetConfig
from separate.queries.encoders import load_encoder
from separate.queries.query import Query, parse_query
from separate.settings import Settings

RATE = 44_100
SAMPLES = 70_001  # 69.4 hops: two blocks of 64 frames
FRAMES, BINS = 128, 2049


def card(kind: str) -> Card:
    return Card("mine", kind, "", {}, "", query_encoder="embedded", sha256="5a" * 32)


def mixture(samples: int = SAMPLES) -> Tensor:
    return 0.1 * torch.randn(2, samples, generator=torch.Generator().manual_seed(1))


def random_masks(count: int, bins: int = BINS) -> Tensor:
    return torch.rand(count, 2, FRAMES, bins, generator=torch.Generator().manual_seed(count))


def spectrum(stereo: Tensor) -> Tensor:
    """Return `(2, frames, bins)`, complex, of a window that silence brings to whole blocks."""
    padded = nn.functional.pad(stereo, (0, (FRAMES - 1) * 1024 - stereo.shape[-1]))
    window = torch.hann_window(4096)
    found = torch.stft(padded, 4096, 1024, window=window, pad_mode="constant", return_complex=True)
    return found.transpose(1, 2)


def masked(stereo: Tensor, mask: Tensor) -> Tensor:
    found = (spectrum(stereo) * mask).transpose(1, 2)
    window = torch.hann_window(4096)
    return torch.istft(found, 4096, 1024, window=window, length=stereo.shape[-1])


class Fixed(MaskModel):
    """Gives the masks that it was made with; things are their numbers."""

    def __init__(
        self,
        masks: Tensor,
        kept: Sequence[bool] = (),
        as_good: Sequence[bool] = (),
        **settings: object,
    ) -> None:
        super().__init__(card("fixed"), Settings(**settings))
        self.given, self.kept, self.as_good = masks, kept, as_good

    def prepare(self, queries: Sequence[Query]) -> list[PreparedQuery]:
        return [PreparedQuery(int(query.name)) for query in queries]

    def mask(self, magnitude: Tensor, wanted: Sequence[object]) -> list[Callable[[slice], Tensor]]:
        return [lambda frames, at=int(thing): self.given[at][:, frames] for thing in wanted]

    def locked(self, prepared: Sequence[PreparedQuery]) -> list[bool]:
        return list(self.kept) or super().locked(prepared)

    def competing(self, prepared: Sequence[PreparedQuery]) -> list[bool]:
        return list(self.as_good) or super().competing(prepared)

    def found(self, stereo: Tensor, rest: Sequence[bool] = ()) -> Tensor:
        queries = [PreparedQuery(at) for at in range(len(self.given))]
        if rest:
            queries = [PreparedQuery(at, is_rest=flag) for at, flag in enumerate(rest)]
        return self.separate(stereo, queries)


def check(found: Tensor, expected: Sequence[Tensor]) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=2e-6, rtol=0)


def test_a_mask_reaches_its_own_channel_frame_and_bin() -> None:
    stereo, masks = mixture(), random_masks(1)
    before = stereo.clone()
    estimate = masked(stereo, masks[0])
    check(Fixed(masks).found(stereo), [estimate, estimate])
    assert torch.equal(stereo, before)


@pytest.mark.parametrize("samples", [1, 1024, 64_511, 64_512, 64_513, SAMPLES])
def test_ones_give_the_mixture_back_at_any_length(samples: int) -> None:
    stereo = mixture(samples)
    check(Fixed(torch.ones(1, 2, FRAMES, BINS)).found(stereo), [stereo, stereo])


def test_magnitudes_are_those_of_the_padded_window() -> None:
    stereo, model = 10 * mixture(), Fixed(random_masks(1))  # loud: nothing amplifies it
    stereo -= stereo.mean(dim=1, keepdim=True)
    seen: list[Tensor] = []
    model.mask = lambda magnitude, wanted: [  # type: ignore[method-assign]
        seen.append(magnitude) or (lambda frames: model.given[0][:, frames])
    ]
    model.found(stereo)
    torch.testing.assert_close(seen[0], spectrum(stereo).abs(), atol=1e-4, rtol=1e-4)
    model.found(stereo[:, : 63 * 1024])
    model.found(stereo[:, : 63 * 1024 + 1])
    assert [magnitude.shape for magnitude in seen[1:]] == [(2, 64, BINS), (2, 128, BINS)]


def test_free_queries_claim_the_largest_of_their_masks() -> None:
    stereo, masks = mixture(), random_masks(3)
    estimates = [masked(stereo, mask) for mask in masks]
    check(Fixed(masks).found(stereo), [*estimates, masked(stereo, masks.amax(0))])


def test_shared_masks_sum_to_one() -> None:
    stereo, masks = mixture(), random_masks(3)
    parts = masks / masks.sum(0)
    check(
        Fixed(masks, sum_to_mixture=True).found(stereo),
        [*(masked(stereo, m) for m in parts), stereo],
    )


def test_one_shared_query_is_not_the_whole_mixture() -> None:
    stereo, masks = mixture(), random_masks(1)
    estimate = masked(stereo, masks[0])
    check(Fixed(masks, sum_to_mixture=True).found(stereo), [estimate, estimate])


def test_a_locked_mask_is_kept_and_the_others_share_what_it_leaves() -> None:
    stereo, (voice, drums, bass) = mixture(), random_masks(3)
    left = (1 - voice) / (drums + bass)
    parts = [voice, drums * left, bass * left]
    found = Fixed(
        torch.stack([voice, drums, bass]), [True, False, False], sum_to_mixture=True
    ).found(stereo)
    check(found, [*(masked(stereo, m) for m in parts), stereo])


def test_locked_masks_that_take_too_much_are_scaled_down() -> None:
    stereo, (one, two, rest) = mixture(), random_masks(3)
    scale = (one + two).clamp_min(1)
    parts = [one / scale, two / scale, rest / rest * (1 - one - two).clamp_min(0)]
    found = Fixed(torch.stack([one, two, rest]), [True, True, False], sum_to_mixture=True).found(
        stereo
    )
    check(found, [*(masked(stereo, m) for m in parts), stereo])
    only = Fixed(torch.stack([one, two]), [True, True], sum_to_mixture=True).found(stereo)
    check(only, [masked(stereo, one / (one + two)), masked(stereo, two / (one + two)), stereo])


def test_a_rival_takes_its_share_of_a_locked_mask() -> None:
    stereo, (voice, dog, drums) = mixture(), random_masks(3)
    kept = voice.pow(3) / (voice.square() + dog.square())
    left = (1 - kept) / (dog + drums)
    model = Fixed(
        torch.stack([voice, dog, drums]), [True, False, False], [False, True, False],
        sum_to_mixture=True,
    )  # fmt: skip
    parts = [kept, dog * left, drums * left]
    check(model.found(stereo), [*(masked(stereo, m) for m in parts), stereo])


@pytest.mark.parametrize("locked", [(), (0,), (0, 1), (0, 1, 2, 3)])
@pytest.mark.parametrize("competing", [(), (2,)])
def test_shares_do_not_depend_on_the_order(locked: tuple, competing: tuple) -> None:
    masks = [*random_masks(3), torch.zeros(2, FRAMES, BINS)]
    flags = [[at in chosen for at in range(4)] for chosen in (locked, competing)]

    def shares(order: list[int]) -> dict[int, Tensor]:
        found = sum_to_mixture(*([row[at] for at in order] for row in (masks, *flags)))
        whole = [*found, 1 - torch.stack(found).sum(0)]
        return dict(zip(order, whole, strict=True))

    first = shares([0, 1, 2, 3])
    for order in ([3, 2, 1, 0], [1, 3, 0, 2], [2, 0, 3, 1]):
        for at, share in shares(order).items():
            torch.testing.assert_close(share, first[at], atol=1e-5, rtol=0)


def test_what_is_doubtful_falls_to_the_rest() -> None:
    stereo, masks = mixture(), random_masks(3)
    voice, drums, rest = masks
    hard = drums**1.5
    whole = voice + hard + rest
    expected = [masked(stereo, mask / whole) for mask in (voice, hard, rest)]
    kept, left = masked(stereo, voice), (1 - voice) / (hard + rest)
    rests = [False, False, True]
    found = Fixed(masks, [True, False, False], sum_to_mixture=True).found(stereo, rests)
    check(found, [kept, masked(stereo, hard * left), masked(stereo, rest * left), stereo])
    found = Fixed(masks, sum_to_mixture=True).found(stereo, rests)
    whole = voice**1.5 + hard + rest
    expected = [masked(stereo, mask / whole) for mask in (voice**1.5, hard, rest)]
    check(found, [*expected, stereo])
    free = Fixed(masks).found(stereo, rests)  # nothing is shared out: nothing changes
    check(free[:3], [masked(stereo, mask) for mask in masks])


def test_where_all_masks_are_0_each_gets_the_same() -> None:
    stereo = mixture()
    found = Fixed(torch.zeros(2, 2, FRAMES, BINS), sum_to_mixture=True).found(stereo)
    check(found, [stereo / 2, stereo / 2, stereo])


def test_above_its_band_a_mask_goes_on_with_the_mean_of_its_top_bins() -> None:
    mask = random_masks(1, bins=1024)[0]
    above = mask[..., -64:].mean(-1, keepdim=True).expand(-1, -1, BINS - 1024)
    whole = spectrum(mixture())
    expected = (whole * torch.cat([mask, above], -1)).transpose(1, 2)
    torch.testing.assert_close(apply_mask(mask, whole.transpose(1, 2)), expected)


@pytest.mark.parametrize(
    ("options", "frames", "overlap"),
    [
        ({}, 512, 0.03125),
        ({"segment": 0.5}, 64, 0.03125),
        ({"segment": 2.3}, 128, 0.03125),  # 99 frames: nearer to 128 than to 64
        ({"segment": 2.1}, 64, 0.03125),  # 90 frames
        ({"segment": 30.0, "overlap": 0.25}, 1280, 0.25),
        ({"overlap": 0.0}, 512, 0.0),
    ],
)
def test_windows_are_whole_blocks_of_frames(options: dict, frames: int, overlap: float) -> None:
    grid = Fixed(random_masks(1)).segmentation(Settings(**options))
    samples = (frames - 1) * 1024
    assert (grid.segment_samples, grid.overlap_samples) == (samples, int(samples * overlap))


def test_what_a_query_leaves_out_is_taken_out_of_its_mask() -> None:
    stereo, (whole, part, more, other) = mixture(), random_masks(4)
    model = Fixed(torch.stack([whole, part, more, other]))
    queries = [PreparedQuery(0, (1, 2), (True, True), 2.0), PreparedQuery(3)]
    found = model.separate(stereo, queries)
    left = whole * ((1 - part) * (1 - more)) ** 2
    expected = [masked(stereo, left), masked(stereo, other)]
    check(found, [*expected, masked(stereo, torch.maximum(left, other))])
    found = model.separate(stereo, [PreparedQuery(0, (1,), (True,))])
    check(found, [masked(stereo, whole * (1 - part))] * 2)


# The ways from a network's output to masks.


def masks_of(model: MaskModel, wanted: Sequence[object], magnitude: Tensor) -> Tensor:
    with torch.inference_mode():
        masks = model.mask(magnitude, wanted)
        whole = torch.stack([mask(slice(None)) for mask in masks])
        pieces = [torch.stack([mask(slice(at, at + 32)) for mask in masks]) for at in (0, 32)]
    torch.testing.assert_close(torch.cat(pieces, dim=2), whole[:, :, :64])
    return whole


def spleeter(**settings: object) -> tuple[object, Tensor]:
    with torch.device("meta"):  # its weights are not read
        net = Spleeter(SpleeterConfig(("vocals", "drums", "bass")))
    cascade = wrap(net, card("spleeter"), Settings(**settings))
    estimates = torch.rand(3, 2, 64, 1024, generator=torch.Generator().manual_seed(0))
    cascade.source.net = lambda magnitude: estimates[None]
    return cascade.source, estimates


@pytest.mark.parametrize("strength", [1.0, 2.0, 0.5])
def test_spleeter_masks_are_powers_over_the_power_of_all(strength: float) -> None:
    model, estimates = spleeter(mask_exponent=strength)
    assert model.stems == ("vocals", "drums", "bass") and model.name == "mine"
    wanted = [query.positive for query in model.prepare([Query("bass"), Query("vocals")])]
    found = masks_of(model, wanted, torch.rand(2, 64, BINS))
    for stem, mask in zip((2, 0), found, strict=True):
        power = estimates[stem].square()
        rest = estimates.square().sum(0) - power
        expected = power**strength / (power**strength + rest**strength)
        torch.testing.assert_close(mask, expected, atol=5e-3, rtol=0)


def test_spleeter_sees_its_own_bins_alone() -> None:
    model, estimates = spleeter()
    seen = []
    model.net = lambda magnitude: seen.append(magnitude) or estimates[None]
    magnitude = torch.rand(2, 64, BINS)
    model.mask(magnitude, ["drums"])
    assert torch.equal(seen[0], magnitude[None, ..., :1024])


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("strength", [1.0, 3.0])
def test_the_small_unets_masks_are_its_networks(channels: int, strength: float) -> None:
    torch.manual_seed(0)
    net = SmallUNet(UNetConfig(channels=channels, widths=(2,) * 6, film_dim=4)).eval()
    nn.init.normal_(net.film.out.weight, std=0.5)
    model = wrap(net, card("small-unet"), Settings(mask_exponent=strength))
    prepared = model.prepare(
        [Query("drums", ("drums",)), Query("rain", ("rain",), exclude=("dog",))]
    )
    magnitude = 20 * torch.rand(2, 64, BINS)
    vectors = load_encoder().embed_text(["rain", "dog", "drums"])
    asked = [prepared[1].positive, prepared[1].negative[0], prepared[0].positive]
    found = masks_of(model, asked, magnitude)
    seen = magnitude[:, None] if channels == 1 else magnitude[None]
    for mask, vector in zip(found, vectors, strict=True):
        with torch.inference_mode():
            plain = net(seen, vector.expand(len(seen), -1)).flatten(0, 1)
        torch.testing.assert_close(mask, (strength * plain.logit()).sigmoid(), atol=1e-4, rtol=1e-3)
    assert (found[0] - found[2]).abs().max() > 0.01


@pytest.mark.parametrize("strength", [1.0, 2.0])
def test_the_binary_mask_is_pruned_and_all_else_is_its_complement(strength: float) -> None:
    config = IbmCnnConfig(channels=2, maps=1, hidden=2, threshold=0.4, exponent=0.5)
    net = IbmCnn(config).eval()
    likelihood = torch.rand(1, 64, BINS, generator=torch.Generator().manual_seed(0))
    seen = []
    net.forward = lambda magnitude: seen.append(magnitude) or likelihood
    model = wrap(net, card("ibm-cnn"), Settings(mask_exponent=strength)).source
    assert (model.sample_rate, model.hop_samples, model.stems[0]) == (16_000, 256, "vocals")
    wanted = [query.positive for query in model.prepare([Query("accompaniment"), Query("vocals")])]
    magnitude = torch.rand(2, 64, BINS)
    rest, voice = masks_of(model, wanted, magnitude)
    torch.testing.assert_close(seen[0], magnitude.mean(0)[None])
    torch.testing.assert_close(voice, likelihood ** (strength / 2) * (likelihood >= 0.4))
    torch.testing.assert_close(rest, 1 - voice)


@pytest.fixture(scope="module")
def default():
    return open_model("default", Settings())


def test_the_query_models_masks_are_its_networks(default: MaskModel) -> None:
    names = ["drums", "vocals", "dog barking"]
    prepared = default.prepare([parse_query(name) for name in names])
    magnitude = 20 * torch.rand(2, 64, BINS)
    found = masks_of(default, [query.positive for query in prepared], magnitude)
    with torch.inference_mode():
        for mask, vector in zip(found, load_encoder().embed_text(names), strict=True):
            plain = default.net.net(magnitude[None], vector[None])[0]
            torch.testing.assert_close(mask, plain, atol=2e-3, rtol=0)


def test_a_larger_strength_decides_harder(default: MaskModel) -> None:
    magnitude = 20 * torch.rand(2, 64, BINS)
    (query,) = default.prepare([parse_query("vocals")])
    soft = masks_of(default, [query.positive], magnitude)[0, ..., :1024]
    hard = masks_of(open_model("default", Settings(mask_exponent=2)), [query.positive], magnitude)[
        0, ..., :1024
    ]
    expected = soft.square() / (soft.square() + (1 - soft).square())
    torch.testing.assert_close(hard, expected, atol=1e-4, rtol=1e-3)


def test_only_the_voices_masks_are_locked_and_other_is_the_rest(default: MaskModel) -> None:
    names = ["vocals", "drums", "bass", "other", "dog barking", "female singer"]
    prepared = default.prepare([parse_query(name) for name in names])
    assert default.locked(prepared) == [True, False, False, False, False, True]
    assert [query.is_rest for query in prepared] == [False] * 3 + [True] + [False] * 2


def test_queries_are_prepared_with_all_that_they_say(default: MaskModel) -> None:
    query = parse_query("drums", exclude=["cymbals", "vocals"], negative_weight=0.7)
    (prepared,) = default.prepare([query])
    assert (prepared.is_part, prepared.negative_weight) == ((True, False), 0.7)
    assert len(prepared.negative) == 2
    assert default.routes([prepared]) == {}


@pytest.mark.parametrize(
    ("phrase", "broader"),
    [
        ("female singer", "vocals"), ("lead vocals", "vocals"), ("speech", "vocals"),
        ("rapper", "vocals"), ("vocals", None), ("the singer", None), ("snare", None),
        ("dog barking", None), ("other", None),
    ],
)  # fmt: skip
def test_words_for_one_kind_of_voice_are_answered_as_vocals(
    default: MaskModel, phrase: str, broader: str | None
) -> None:
    assert default.answered_as(default.prepare([parse_query(phrase)])) == [broader]


@pytest.mark.parametrize(
    ("phrase", "negative", "named"),
    [
        ("singer", "backing vocals", "vocals"), ("female vocals", "male vocals", "vocals"),
        ("speech", "singing", "vocals"), ("drums", "drum kit", "drums"),
        ("lead guitar", "rhythm guitar", "electric guitar"),
    ],
)  # fmt: skip
def test_a_negative_that_has_the_same_mask_is_refused(
    default: MaskModel, phrase: str, negative: str, named: str
) -> None:
    query = parse_query(phrase, exclude=[negative])
    with pytest.raises(QueryError, match=f"{negative}.*can't be left out.*'{named}'") as caught:
        default.prepare([query])
    assert "\n" not in str(caught.value)
    assert default.prepare([replace(query, negative_weight=0.0)])  # it changes nothing


@pytest.mark.parametrize(
    ("phrase", "negative"),
    [("guitar", "piano"), ("drums", "cymbals"), ("flute", "clarinet"), ("guitar", "vocals"),
     ("dog bark", "rain"), ("electric guitar", "clean guitar"), ("bass guitar", "double bass")],
)  # fmt: skip
def test_other_negatives_are_obeyed(default: MaskModel, phrase: str, negative: str) -> None:
    (prepared,) = default.prepare([parse_query(phrase, exclude=[negative])])
    assert len(prepared.negative) == 1


# Waveform models, and which network gets which way.


class Outputs(nn.Module):
    def forward(self, waveform: Tensor) -> Tensor:
        return torch.stack([waveform * gain for gain in (0.1, 0.2, 0.3, 0.4)], dim=1)


def test_waveform_stems_are_the_networks_outputs_by_name() -> None:
    net = HDemucs(HDemucsConfig(channels=4)).eval()
    net.net = Outputs()
    model = wrap(net, card("hdemucs"), Settings()).source
    assert (model.name, model.sha256, model.hop_samples) == ("mine", "5a" * 32, 1024)
    stereo = mixture(20_000)
    found = model.separate(stereo, model.prepare([Query("vocals"), Query("bass")]))
    check(found, [0.4 * stereo, 0.2 * stereo, 0.6 * stereo])
    assert model.routes(None) == {}
    for options, samples, overlap in (
        ({}, 441_000, 44_100),
        ({"segment": 1.5}, 66_150, 6_615),
        ({"segment": 2.0, "overlap": 0.0}, 88_200, 0),
        ({"overlap": 0.5}, 441_000, 220_500),
    ):
        grid = model.segmentation(Settings(**options))
        assert (grid.segment_samples, grid.overlap_samples) == (samples, overlap)


def test_a_network_that_does_not_separate_is_refused(default: MaskModel) -> None:
    with pytest.raises(QueryError, match="mine"):
        wrap(nn.Linear(1, 1), card("linear"), Settings())
    with pytest.raises(CheckpointError):
        open_model("nothing of this name", Settings())
    small = SmallUNet(UNetConfig(widths=(2,) * 6, film_dim=4))
    for net in (default.net.net, small):
        other = Card("mine", "query-unet", "", {}, "", query_encoder="of this name")
        with pytest.raises(QueryError, match="no query net 'of this name'"):
            wrap(net, other, Settings())


def test_all_that_a_card_says_reaches_the_record(default: MaskModel) -> None:
    net = SmallUNet(UNetConfig(widths=(2,) * 6, film_dim=4))
    plain = Card("plain", "small-unet", "", {}, "", sha256="12")
    model = wrap(net, plain, Settings())
    assert (model.sha256, model.sample_rate, model.hop_samples) == ("12", RATE, 1024)
    assert model.encoder is load_encoder("embedded")  # where the card names none
    assert default.encoder is load_encoder("embedded")
    assert np.isclose(np.linalg.norm(model.prepare([parse_query("rain")])[0].positive), 1)
