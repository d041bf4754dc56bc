"""A supervised run from corpus to card: what `separate train supervised` does.

In: a plan. Out: `<run>/<name>.safetensors` and its card.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from separate.errors import DataError
from separate.models import registry
from separate.models.registry import Card
from separate.models.spleeter import Spleeter, SpleeterUNet
from separate.models.unet import QueryUNet, UNetConfig
from separate.queries import Encoder, load_encoder
from separate.queries.query import Query
from separate.queries.vocabulary import STEMS, ancestors, label_of, labels, training_captions
from separate.settings import Settings
from separate.sources import wrap
from separate.stream import overlap_add
from separate.train.cards import described, licence_of
from separate.train.data import Corpus, load_corpus, load_song
from separate.train.dev import DevSet
from separate.train.loop import LoopConfig, train
from separate.train.mixing import MixConfig, Mixer
from separate.train.supervised import Supervised, SupervisedConfig
from separate.weights import fetch, models_dir

_SPLEETER_NOTICE = (
    "Started from Spleeter's pretrained 2stems model, Copyright (c) 2019-present Deezer SA, MIT."
)
_VOICES = ("vocals", "speech")  # labels below these open the gate to the voice net
_BACKING = "accompaniment"  # the label of all but the voice


@dataclass(frozen=True)
class SupervisedRun:
    """What a supervised run needs beside the loop's settings."""

    folders: tuple[Path, ...]
    run: Path
    init: str = "spleeter-2stems"
    dev: tuple[str, ...] = ()  # names of songs held out
    licences: tuple[str, ...] = ("free", "sharealike")
    threads: int = 0
    device: str = "cpu"
    name: str = "mine"
    precision: str = "int8"
    mix: MixConfig = field(default_factory=MixConfig)
    recipe: SupervisedConfig = field(default_factory=SupervisedConfig)


def run_supervised(
    plan: SupervisedRun, loop: LoopConfig, log: Callable[[str], None] = print
) -> Path:
    """Train by the plan and store the averaged model.

    Returns:
        Path of the `.safetensors` file.

    Raises:
        DataError: The corpus holds nothing usable, or a development song is missing.
    """
    if plan.threads:
        torch.set_num_threads(plan.threads)
    torch.manual_seed(loop.seed)
    corpus = load_corpus(plan.folders, plan.licences, exclude=plan.dev)
    log(f"{len(corpus.songs)} songs, {corpus.hours:.2f} h, {len(corpus.clips)} labels of clips")
    encoder = load_encoder("embedded")
    model, notices = initial(plan.init, encoder)
    dev = DevSet([load_song(_song_folder(plan.folders, name)) for name in plan.dev])
    scores: dict[str, float] = {}  # the last ones

    def evaluate(net: nn.Module) -> dict[str, float]:
        scores.update(dev.score(stems_separator(net)))
        return scores

    recipe = Supervised(
        model,
        Mixer(corpus, plan.mix, loop.seed, wider_labels(corpus)),
        phrase_vectors(corpus, encoder),
        plan.recipe,
        evaluate=evaluate,
        device=plan.device,
    )
    if plan.init in ("random", "spleeter-2stems"):
        recipe.calibrate()
    started = time.monotonic()
    best = train(recipe, loop, plan.run, log=log)
    card = Card(
        name=plan.name,
        kind="query-unet",
        summary="Query-conditioned U-Net: any query in words or by example.",
        config=asdict(model.config),
        licence=licence_of(corpus),
        query_encoder=encoder.name,
        initialised_from=plan.init,
        notices=notices,
        trained_on=described(corpus),
        seed=loop.seed,
        scores={"dev": scores},
        extra={"loop": asdict(loop), "last_call_minutes": (time.monotonic() - started) / 60},
    )
    path = plan.run / f"{plan.name}.safetensors"
    registry.save(best, card, path, precision=plan.precision)
    return path


