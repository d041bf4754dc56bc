"""The small separator of experiments: trained from random weights by any of the mixture recipes.

In: clips by label. Out: a separator of mono audio by label. It is no model for users: those come
from `separate.train.runs`.
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
from separate.models.small_unet import SmallUNet, SmallUNetConfig
from separate.models.spleeter import FRAME_MULTIPLE
from separate.models.stft import StftConfig, istft, modulus, stft
from separate.queries.encoders import load_encoder
from separate.train.data.folders import Clip, Corpus
from separate.train.data.mixtures import MixtureConfig, MixtureMixer
from separate.train.data.phrases import PhraseBook
from separate.train.loop import LoopConfig, Recipe, train
from separate.train.recipes.anchors import AnchorConfig, AnchorMixer, Anchors, Miner
from separate.train.recipes.scorers import open_listener
from separate.train.recipes.weak import RECIPES, Weak
from separate.train.trunk import SmallTrunk

ANCHOR_ARMS = ("anchors", "random-crops")
_RECIPE = {"supervised": "mix-and-separate"}  # of an arm, where its name is another


@dataclass(frozen=True)
class ArmConfig:
    """One training of an experiment; two that differ in the arm alone start from one net."""

    arm: str  # unsupervised, weak, supervised, semi, anchors or random-crops
    seed: int
    steps: int
    batch: int  # examples a step
    rate: float  # learning rate, with a cosine decay to a tenth
    frames: int  # STFT frames an example
    single_share: float = 1.0  # part of the clips that may be seen alone
    widths: tuple[int, ...] = SmallUNetConfig.widths


class SmallSeparator:
    """A small U-Net asked by label."""

    def __init__(self, net: nn.Module, phrases: Mapping[str, torch.Tensor]) -> None:
        self.net = net.eval()
        self.phrases = phrases

    @torch.no_grad()
    def separate(self, mixture: np.ndarray, label: str) -> np.ndarray:
        """Return what a label claims of mono audio at 44.1 kHz, `(samples,)` to `(samples,)`."""
        config = StftConfig()
        spectrum = stft(torch.from_numpy(mixture)[None, None], config).transpose(-1, -2)
        missing = -spectrum.shape[-2] % FRAME_MULTIPLE
        magnitude = nn.functional.pad(modulus(spectrum), (0, 0, 0, missing))
        query = self.phrases[label][:1]
        mask = self.net(magnitude, query)[..., : spectrum.shape[-2], :]
        found: np.ndarray = istft((mask * spectrum).transpose(-1, -2), len(mixture), config).numpy()
        return found[0, 0]


def train_arm(
    config: ArmConfig,
    clips: Mapping[str, Sequence[np.ndarray]],
    listener: str,
    classes: Mapping[str, str],
    run: Path | None = None,
    *,
    log: Callable[[str], None] = print,
) -> SmallSeparator:
    """Train one arm.

    Args:
        config: Arm, seed and sizes.
        clips: int16 `(samples, 2)` at 44.1 kHz by label.
        listener: See `separate.train.recipes.scorers.open_listener`; it finds the anchors, too.
        classes: The AudioSet class of each label, for a tagger that listens.
        run: Folder of the run, which is resumed; None: a temporary one.
        log: Takes a line of progress.

    Raises:
        DataError: There are too few labels, or the run is of another configuration.
        CheckpointError: The listener is missing or damaged.
    """
    phrases = PhraseBook(load_encoder("embedded"), varied=False)
    torch.manual_seed(config.seed)
    net = SmallUNet(SmallUNetConfig(query_dim=phrases.encoder.dim, widths=config.widths))
    recipe = _recipe(config, SmallTrunk(net), phrases, clips, listener, classes)
    loop = LoopConfig(
        minutes=float("inf"), steps=config.steps, batch=config.batch, rate=config.rate, warmup=20,
        decay_steps=config.steps, average=0.99, seed=config.seed,
    )  # fmt: skip
    with ExitStack() as stack:
        folder = run or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        return SmallSeparator(train(recipe, loop, folder, log=log), phrases)


def _recipe(
    config: ArmConfig,
    trunk: SmallTrunk,
    phrases: PhraseBook,
    clips: Mapping[str, Sequence[np.ndarray]],
    listener: str,
    classes: Mapping[str, str],
) -> Recipe:
    if config.arm in ANCHOR_ARMS:
        mined = config.arm == "anchors"
        settings = AnchorConfig(config.frames, channels=1, mined=mined, condition="name")
        miner = Miner(open_tagger(listener), classes)
        return Anchors(trunk, AnchorMixer(_corpus(clips), miner, settings, config.seed), phrases)
    name = _RECIPE.get(config.arm, config.arm)
    mixtures = MixtureConfig(frames=config.frames, channels=1)
    singles = replace(mixtures, sources=1)
    hears = bool(RECIPES[name].contrastive_weight)
    return Weak(
        trunk,
        phrases,
        name=name,
        mixer=MixtureMixer(_corpus(clips), mixtures, config.seed),
        singles=MixtureMixer(_corpus(clips, config.single_share), singles, config.seed),
        listener=open_listener(listener, classes=classes) if hears else None,
    )


def _corpus(clips: Mapping[str, Sequence[np.ndarray]], share: float = 1.0) -> Corpus:
    """Take the first share of each label's clips, at least one."""
    return Corpus(
        (),
        {
            label: tuple(Clip(audio) for audio in rows[: max(1, round(share * len(rows)))])
            for label, rows in clips.items()
        },
    )
