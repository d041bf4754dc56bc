"""A step of the weak recipe scored by LAION-CLAP with random weights."""

from collections.abc import Callable
from pathlib import Path

import torch
from test_clap import checkpoint, needs_extra, package  # noqa: F401 - fixtures

from separate.models.unet import SmallUNet, UNetConfig
from separate.queries.encoders import load_encoder
from separate.train.data.folders import load_corpus
from separate.train.data.mixtures import MixtureConfig, MixtureMixer
from separate.train.data.phrases import PhraseBook
from separate.train.recipes.scorers import EncoderScorer, open_scorer
from separate.train.recipes.weak import Weak, WeakConfig
from separate.train.trainable import TrainableSmallUNet


@needs_extra
def test_a_weak_step_with_clap(
    checkpoint: Path,  # noqa: F811
    tmp_path: Path,
    write_clips: Callable,
    monkeypatch,
) -> None:
    monkeypatch.setenv("SEPARATE_CACHE", str(tmp_path / "cache"))
    write_clips(tmp_path / "clips", ("dog_bark", "rain", "flute"))
    scorer = open_scorer(str(checkpoint))
    assert isinstance(scorer, EncoderScorer)
    torch.manual_seed(0)
    made = Weak(
        TrainableSmallUNet(SmallUNet(UNetConfig(widths=(4, 8, 8, 8, 8, 8)))),
        PhraseBook(load_encoder("embedded")),
        config=WeakConfig(0.0, 0.0, 1.0),
        mixer=MixtureMixer(load_corpus([tmp_path / "clips"]), MixtureConfig(frames=64, channels=1)),
        scorer=scorer,
    )
    loss, parts = made.loss([0])
    assert parts["contrastive"] > 0
    loss.backward()
    gradient = made.model.head.weight.grad
    assert gradient is not None and torch.isfinite(gradient).all() and gradient.abs().max() > 0
