"""The recipes that learn from mixtures, on the small U-Net and made-up sounds."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from separate.models.stft import StftConfig, istft
from separate.models.unet import SmallUNet, UNetConfig
from separate.queries.encoders import load_encoder
from separate.train.data.folders import load_corpus
from separate.train.data.mixtures import MixtureConfig, MixtureMixer
from separate.train.data.phrases import PhraseBook
from separate.train.loop import train
from separate.train.recipes.scorers import (
    AugmentedScorer,
    EncoderScorer,
    MeanScorer,
    TaggerScorer,
    Variation,
    class_of,
    open_scorer,
)
from separate.train.recipes.weak import PAPER, RECIPES, Weak, WeakConfig
from separate.train.settings import LoopConfig
from separate.train.trainable import TrainableSmallUNet

LABELS = ("dog_bark", "rain", "flute")
TINY = UNetConfig(widths=(4, 8, 8, 8, 8, 8), film_dim=16)


class Bright:
    """Scores a phrase by the share of energy above 1 kHz, or below."""

    name = "bright"

    def similarity(self, waveform: Tensor, sample_rate: int, phrases: Sequence[str]) -> Tensor:
        spectrum = torch.fft.rfft(waveform).abs().square()
        split = round(1000 / sample_rate * waveform.shape[-1])
        share = spectrum[:, split:].sum(1) / (spectrum.sum(1) + 1e-9)
        signs = torch.tensor([1.0 if phrase == "flute" else -1.0 for phrase in phrases])
        return 10 * share[:, None] * signs

    def centre(self, mixtures: Callable[[], Tensor], sample_rate: int) -> None:
        assert mixtures().ndim == 2 and sample_rate == 44_100


@pytest.fixture
def mixers(tmp_path: Path, write_clips: Callable) -> tuple[MixtureMixer, MixtureMixer]:
    write_clips(tmp_path / "clips", LABELS)
    corpus = load_corpus([tmp_path / "clips"])
    config = {"frames": 64, "channels": 1}
    return (
        MixtureMixer(corpus, MixtureConfig(sources=2, **config)),
        MixtureMixer(corpus, MixtureConfig(sources=1, **config)),
    )


def recipe(
    mixers: tuple[MixtureMixer, MixtureMixer], name: str, config: WeakConfig | None = None
) -> Weak:
    torch.manual_seed(0)
    phrases = PhraseBook(load_encoder("embedded"))
    return Weak(
        TrainableSmallUNet(SmallUNet(TINY)),
        phrases,
        name=name,
        config=config,
        mixer=mixers[0],
        singles=mixers[1],
        scorer=Bright(),
    )


CONSISTENT = {"unsupervised": 5.0, "consistency": 5.0}


@pytest.mark.parametrize(
    ("name", "config", "terms"),
    [
        ("unsupervised", None, {"unsupervised": 5.0}),
        ("weak", None, CONSISTENT),
        ("weak", PAPER, {**CONSISTENT, "contrastive": 0.5}),
        ("semi", None, {**CONSISTENT, "supervised": 5.0}),
        (
            "semi",
            replace(PAPER, supervised_weight=5.0),
            {**CONSISTENT, "contrastive": 0.5, "supervised": 5.0},
        ),
        ("mix-and-separate", None, {"supervised": 5.0}),
    ],
)
def test_the_total_is_the_weighted_sum(
    mixers: tuple, name: str, config: WeakConfig | None, terms: dict[str, float]
) -> None:
    made = recipe(mixers, name, config)
    loss, parts = made.loss([0, 1])
    assert set(parts) == {"loss", *terms}
    expected = sum(weight * parts[term] for term, weight in terms.items())
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-5)
    loss.backward()
    for parameter in made.model.parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all()


def test_the_weighting_is_the_whole_mixtures_unless_the_papers_is_asked_for(mixers: tuple) -> None:
    found = {
        weighting: recipe(mixers, "weak", WeakConfig(weighting=weighting)).loss([0])[1]
        for weighting in ("mixture", "part")
    }
    assert recipe(mixers, "weak").loss([0])[1] == found["mixture"]
    # Before the first step every mask leaks: that costs more by the whole mixture's loudness.
    assert found["mixture"]["consistency"] > 1.1 * found["part"]["consistency"]
    assert found["mixture"]["unsupervised"] == found["part"]["unsupervised"]


def test_contrast_begins_when_it_is_told_to(mixers: tuple) -> None:
    made = recipe(mixers, "weak", WeakConfig(contrastive_weight=0.05, contrastive_after=4))
    assert "contrastive" not in made.loss([2, 3])[1]
    assert "contrastive" in made.loss([4, 5])[1]


def test_a_perfect_trunk_has_no_loss_of_mixtures(mixers: tuple) -> None:
    """Masks of one where a phrase is all there is: both L1 losses are those of the rest."""
    made = recipe(mixers, "weak")

    class One:
        model = made.model

        def encode(self, magnitude: Tensor) -> Tensor:
            return magnitude

        def decode(self, features: Tensor, query: Tensor) -> Tensor:
            return torch.full((*features.shape[:3], 512), 30.0)

    made.net = One()  # type: ignore[assignment]
    batch = mixers[0].batch([0])
    sound = istft(batch.whole.transpose(-1, -2), StftConfig().samples(64), StftConfig())
    scale = 1022 / 4096 * 0.2 / sound.square().mean().sqrt()  # as near full scale
    whole, parts = scale * batch.whole.abs(), scale * batch.parts.abs()
    weight = whole.log1p().clamp(1e-3, 10)
    wanted = sum(float((weight * (whole - parts[:, n]).abs()).mean()) for n in range(2))
    found = made.loss([0])[1]["unsupervised"]
    assert found == pytest.approx(wanted, rel=0.05)  # the ends are padded


def test_the_contrastive_loss_moves_estimates_towards_their_phrases(mixers: tuple) -> None:
    only = WeakConfig(0.0, 0.0, contrastive_weight=1.0)
    made = recipe(mixers, "weak", only)
    before = made.loss([0, 1])[1]["contrastive"]
    optimiser = torch.optim.Adam(made.model.parameters(), 3e-3)
    for _ in range(25):
        loss, _ = made.loss([0, 1])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert made.loss([0, 1])[1]["contrastive"] < before - 0.05


def test_the_loop_lowers_the_loss(mixers: tuple, tmp_path: Path) -> None:
    made = recipe(mixers, "mix-and-separate")
    first = made.loss([0, 1, 2, 3])[1]["loss"]
    train(
        made, LoopConfig(steps=50, batch=2, learning_rate=5e-3, warmup=1), tmp_path / "r", log=str
    )
    assert made.loss([0, 1, 2, 3])[1]["loss"] < 0.8 * first


def test_what_a_loss_needs_must_be_given(mixers: tuple) -> None:
    net, phrases = TrainableSmallUNet(SmallUNet(TINY)), PhraseBook(load_encoder("embedded"))
    with pytest.raises(ValueError, match="scorer"):
        Weak(net, phrases, config=PAPER, mixer=mixers[0])
    with pytest.raises(ValueError, match="single sources"):
        Weak(net, phrases, name="mix-and-separate")
    with pytest.raises(ValueError, match="mixer"):
        Weak(net, phrases, name="unsupervised")
    assert set(RECIPES) == {"unsupervised", "weak", "semi", "mix-and-separate"}


def test_our_own_query_net_listens_at_its_temperature() -> None:
    encoder = load_encoder("embedded")
    scorer = EncoderScorer(encoder)
    sound = (0.1 * torch.sin(torch.arange(44100) * 0.05))[None].requires_grad_()
    found = scorer.similarity(sound, 44100, ["flute", "dog_bark"])
    texts = encoder.embed_text(["the sound of flute", "the sound of dog bark"])
    wanted = encoder.embed_audio(sound, 44100) @ texts.T / 0.07
    torch.testing.assert_close(found, wanted)
    found[0, 0].backward()
    assert sound.grad is not None and sound.grad.abs().max() > 0
    assert all(p.grad is None for p in encoder.net.parameters())


def test_a_tagger_listens_by_its_classes() -> None:
    from separate.models.tagger import TaggerNet
    from separate.queries.vocabulary import audioset_classes

    torch.manual_seed(0)
    net = TaggerNet()
    scorer = TaggerScorer(net, "random", {"rooster": "Chicken, rooster"})
    sound = (0.1 * torch.randn(2, 32000)).requires_grad_()
    found = scorer.similarity(sound, 32000, ["flute", "rooster"])
    names = audioset_classes()
    rows = [names.index("Flute"), names.index("Chicken, rooster")]
    wanted = net(sound * (0.5 / sound.detach().abs().amax(1, keepdim=True)))[0][:, rows]
    torch.testing.assert_close(found, wanted)
    found[0, 0].backward()
    assert sound.grad is not None and sound.grad[0].abs().max() > 0
    scorer.centre(sound.detach, 32000)  # the mean of both
    centred = scorer.similarity(sound.detach(), 32000, ["flute", "rooster"])
    torch.testing.assert_close(centred, wanted.detach() - wanted.detach().mean(0))


def test_the_class_of_a_phrase() -> None:
    from separate.queries.vocabulary import audioset_classes

    names = audioset_classes()
    assert names[class_of("saxophone")] == "Saxophone"
    assert names[class_of("dog_bark")] in ("Dog", "Bark")
    assert names[class_of("Bark")] == "Bark"


def test_the_shared_tagger_opens_as_a_listener(shared_data: Path) -> None:
    scorer = open_scorer(str(shared_data / "audioset" / "mn04_as_mAP_432.pt"))
    assert isinstance(scorer, TaggerScorer)
    noise = torch.randn(1, 44100) * 0.1
    assert math.isfinite(float(scorer.similarity(noise, 44100, ["rain"])[0, 0]))


def test_varied_sounds_keep_their_length_and_change_within_bounds() -> None:
    torch.manual_seed(0)
    sound = torch.randn(3, 8000)
    plain = AugmentedScorer(Bright(), Variation(0.0, 0.0, (200.0, 200.0)))
    torch.testing.assert_close(plain.augment(sound), sound, atol=1e-4, rtol=1e-4)
    varied = AugmentedScorer(Bright(), Variation(6.0, 6.0, (60.0, 60.0)))
    first, second = varied.augment(sound), varied.augment(sound)
    assert first.shape == sound.shape and not torch.allclose(first, second)
    change_db = 20 * (first.norm(dim=1) / sound.norm(dim=1)).log10()
    assert (change_db.abs() < 12.1).all() and change_db.abs().max() > 0.5
    noise = AugmentedScorer(Bright(), Variation(0.0, 0.0, (20.0, 20.0)))
    added = (noise.augment(sound) - sound).square().mean().sqrt() / sound.square().mean().sqrt()
    assert float(added) == pytest.approx(0.1, rel=0.1)


def test_a_varied_listener_passes_gradients_and_repeats_with_the_generator() -> None:
    varied = AugmentedScorer(Bright())
    sound = torch.randn(2, 8000).requires_grad_()
    torch.manual_seed(5)
    found = varied.similarity(sound, 44_100, ["flute", "rain"])
    torch.manual_seed(5)
    torch.testing.assert_close(varied.similarity(sound, 44_100, ["flute", "rain"]), found)
    found[0, 0].backward()
    assert sound.grad is not None and sound.grad[0].abs().max() > 0
    assert varied.name == "bright, varied"
    varied.centre(lambda: sound.detach(), 44_100)


def test_joint_listeners_score_by_the_mean() -> None:
    class Half(Bright):
        name = "half"

        def similarity(self, waveform: Tensor, sample_rate: int, phrases: Sequence[str]) -> Tensor:
            return 0.5 * super().similarity(waveform, sample_rate, phrases)

    joint, sound = MeanScorer([Bright(), Half()]), torch.randn(2, 8000)
    wanted = 0.75 * Bright().similarity(sound, 44_100, ["flute", "rain"])
    torch.testing.assert_close(joint.similarity(sound, 44_100, ["flute", "rain"]), wanted)
    assert joint.name == "bright and half"
