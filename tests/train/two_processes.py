"""What `test_distributed` starts under torchrun: ten steps of each recipe; not a test itself."""

import shutil
import sys
from pathlib import Path

import torch

from separate.models.query_unet import QueryUNet, QueryUNetConfig
from separate.models.unet import SmallUNet, UNetConfig
from separate.queries.encoders import load_encoder
from separate.train import distributed
from separate.train.data.folders import load_corpus
from separate.train.data.mixing import MixConfig, Mixer
from separate.train.data.mixtures import MixtureConfig, MixtureMixer
from separate.train.data.phrases import PhraseBook, wider_labels
from separate.train.loop import Recipe, train
from separate.train.recipes.scorers import EncoderScorer
from separate.train.recipes.supervised import Supervised, SupervisedConfig
from separate.train.recipes.weak import Weak, WeakConfig
from separate.train.settings import LoopConfig
from separate.train.trainable import TrainableQueryUNet, TrainableSmallUNet


def main(data: str, run: str, batch: str) -> None:
    distributed.join("cpu")
    torch.set_num_threads(1)
    for name in ("supervised", "weak"):
        run_recipe(name, data, f"{run}/{name}", batch)
    distributed.leave()


def run_recipe(name: str, data: str, run: str, batch: str) -> None:
    torch.manual_seed(distributed.rank())  # the first process's weights must go to all
    corpus = load_corpus([Path(data)])
    encoder = load_encoder("embedded")
    phrases = PhraseBook(encoder)
    recipe: Recipe
    if name == "supervised":
        mixer = Mixer(corpus, MixConfig(frames=64, clips=0.5), 0, wider_labels(corpus))
        net = QueryUNet(QueryUNetConfig(film_dim=16, music_widths=(4, 4, 8, 8, 8, 8)))
        recipe = Supervised(TrainableQueryUNet(net), mixer, phrases, SupervisedConfig())
    else:
        small = SmallUNet(UNetConfig(widths=(4, 8, 8, 8, 8, 8), film_dim=16))
        mixtures = MixtureMixer(corpus, MixtureConfig(frames=64, channels=1))
        scorer = EncoderScorer(encoder)
        config = WeakConfig(contrastive_weight=0.5)
        net = TrainableSmallUNet(small)
        recipe = Weak(net, phrases, config=config, mixer=mixtures, scorer=scorer)
    for steps in (1, 10):  # the second call resumes the first one's run
        config = LoopConfig(steps=steps, batch=int(batch), minutes=60)
        train(recipe, config, Path(run), log=lambda line: None)
        if distributed.rank() == 0:
            shutil.copy(Path(run) / "checkpoint.pt", Path(run) / f"step{steps}.pt")
    # A rate that falls by the clock must be the same for all: their weights stay equal.
    config = LoopConfig(steps=12, batch=int(batch), minutes=5, anneal=True)
    train(recipe, config, Path(run), log=lambda line: None)
    weights = torch.cat([value.flatten() for value in recipe.model.parameters()]).tolist()
    assert len(set(distributed.gathered([hash(tuple(weights))]))) == 1


if __name__ == "__main__":
    main(*sys.argv[1:])
