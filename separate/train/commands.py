"""`separate train`: recipes on the command line.

In: folders of cached audio and options. Out: a run folder, and in the end a model with its card.
"""

from pathlib import Path
from typing import Annotated

import typer

from separate.train import options
from separate.train.options import (
    Average,
    Batch,
    DecaySteps,
    Dev,
    Device,
    Folders,
    Frames,
    Init,
    Licences,
    Minutes,
    Name,
    Precision,
    Rate,
    Run,
    Seed,
    Steps,
    Threads,
    Tune,
    Warmup,
)

train_app = typer.Typer(no_args_is_help=True, help="Train or adapt a separator of your own.")
_MIXTURE_RECIPES = {
    "unsupervised": "Learn from mixtures of mixtures and their captions alone.",
    "weak": "Learn from mixtures, their captions, and what a query net hears in the estimates.",
    "semi": "As weak, and from single sources too.",
}


@train_app.callback()
def train() -> None:
    """Train or adapt a separator of your own."""  # makes a recipe's name part of the command


@train_app.command()
def supervised(
    corpus: Folders,
    run: Run,
    init: Init = "spleeter-2stems",
    dev: Dev = None,
    licences: Licences = "free,sharealike",
    minutes: Minutes = 60.0,
    steps: Steps = 1_000_000,
    batch: Batch = 2,
    rate: Rate = 3e-4,
    decay_steps: DecaySteps = 0,
    warmup: Warmup = 100,
    average: Average = 0.999,
    seed: Seed = 0,
    threads: Threads = 0,
    device: Device = "cpu",
    name: Name = "mine",
    precision: Precision = "int8",
    tune: Tune = "all",
    frames: Frames = 256,
    joined: Annotated[
        float, typer.Option(min=0, max=1, help="Share of queries for two sources at once.")
    ] = 0.0,
) -> None:
    """Mix and separate: learn from songs with stems and from labelled clips."""
    from separate.train.mixing import MixConfig

    loop = options.loop_of(
        minutes, steps, batch, rate, warmup=warmup, decay_steps=decay_steps, average=average,
        seed=seed,
    )  # fmt: skip
    options.start(
        corpus, loop, licences, recipe="supervised", run=run, init=init, dev=dev, threads=threads,
        device=device, name=name, precision=precision, tune=tune,
        mix=MixConfig(frames=options.whole_blocks(frames), joined=joined),
    )  # fmt: skip


@train_app.command()
def adapt(
    folder: Annotated[Path, typer.Argument(help="Your songs with stems, or clips by label.")],
    run: Run,
    init: Init = "default",
    dev: Dev = None,
    minutes: Minutes = 5.0,
    steps: Steps = 1_000_000,
    batch: Batch = 2,
    rate: Rate = 3e-4,
    seed: Seed = 0,
    threads: Threads = 0,
    device: Device = "cpu",
    name: Name = "adapted",
    precision: Precision = "int8",
    tune: Tune = "film",
) -> None:
    """Adapt a model to a few songs of your own in minutes: its normalisations and FiLM layers."""
    from separate.train.data import LICENCE_CLASSES, cached_folder

    loop = options.loop_of(
        minutes, steps, batch, rate, warmup=20, average=0.99, seed=seed, weight_decay=0.0
    )
    options.start(
        [cached_folder(folder, run / "audio", log=typer.echo)], loop, ",".join(LICENCE_CLASSES),
        recipe="supervised", run=run, init=init, dev=dev, threads=threads, device=device,
        name=name, precision=precision, tune=tune,
    )  # fmt: skip


def _mixture_command(recipe: str) -> None:
    """Add one of the recipes that learn from mixtures; they share their options."""

    def command(
        corpus: Folders,
        run: Run,
        init: Init = "spleeter-2stems",
        dev: Dev = None,
        licences: Licences = "free,sharealike",
        minutes: Minutes = 60.0,
        steps: Steps = 1_000_000,
        batch: Batch = 2,
        rate: Rate = 1e-4,
        decay_steps: DecaySteps = 0,
        warmup: Warmup = 100,
        average: Average = 0.999,
        seed: Seed = 0,
        threads: Threads = 0,
        device: Device = "cpu",
        name: Name = "mine",
        precision: Precision = "int8",
        tune: Tune = "all",
        frames: Frames = 128,
        sources: Annotated[int, typer.Option(min=1, help="Sources a mixture.")] = 2,
        listener: Annotated[
            str,
            typer.Option(
                help="Hears the estimates (weak, semi): embedded, clap, efficientat-mn04, or a .pt."
            ),
        ] = "embedded",
        singles: Annotated[
            list[Path] | None, typer.Option(help="Folder of single sources (semi); repeat.")
        ] = None,
    ) -> None:
        from separate.train.mixtures import MixtureConfig

        loop = options.loop_of(
            minutes, steps, batch, rate, warmup=warmup, decay_steps=decay_steps, average=average,
            seed=seed,
        )  # fmt: skip
        mixtures = MixtureConfig(frames=options.whole_blocks(frames), sources=sources)
        options.start(
            corpus, loop, licences, recipe=recipe, run=run, init=init, dev=dev, threads=threads,
            device=device, name=name, precision=precision, tune=tune, mixtures=mixtures,
            listener=listener, singles=tuple(singles or ()),
        )  # fmt: skip

    train_app.command(recipe, help=_MIXTURE_RECIPES[recipe])(command)


for _recipe in _MIXTURE_RECIPES:
    _mixture_command(_recipe)


@train_app.command()
def anchors(
    corpus: Folders,
    run: Run,
    init: Init = "spleeter-2stems",
    dev: Dev = None,
    licences: Licences = "free,sharealike",
    minutes: Minutes = 60.0,
    steps: Steps = 1_000_000,
    batch: Batch = 2,
    rate: Rate = 3e-4,
    decay_steps: DecaySteps = 0,
    warmup: Warmup = 100,
    average: Average = 0.999,
    seed: Seed = 0,
    threads: Threads = 0,
    device: Device = "cpu",
    name: Name = "mine",
    precision: Precision = "int8",
    tune: Tune = "all",
    frames: Frames = 128,
    tagger: Annotated[
        str, typer.Option(help="Finds anchors: embedded, efficientat-mn04, or its .pt.")
    ] = "embedded",
    condition: Annotated[
        str, typer.Option(help="Ask by tags (the tagger's vector of the anchor) or name.")
    ] = "tags",
    random_crops: Annotated[
        bool, typer.Option("--random-crops", help="Any stretch of a clip instead of anchors.")
    ] = False,
) -> None:
    """Learn from clips of which only the label is known: USS's anchors."""
    from separate.errors import SettingsError
    from separate.train.anchors import CONDITIONS, AnchorConfig

    if condition not in CONDITIONS:
        raise SettingsError(f"--condition {condition!r}: take {' or '.join(CONDITIONS)}")
    loop = options.loop_of(
        minutes, steps, batch, rate, warmup=warmup, decay_steps=decay_steps, average=average,
        seed=seed,
    )  # fmt: skip
    settings = AnchorConfig(
        options.whole_blocks(frames), mined=not random_crops, condition=condition
    )
    options.start(
        corpus, loop, licences, recipe="anchors", run=run, init=init, dev=dev, threads=threads,
        device=device, name=name, precision=precision, tune=tune, anchors=settings, tagger=tagger,
    )  # fmt: skip
