"""Recipes by name: the loop's recipe from the settings, a corpus and a model."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from torch import nn

from separate.auto.tagging import open_tagger
from separate.errors import DataError
from separate.models.ibm_cnn import IbmCnn
from separate.models.unet import SmallUNet
from separate.queries.base import QueryEncoder
from separate.train.data.folders import Corpus, load_corpus
from separate.train.data.mixing import Mixer
from separate.train.data.mixtures import MixtureMixer
from separate.train.data.phrases import PhraseBook, phrases_of, wider_labels
from separate.train.loop import Recipe
from separate.train.recipes.anchors import AnchorMixer, Anchors, Miner
from separate.train.recipes.ibm import Ibm, IbmMixer
from separate.train.recipes.scorers import open_scorer
from separate.train.recipes.supervised import Supervised
from separate.train.recipes.weak import RECIPES, Weak
from separate.train.trainable import trainable

if TYPE_CHECKING:
    from separate.train.run_config import RunConfig

Evaluate = Callable[[nn.Module], dict[str, float]]


def build(
    config: "RunConfig",
    corpus: Corpus,
    model: nn.Module,
    encoder: QueryEncoder,
    seed: int,
    evaluate: Evaluate,
    device: str,
    teacher: nn.Module | None = None,
) -> Recipe:
    """Make the recipe that the settings name.

    Args:
        config: The run's settings.
        corpus: The training data.
        model: The network to train.
        encoder: The query net whose vectors condition the model.
        seed: Of the examples.
        evaluate: Scores a model.
        device: Where to train.
        teacher: A model for the distillation loss of `supervised`.

    Raises:
        DataError: The corpus does not suit the recipe.
        QueryError: The scorer is unknown.
        SettingsError: The tagger is unknown.
    """
    if config.recipe == "ibm":
        assert isinstance(model, IbmCnn)
        return Ibm(model, IbmMixer(corpus, config.ibm, seed), evaluate=evaluate, device=device)
    phrases, net = PhraseBook(encoder), trainable(model, config.tune)
    if config.recipe == "supervised":
        # Voices too, without a pretrained voice net, or where a new music net is trained.
        voices = isinstance(model, SmallUNet) or config.tune.tune == "music"
        mix = replace(config.mix, voices=voices)
        mixer = Mixer(corpus, mix, seed, wider_labels(corpus), device)
        guide = None if teacher is None else trainable(teacher, config.tune)
        return Supervised(net, mixer, phrases, config.supervised, evaluate=evaluate, teacher=guide)
    if config.recipe == "anchors":
        anchors = AnchorMixer(corpus, Miner(open_tagger(config.tagger)), config.anchors, seed)
        return Anchors(net, anchors, phrases, evaluate=evaluate, device=device)
    losses = replace(RECIPES[config.recipe], contrastive_weight=config.contrastive_weight)
    return Weak(
        net,
        phrases,
        name=config.recipe,
        config=losses,
        mixer=MixtureMixer(corpus, config.mixtures, seed),
        singles=_singles(config, corpus, seed) if losses.supervised_weight else None,
        scorer=open_scorer(config.scorer, device) if losses.contrastive_weight else None,
        evaluate=evaluate,
        device=device,
    )


def _singles(config: "RunConfig", corpus: Corpus, seed: int) -> MixtureMixer:
    """Make the mixer of single sources: those in `singles`, or clips with a single label."""
    if config.singles:
        corpus = load_corpus(config.singles, config.licences, exclude=config.dev)
    clips = {label: clips for label, clips in corpus.clips.items() if len(phrases_of(label)) == 1}
    if not clips and not corpus.songs:
        raise DataError(
            "semi needs single sources beside the mixtures: give a folder of clips by label"
            " with --singles"
        )
    return MixtureMixer(
        replace(corpus, clips=clips), replace(config.mixtures, sources=1, recordings=0.0), seed
    )
