"""The small separator of experiments, trained from random weights by the mixture recipes.

It separates mono audio by label. Models for users are trained by `separate.train.runs`.
"""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from separate.auto.tagging import open_tagger
from separate.models.spleeter import FRAME_MULTIPLE
from separate.models.stft import StftConfig, compute_magnitude, istft, stft
from separate.models.unet import SmallUNet, UNetConfig
from separate.queries.encoders import load_encoder
from separate.train.data.folders import Clip, Corpus
from separate.train.data.mixtures import MixtureConfig, MixtureMixer
from separate.train.data.phrases import PhraseBook
from separate.train.loop import Recipe, train
from separate.train.recipes.anchors import AnchorConfig, AnchorMixer, Anchors, Miner
from separate.train.recipes.scorers import (
    AugmentedScorer,
    MeanScorer,
    Scorer,
    Variation,
    open_scorer,
)
from separate.train.recipes.weak import PAPER, RECIPES, Weak, WeakConfig
from separate.train.settings import LoopConfig
from separate.train.trainable import TrainableSmallUNet

Evaluate = Callable[["SmallSeparator"], dict[str, float]]


@dataclass(frozen=True)
class MixtureArm:
    """Settings of an arm that is trained on mixtures."""

    losses: WeakConfig
    late: bool = False  # the contrast counts from half of the steps on
    variation: Variation | None = None  # of the estimates before they are scored
    second: str | None = None  # a second scorer beside the tagger


_LIGHT = WeakConfig(contrastive_weight=0.05)
MIXTURE_ARMS = {
    "unsupervised": MixtureArm(RECIPES["unsupervised"]),
    "weak": MixtureArm(RECIPES["weak"]),  # consistency alone
    "weak-contrast": MixtureArm(replace(_LIGHT, contrastive_weight=PAPER.contrastive_weight)),
    "weak-light": MixtureArm(_LIGHT),
    "weak-late": MixtureArm(_LIGHT, late=True),
    "weak-varied": MixtureArm(_LIGHT, variation=Variation()),
    "weak-two-scorers": MixtureArm(_LIGHT, second="embedded"),
    "weak-paper": MixtureArm(PAPER),
    "supervised": MixtureArm(RECIPES["mix-and-separate"]),
    "semi": MixtureArm(RECIPES["semi"]),
}
# Trained on pairs of excerpts: where the tagger finds them in padded clips, anywhere in those, and
# anywhere in the clips as they are.
ANCHOR_ARMS = ("anchors", "random-crops", "clean-crops")
PADDED_ARMS = ("anchors", "random-crops")
ARMS = (*MIXTURE_ARMS, *ANCHOR_ARMS)


@dataclass(frozen=True)
class ArmConfig:
    """One training of an experiment; two that differ in the arm alone start from one net."""

    arm: str = "weak"  # of `ARMS`
    seed: int = 0
    steps: int = 1600
    batch: int = 4  # examples a step
    learning_rate: float = 6e-3  # with a cosine decay to a tenth
    frames: int = 64  # STFT frames an example
    sources: int = 2  # P, of a mixture
    wrong_captions: float = 0.0  # part of the phrases that is left out or swapped
    single_share: float = 1.0  # part of the clips that may be used alone
    widths: tuple[int, ...] = UNetConfig.widths
    evaluate_steps: int = 0  # steps between points of the curve; 0: none


class SmallSeparator:
    """A small U-Net queried by label."""

    def __init__(self, net: nn.Module, phrases: Mapping[str, torch.Tensor]) -> None:
        self.net = net.eval()
        self.phrases = phrases

    @torch.no_grad()
    def separate(self, mixture: np.ndarray, label: str) -> np.ndarray:
        """Mask mono audio at 44.1 kHz for a label: `(samples,)` to `(samples,)`."""
        config = StftConfig()
        spectrum = stft(torch.from_numpy(mixture)[None, None], config).transpose(-1, -2)
        missing = -spectrum.shape[-2] % FRAME_MULTIPLE
        magnitude = nn.functional.pad(compute_magnitude(spectrum), (0, 0, 0, missing))
        query = self.phrases[label][:1]
        mask = self.net(magnitude, query)[..., : spectrum.shape[-2], :]
        found: np.ndarray = istft((mask * spectrum).transpose(-1, -2), len(mixture), config).numpy()
        return found[0, 0]


