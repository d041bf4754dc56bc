"""A training run by any recipe: from a corpus to `<run>/<name>.safetensors` and its card."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from torch import nn

from separate.errors import SettingsError
from separate.models import registry
from separate.models.ibm_cnn import STEMS
from separate.models.registry import Card
from separate.queries.encoders import load_encoder
from separate.train import distributed
from separate.train.cards import described, licence_of
from separate.train.data.folders import load_corpus, load_song
from separate.train.dev import DevSet, song_folder, stems_separator
from separate.train.loop import train
from separate.train.recipes.catalogue import build
from separate.train.run_config import RunConfig
from separate.train.settings import LoopConfig
from separate.train.start import (
    for_sounds,
    initial,
    initial_ibm,
    teacher,
    with_music,
    with_sounds,
)

_NAMED = 5  # names listed in a message
_SUMMARIES = {
    "query-unet": "Query-conditioned U-Net: any query in words or by example.",
    "small-unet": "Small query-conditioned U-Net, trained from random weights.",
    "ibm-cnn": "CNN trained on the ideal binary mask: the voice and all else, mono masks to 8 kHz.",
}


def run_training(config: RunConfig, loop: LoopConfig, log: Callable[[str], None] = print) -> Path:
    """Train by the config and store the averaged model.

    Under `torchrun` every process calls this; the first writes.

    Returns:
        Path of the `.safetensors` file.

    Raises:
        DataError: The corpus holds nothing usable, or a development song is missing.
        SettingsError: The device cannot be used.
    """
    device = distributed.join(_usable(config.device))
    first = distributed.rank() == 0
    say = log if first else _nothing
    if config.threads:
        torch.set_num_threads(config.threads)
    torch.manual_seed(loop.seed)
    torch.backends.cudnn.benchmark = True  # examples have one size
    corpus = load_corpus(config.folders, config.licences, exclude=config.dev)
    say(f"{len(corpus.songs)} songs, {corpus.hours:.2f} h, {len(corpus.clips)} labels of clips")
    if corpus.mixtures:
        say(f"{len(corpus.mixtures)} recordings without stems")
    if corpus.barred:
        names = _some(corpus.barred)
        say(f"{len(corpus.barred)} songs and labels left out for their licences: {names}")
    for line in corpus.skipped:
        say(f"skipped: {line}")
    if corpus.skipped:
        say(f"{len(corpus.skipped)} skipped in all")
    encoder = load_encoder("embedded")
    is_ibm = config.recipe == "ibm"
    if is_ibm:
        start = initial_ibm(config.init, config.ibm_cnn)
    else:
        start = initial(config.init, encoder, config.size)
    if config.tune.tune == "music":
        start = with_music(start, config.size, say)
    if config.tune.tune == "sounds":
        start = with_sounds(start, encoder, corpus.clips, config.size)
    elif theirs := for_sounds(start.model, encoder, corpus.clips):
        say(f"{len(theirs)} labels use the net for sounds, which --tune sounds trains")
    dev = DevSet([load_song(song_folder(config.folders, name)) for name in config.dev])
    scores: dict[str, float] = {}  # the last ones

    def evaluate(net: nn.Module) -> dict[str, float]:
        if dev.songs:
            scores.update(dev.score(stems_separator(net, dev.stems)))
        return scores

    taught = start if config.teacher is None else teacher(config.teacher, start)
    guide = None if taught is start else taught.model
    recipe = build(config, corpus, start.model, encoder, loop.seed, evaluate, device, guide)
    started = time.monotonic()
    best = train(recipe, loop, config.run, log=say)
    path = config.run / f"{config.name}.safetensors"
    if first:
        card = Card(
            name=config.name,
            kind=registry.kind_of(start.model),
            summary=_SUMMARIES[registry.kind_of(start.model)],
            config=registry.config_of(start.model),
            licence=licence_of(corpus, start.licence, taught.licence),
            query_encoder=None if is_ibm else encoder.name,
            stems=STEMS if is_ibm else (),
            initialised_from=config.init,
            notices=tuple(dict.fromkeys((*start.notices, *taught.notices))),
            trained_on=_seen(start.trained_on, taught.trained_on, described(corpus)),
            seed=loop.seed,
            scores={"dev": scores},
            extra={
                "recipe": config.recipe,
                "tune": config.tune.tune,
                "teacher": config.teacher,
                "loop": asdict(loop),
                "processes": distributed.world_size(),
                "last_call_minutes": (time.monotonic() - started) / 60,
            },
        )
        registry.save(best, card, path, precision=config.precision)
    distributed.leave()
    say(str(path))
    return path


def _seen(*parts: Sequence[dict]) -> tuple[dict, ...]:
    """Join what the start and a teacher were trained on and what the run adds, each once."""
    rows: list[dict] = []
    for part in parts:
        rows += [row for row in part if row not in rows]
    return tuple(rows)


def _some(names: Sequence[str]) -> str:
    """Name the first few."""
    more = "; see --licences" if len(names) <= _NAMED else " ...; see --licences"
    return ", ".join(names[:_NAMED]) + more


def _usable(device: str) -> str:
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise SettingsError(f"--device {device}: not usable here ({reason}); take cpu") from error
    return device


def _nothing(line: str) -> None:
    pass
