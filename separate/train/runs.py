"""A supervised run from corpus to card: what `separate train supervised` does.

In: a plan. Out: `<run>/<name>.safetensors` and its card.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from separate.errors import DataError
from separate.models import registry
from separate.models.registry import Card
from separate.models.spleeter import Spleeter
from separate.models.unet import QueryUNet, UNetConfig
from separate.queries import Encoder, load_encoder
from separate.queries.query import Query
from separate.queries.vocabulary import ancestors, label_of, labels, training_captions
from separate.separator import STEMS
from separate.settings import Settings
from separate.sources import wrap
from separate.stream import overlap_add
from separate.train.data import Corpus, load_corpus, load_song
from separate.train.dev import DevSet
from separate.train.loop import LoopConfig, train
from separate.train.mixing import MixConfig, Mixer
from separate.train.supervised import Supervised, SupervisedConfig
from separate.weights import fetch

_SPLEETER_NOTICE = (
    "Started from Spleeter's pretrained 2stems model, Copyright (c) 2019-present Deezer SA, MIT."
)
_VOICES = ("vocals", "speech")  # labels below these open the gate to the voice trunk


@dataclass(frozen=True)
class SupervisedRun:
    """What a supervised run needs beside the loop's settings."""

    folders: tuple[Path, ...]
    run: Path
    init: str = "spleeter-2stems"
    dev: tuple[str, ...] = ()  # names of songs held out
    licences: tuple[str, ...] = ("free", "sharealike")
    voice_multiple: float = 0.0
    threads: int = 0
    device: str = "cpu"
    name: str = "mine"
    precision: str = "int8"
    mix: MixConfig = field(default_factory=MixConfig)


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
    model, teacher, notices = initial(plan.init, encoder)
    dev = DevSet([load_song(_song_folder(plan.folders, name)) for name in plan.dev])
    recipe = Supervised(
        model,
        Mixer(corpus, plan.mix, loop.seed, wider_labels(corpus)),
        phrase_vectors(corpus, encoder),
        SupervisedConfig(voice_multiple=plan.voice_multiple),
        teacher=teacher,
        evaluate=lambda net: dev.score(stems_separator(net)),
        device=plan.device,
    )
    started = time.monotonic()
    best = train(recipe, loop, plan.run, log=log)
    card = Card(
        name=plan.name,
        kind="query-unet",
        summary="Query-conditioned U-Net: any query in words or by example.",
        config=asdict(model.config),
        licence=_licence(corpus),
        query_encoder=encoder.name,
        initialised_from=plan.init,
        notices=notices,
        trained_on=described(corpus),
        seed=loop.seed,
        scores={"dev": recipe.evaluate(best)},
        extra={"loop": asdict(loop), "minutes": round((time.monotonic() - started) / 60, 1)},
    )
    path = plan.run / f"{plan.name}.safetensors"
    registry.save(best, card, path, precision=plan.precision)
    return path


def initial(name: str, encoder: Encoder) -> tuple[QueryUNet, Spleeter | None, tuple[str, ...]]:
    """Return the model to start from, its teacher against forgetting, and notices to carry."""
    if name == "random":
        model = QueryUNet(UNetConfig(query_dim=encoder.dim))
        fit_gate(model, encoder)
        return model, None, ()
    if name == "spleeter-2stems":
        nets = load_teacher()
        model = QueryUNet(UNetConfig(query_dim=encoder.dim))
        model.music.start_from(
            nets.nets["accompaniment"].encoder, nets.nets["accompaniment"].decoder
        )
        model.voice.start_from(nets.nets["vocals"].encoder, nets.nets["vocals"].decoder)
        fit_gate(model, encoder)
        return model, nets, (_SPLEETER_NOTICE,)
    from separate.weights import models_dir

    loaded, card = registry.load(registry.find(name, [models_dir()]))
    if not isinstance(loaded, QueryUNet):
        raise DataError(f"--init {name}: not a query model; take default or spleeter-2stems")
    loaded.requires_grad_(True)
    return loaded, load_teacher() if card.notices else None, card.notices


def load_teacher() -> Spleeter:
    """Fetch Spleeter's two-stem model, once, and load it."""
    nets, _ = registry.load(fetch("spleeter-2stems"))
    assert isinstance(nets, Spleeter)
    return nets


def fit_gate(model: QueryUNet, encoder: Encoder) -> None:
    """Open the gate for phrases that mean a voice, close it for all others (ridge regression)."""
    names = list(labels())
    wanted = torch.tensor([6.0 if set(ancestors(name)) & set(_VOICES) else -6.0 for name in names])
    rows = [encoder.embed_text(training_captions(labels()[name])) for name in names]
    vectors = torch.cat(rows)
    targets = torch.cat([wanted[i].expand(len(row)) for i, row in enumerate(rows)])
    design = torch.cat([vectors, torch.ones(len(vectors), 1)], dim=1)
    weights = torch.tensor([1.0 / len(row) for row in rows for _ in row])[:, None]
    gram = design.T @ (design * weights) + 1e-3 * torch.eye(design.shape[1])
    solution = torch.linalg.solve(gram, design.T @ (targets * weights[:, 0]))
    model.gate.weight.data = solution[None, :-1].clone()
    model.gate.bias.data = solution[-1:].clone()


def phrase_vectors(corpus: Corpus, encoder: Encoder) -> dict[str, Tensor]:
    """Embed the training captions of every label that a corpus can ask for."""
    wider = wider_labels(corpus)
    names = {*STEMS, "accompaniment", *wider, *(name for row in wider.values() for name in row)}
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

    def separate(mixture: Tensor) -> dict[str, Tensor]:
        with torch.inference_mode():
            pieces = list(
                overlap_add(
                    [mixture.numpy()],
                    model.grid(settings),
                    lambda window: model.separate(torch.from_numpy(window), prepared).numpy(),
                )
            )
        whole = torch.cat([torch.from_numpy(piece) for piece in pieces], dim=-1)
        return dict(zip(STEMS, whole[:-1], strict=True))

    return separate


def described(corpus: Corpus) -> tuple[dict[str, Any], ...]:
    """What a card says of its training data: songs by licence class, clips by label."""
    rows: list[dict[str, Any]] = []
    for licence in sorted({song.licence_class for song in corpus.songs}):
        for rendered in (False, True):
            songs = [
                s for s in corpus.songs if s.licence_class == licence and s.rendered == rendered
            ]
            if songs:
                rows.append(
                    {
                        "dataset": "rendered songs" if rendered else "songs with stems",
                        "licence_class": licence,
                        "songs": len(songs) if rendered else sorted(song.name for song in songs),
                        "hours": round(sum(s.samples for s in songs) / 44100 / 3600, 2),
                    }
                )
    if corpus.clips:
        rows.append({"dataset": "labelled clips", "labels": sorted(corpus.clips)})
    return tuple(rows)


def _licence(corpus: Corpus) -> str:
    classes = {song.licence_class for song in corpus.songs} | set(corpus.clip_classes)
    if "research" in classes:
        return "research use only"
    if "nc" in classes:
        return "CC-BY-NC-SA-4.0"
    return "CC-BY-SA-4.0" if "sharealike" in classes else "MIT"


def _song_folder(folders: Iterable[Path], name: str) -> Path:
    for folder in folders:
        for description in Path(folder).rglob("song.json"):
            if description.parent.name == name:
                return description.parent
    raise DataError(f"--dev {name}: no such song in {', '.join(map(str, folders))}")