def initial(name: str, encoder: Encoder) -> tuple[QueryUNet, tuple[str, ...]]:
    """Return the model to start from and the notices that it carries.

    Args:
        name: "random", "spleeter-2stems", or the name or path of a query model.
        encoder: The query net whose vectors will condition it.

    Raises:
        DataError: The model is none that answers queries.
        WeightsError: Spleeter's weights can't be fetched.
    """
    if name not in ("random", "spleeter-2stems"):
        loaded, card = registry.load(registry.find(name, [models_dir()]))
        if not isinstance(loaded, QueryUNet):
            raise DataError(f"--init {name}: not a query model; take default or spleeter-2stems")
        return loaded, card.notices
    model = QueryUNet(UNetConfig(query_dim=encoder.dim))
    fit_gate(model, encoder)
    if name == "random":
        return model, ()
    opened, _ = registry.load(fetch("spleeter-2stems"))
    assert isinstance(opened, Spleeter)
    model.voice.load_state_dict(opened.nets["vocals"].state_dict())
    accompaniment = opened.nets["accompaniment"]
    assert isinstance(accompaniment, SpleeterUNet)
    model.music.start_from(accompaniment)
    return model, (_SPLEETER_NOTICE,)


def fit_gate(model: QueryUNet, encoder: Encoder) -> None:
    """Open the gate to the voice net for phrases that mean a voice, or all but the voice.

    Ridge regression from the vectors of every label's training captions to the gate's logits.
    """
    names = list(labels())
    voice = [bool(set(ancestors(name)) & set(_VOICES)) for name in names]
    backing = [name == _BACKING for name in names]
    wanted = 12.0 * torch.tensor([voice, backing], dtype=torch.float32).T - 6.0
    rows = [encoder.embed_text(training_captions(labels()[name])) for name in names]
    vectors = torch.cat(rows)
    targets = torch.cat([wanted[i].expand(len(row), -1) for i, row in enumerate(rows)])
    design = torch.cat([vectors, torch.ones(len(vectors), 1)], dim=1)
    weights = torch.tensor([1.0 / len(row) for row in rows for _ in row])[:, None]
    gram = design.T @ (design * weights) + 1e-3 * torch.eye(design.shape[1])
    solution = torch.linalg.solve(gram, design.T @ (targets * weights))
    model.gate.weight.data = solution[:-1].T.clone()
    model.gate.bias.data = solution[-1].clone()


def phrase_vectors(corpus: Corpus, encoder: Encoder) -> dict[str, Tensor]:
    """Embed the training captions of every label that a corpus can ask for."""
    wider = wider_labels(corpus)
    names = {*STEMS, *wider, *(name for row in wider.values() for name in row)}
    return {name: encoder.embed_text(training_captions(label_of(name))) for name in sorted(names)}


def wider_labels(corpus: Corpus) -> dict[str, tuple[str, ...]]:
    """Return, for each label of a corpus, the vocabulary's wider labels below its stem.

    Raises:
        DataError: A label is not in the vocabulary.
    """
    found = set(corpus.clips)
    for song in corpus.songs:
        found |= {label for label, parent in song.parents.items() if parent != "rest"}
    wider = {}
    for label in sorted(found):
        try:
            name = label_of(label).name
        except KeyError as error:
            raise DataError(
                f"the label {label!r} is not in the vocabulary; rename the stem, or add the label"
                " to separate/queries/labels.txt"
            ) from error
        roots = (*STEMS, "music")
        wider[label] = tuple(a for a in ancestors(name) if a != name and a not in roots)
    return wider


def stems_separator(net: nn.Module) -> Callable[[Tensor], dict[str, Tensor]]:
    """Return what separates a mixture into the four stems as the command line does (`--stems`)."""
    card = Card(name="dev", kind="query-unet", summary="", config={}, licence="")
    settings = Settings(share=True)
    model = wrap(net, card, settings)
    prepared = model.prepare([Query(stem, (stem,)) for stem in STEMS])

    def window(audio: np.ndarray) -> np.ndarray:
        with torch.inference_mode():  # here, since it may be another thread that calls
            return model.separate(torch.from_numpy(audio), prepared).cpu().numpy()

    def separate(mixture: Tensor) -> dict[str, Tensor]:
        pieces = list(overlap_add([mixture.numpy()], model.grid(settings), window))
        whole = torch.from_numpy(np.concatenate(pieces, axis=-1))
        return dict(zip(STEMS, whole[:-1], strict=True))

    return separate


def _song_folder(folders: Iterable[Path], name: str) -> Path:
    for folder in folders:
        for description in Path(folder).rglob("song.json"):
            if description.parent.name == name:
                return description.parent
    raise DataError(f"--dev {name}: no such song in {', '.join(map(str, folders))}")
