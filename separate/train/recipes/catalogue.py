"""Recipes by name: what a plan makes of a corpus and a model.

In: a plan. Out: a recipe for the loop, ready.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from torch import nn

from separate.auto.tagging import open_tagger
from separate.errors import DataError
from separate.models.ibm_cnn import IbmCnn
from separate.models.unet import SmallUNet
from separate.queries.base import Encoder
from separate.train.data.folders import Corpus, load_corpus
from separate.train.data.mixing import Mixer
from separate.train.data.mixtures import MixtureMixer
from separate.train.data.phrases import PhraseBook, phrases_of, wider_labels
from separate.train.loop import Recipe
from separate.train.recipes.anchors import AnchorMixer, Anchors, Miner
from separate.train.recipes.ibm import Ibm, IbmMixer
from separate.train.recipes.scorers import open_listener
from separate.train.recipes.supervised import Supervised
from separate.train.recipes.weak import RECIPES, Weak
from separate.train.trunk import trunk_of

if TYPE_CHECKING:
    from separate.train.plan import Plan

Evaluate = Callable[[nn.Module], dict[str, float]]


def build(
    plan: "Plan",
    corpus: Corpus,
    model: nn.Module,
    encoder: Encoder,
    seed: int,
    evaluate: Evaluate,
    device: str,
    teacher: nn.Module | None = None,
) -> Recipe:
    """Make the recipe that a plan names.

    Args:
        plan: The run's settings.
        corpus: What to train on.
        model: What to train.
        encoder: The query net whose vectors condition it.
        seed: Of the examples.
        evaluate: Scores a model.
        device: Where to train.
        teacher: A model that `supervised` learns from, too.

    Raises:
        DataError: The corpus does not suit the recipe.
        QueryError: There is no such listener.
        SettingsError: There is no such tagger.
    """
    if plan.recipe == "ibm":
        assert isinstance(model, IbmCnn)
        return Ibm(model, IbmMixer(corpus, plan.ibm, seed), evaluate=evaluate, device=device)
    phrases, trunk = PhraseBook(encoder), trunk_of(model, plan.trunk)
    if plan.recipe == "supervised":
        # Voices too, where no open net answers for them, or where a new trunk learns what they are.
        voices = isinstance(model, SmallUNet) or plan.trunk.tune == "music"
        mix = replace(plan.mix, voices=voices)
        mixer = Mixer(corpus, mix, seed, wider_labels(corpus), device)
        guide = None if teacher is None else trunk_of(teacher, plan.trunk)
        return Supervised(trunk, mixer, phrases, plan.supervised, evaluate=evaluate, teacher=guide)
    if plan.recipe == "anchors":
        anchors = AnchorMixer(corpus, Miner(open_tagger(plan.tagger)), plan.anchors, seed)
        return Anchors(trunk, anchors, phrases, evaluate=evaluate, device=device)
    config = replace(RECIPES[plan.recipe], contrastive_weight=plan.contrast)
    return Weak(
        trunk,
        phrases,
        name=plan.recipe,
        config=config,
        mixer=MixtureMixer(corpus, plan.mixtures, seed),
        singles=_singles(plan, corpus, seed) if config.supervised_weight else None,
        listener=open_listener(plan.listener, device) if config.contrastive_weight else None,
        evaluate=evaluate,
        device=device,
    )


def _singles(plan: "Plan", corpus: Corpus, seed: int) -> MixtureMixer:
    """Make the mixer of single sources, of a folder of its own or of what has a single label."""
    if plan.singles:
        corpus = load_corpus(plan.singles, plan.licences, exclude=plan.dev)
    clips = {label: clips for label, clips in corpus.clips.items() if len(phrases_of(label)) == 1}
    if not clips and not corpus.songs:
        raise DataError(
            "semi needs single sources beside the mixtures: give a folder of clips by label"
            " with --singles"
        )
    return MixtureMixer(
        replace(corpus, clips=clips), replace(plan.mixtures, sources=1, recordings=0.0), seed
    )
