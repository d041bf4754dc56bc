"""Anchors: where a class is most active, and pairs at equal energy."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from separate.errors import DataError
from separate.models.unet import SmallUNet, UNetConfig
from separate.queries.encoders import load_encoder
from separate.queries.vocabulary import audioset_classes
from separate.train.data.folders import Clip, Corpus, load_corpus
from separate.train.data.phrases import PhraseBook
from separate.train.recipes.anchors import AnchorConfig, AnchorMixer, Anchors, Miner, class_mean
from separate.train.recipes.scorers import class_of
from separate.train.trainable import TrainableSmallUNet

RATE = 44100
TINY = UNetConfig(widths=(4, 8, 8, 8, 8, 8), film_dim=16, channels=2)


class Loud:
    """Takes what is loud for every class."""

    name = "loud"

    def likelihoods(self, waveform: Tensor) -> Tensor:
        level = waveform.square().mean(1, keepdim=True).sqrt()
        return level.expand(-1, len(audioset_classes())).clamp(0, 1)


def padded(seconds: float, at_seconds: float) -> np.ndarray:
    """A loud second in quiet noise."""
    rng = np.random.default_rng(0)
    audio = rng.normal(0, 30, (round(seconds * RATE), 2))
    start = round(at_seconds * RATE)
    audio[start : start + RATE] += rng.normal(0, 8000, (RATE, 2))
    return audio.astype(np.int16)


def test_the_most_active_two_seconds_are_found() -> None:
    miner = Miner(Loud())
    middle = miner.middle("dog_bark", 0, padded(12, 7.5)) / RATE
    assert 7.5 <= middle <= 8.5
    assert miner.middle("dog_bark", 1, padded(1.5, 0.2)) == round(0.75 * RATE)  # it is all there is


def test_what_was_found_is_remembered_by_content(tmp_path: Path) -> None:
    class Counted(Loud):
        calls = 0

        def likelihoods(self, waveform: Tensor) -> Tensor:
            self.calls += 1
            return super().likelihoods(waveform)

    cache = tmp_path / "anchors.txt"
    clips = padded(12, 7.5), padded(12, 2.0)
    first, second = Counted(), Counted()
    found = [Miner(first, cache=cache).middle("rain", i, clip) for i, clip in enumerate(clips)]
    with cache.open("a") as file:
        file.write("12 34")  # a run was killed while it wrote
    miner = Miner(second, cache=cache)
    again = [miner.middle("rain", i, clip) for i, clip in enumerate(reversed(clips))]
    assert again == found[::-1] and first.calls > 0 and second.calls == 0
    miner.middle("dog_bark", 0, clips[0])  # another class may be elsewhere
    assert second.calls > 0


def test_anchors_hold_what_random_crops_miss() -> None:
    clips = {label: (Clip(padded(20, 12)),) for label in ("dog_bark", "rain")}
    corpus, miner = Corpus((), clips), Miner(Loud())
    levels = {}
    for mined in (True, False):
        mixer = AnchorMixer(corpus, miner, AnchorConfig(frames=64, mined=mined))
        rng = np.random.default_rng(1)
        levels[mined] = [float(np.abs(mixer.anchor(rng, "rain")).max()) for _ in range(8)]
    assert min(levels[True]) > 0.2 and min(levels[False]) < 0.01


def test_anchors_are_mixed_at_equal_energy_within_bounds() -> None:
    quiet = (padded(3, 1) * 0.5).astype(np.int16)
    clips = {"dog_bark": (Clip(padded(3, 1)),), "rain": (Clip(quiet),)}
    mixer = AnchorMixer(Corpus((), clips), Miner(Loud()), AnchorConfig(frames=64))
    batch = mixer.batch(range(4))
    for mixture, target in zip(batch.mixture, batch.target, strict=True):
        other = mixture - target
        assert float(target.square().sum()) == pytest.approx(float(other.square().sum()), rel=1e-3)
    faint = (padded(3, 1) * 0.01).astype(np.int16)  # 40 dB below: the bound is 17 dB
    mixer = AnchorMixer(
        Corpus((), clips | {"rain": (Clip(faint),)}), Miner(Loud()), AnchorConfig(frames=64)
    )
    batch = mixer.batch(range(6))
    ratios = [
        float(t.square().sum() / (m - t).square().sum())
        for m, t in zip(batch.mixture, batch.target, strict=True)
    ]
    assert max(ratios) > 100 and set(batch.labels) == {"dog_bark", "rain"}


@pytest.mark.parametrize("condition", ["tags", "name"])
def test_the_loss_is_l1_on_the_waveform(
    condition: str, tmp_path: Path, write_clips: Callable
) -> None:
    write_clips(tmp_path / "c", ("dog_bark", "rain"))
    torch.manual_seed(0)
    config = AnchorConfig(frames=64, condition=condition)
    mixer = AnchorMixer(load_corpus([tmp_path]), Miner(Loud()), config)
    phrases = PhraseBook(load_encoder("embedded"))
    made = Anchors(TrainableSmallUNet(SmallUNet(TINY)), mixer, phrases)
    before, _ = made.loss([0, 1])
    optimiser = torch.optim.Adam(made.model.parameters(), 3e-3)
    for _ in range(15):
        loss, _ = made.loss([0, 1])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert float(loss.detach()) < 0.9 * float(before.detach())

    class All:
        model = made.model

        def encode(self, magnitude: Tensor) -> Tensor:
            return magnitude

        def decode(self, features: Tensor, query: Tensor) -> Tensor:
            return torch.full((*features.shape[:3], 512), 30.0)

    made.net = All()  # type: ignore[assignment]
    batch = mixer.batch([0])
    wanted = float((batch.mixture - batch.target).abs().mean())
    assert made.loss([0])[1]["loss"] == pytest.approx(wanted, rel=1e-3)


def test_the_taggers_vector_is_that_of_the_heard_classes() -> None:
    likelihoods = torch.zeros(len(audioset_classes()))
    likelihoods[class_of("Flute")] = 0.9
    wanted = load_encoder("embedded").embed_text(["flute"])[0]
    torch.testing.assert_close(class_mean(likelihoods), wanted, atol=1e-4, rtol=0)


def test_one_label_is_refused() -> None:
    corpus = Corpus((), {"rain": (Clip(padded(3, 1)),)})
    with pytest.raises(DataError, match="anchors need two"):
        AnchorMixer(corpus, Miner(Loud()), AnchorConfig())