def train_arm(
    config: ArmConfig,
    clips: Mapping[str, Sequence[np.ndarray]],
    scorer: str,
    classes: Mapping[str, str],
    run: Path | None = None,
    *,
    evaluate: Evaluate = lambda separator: {},
    log: Callable[[str], None] = print,
) -> SmallSeparator:
    """Train one arm.

    Args:
        config: Arm, seed and sizes.
        clips: int16 `(samples, 2)` at 44.1 kHz by label.
        scorer: See `separate.train.recipes.scorers.open_scorer`; it finds the anchors, too.
        classes: The AudioSet class of each label, for a scorer that is a tagger.
        run: Folder of the run, which is resumed; None: a temporary one. Anchors that one run finds
            are kept beside it for the others.
        evaluate: Scores the averaged weights, for the curve in the run's `log.jsonl`.
        log: Takes a line of progress.

    Raises:
        DataError: There are too few labels, or the run is of another configuration.
        CheckpointError: The scorer is missing or damaged.
    """
    phrases = PhraseBook(load_encoder("embedded"), varied=False)
    torch.manual_seed(config.seed)
    net = SmallUNet(UNetConfig(query_dim=phrases.encoder.dim, widths=config.widths))

    def curve(model: nn.Module) -> dict[str, float]:
        return evaluate(SmallSeparator(model, phrases)) if config.evaluate_steps else {}

    if config.arm in ANCHOR_ARMS:
        cache = None if run is None else run.parent / f"anchors-{Path(scorer).stem}.txt"
        miner = Miner(open_tagger(scorer), classes, cache)
        recipe: Recipe = _anchors(config, TrainableSmallUNet(net), phrases, clips, miner, curve)
    else:
        recipe = _mixtures(config, TrainableSmallUNet(net), phrases, clips, scorer, classes, curve)
    loop = LoopConfig(
        minutes=float("inf"), steps=config.steps, batch=config.batch,
        learning_rate=config.learning_rate, warmup=20, decay_steps=config.steps, ema_decay=0.99,
        seed=config.seed, save_minutes=2.0,
        evaluate_minutes=float("inf"), evaluate_steps=config.evaluate_steps,
    )  # fmt: skip
    with ExitStack() as stack:
        folder = run or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        return SmallSeparator(train(recipe, loop, folder, log=log), phrases)


def _anchors(
    config: ArmConfig,
    net: TrainableSmallUNet,
    phrases: PhraseBook,
    clips: Mapping[str, Sequence[np.ndarray]],
    miner: Miner,
    evaluate: Callable[[nn.Module], dict[str, float]],
) -> Anchors:
    mined = config.arm == "anchors"
    settings = AnchorConfig(config.frames, channels=1, mined=mined, condition="name")
    mixer = AnchorMixer(_corpus(clips), miner, settings, config.seed)
    return Anchors(net, mixer, phrases, evaluate=evaluate)


def _mixtures(
    config: ArmConfig,
    net: TrainableSmallUNet,
    phrases: PhraseBook,
    clips: Mapping[str, Sequence[np.ndarray]],
    scorer: str,
    classes: Mapping[str, str],
    evaluate: Callable[[nn.Module], dict[str, float]],
) -> Weak:
    arm = MIXTURE_ARMS[config.arm]
    half = config.steps // 2 * config.batch
    losses = replace(arm.losses, contrastive_after=half) if arm.late else arm.losses
    mixtures = MixtureConfig(
        frames=config.frames, channels=1, sources=config.sources,
        wrong_captions=config.wrong_captions,
    )  # fmt: skip
    singles = replace(mixtures, sources=1)
    return Weak(
        net,
        phrases,
        name=config.arm,
        config=losses,
        mixer=MixtureMixer(_corpus(clips), mixtures, config.seed),
        singles=MixtureMixer(_corpus(clips, config.single_share), singles, config.seed),
        scorer=_scorer(arm, scorer, classes) if losses.contrastive_weight else None,
        evaluate=evaluate,
    )


def _scorer(arm: MixtureArm, name: str, classes: Mapping[str, str]) -> Scorer:
    scorer = open_scorer(name, classes=classes)
    if arm.second is not None:
        scorer = MeanScorer([scorer, open_scorer(arm.second)])
    return scorer if arm.variation is None else AugmentedScorer(scorer, arm.variation)


def _corpus(clips: Mapping[str, Sequence[np.ndarray]], part: float = 1.0) -> Corpus:
    """Keep the first part of each label's clips, at least one clip."""
    return Corpus(
        (),
        {
            label: tuple(Clip(audio) for audio in rows[: max(1, round(part * len(rows)))])
            for label, rows in clips.items()
        },
    )
