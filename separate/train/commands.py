"""`separate train`: recipes on the command line.

In: folders of cached audio and options. Out: a run folder, and in the end a model with its card.
"""

from pathlib import Path
from typing import Annotated

import typer

train_app = typer.Typer(no_args_is_help=True, help="Train or adapt a separator of your own.")


@train_app.callback()
def train() -> None:
    """Train or adapt a separator of your own."""  # makes a recipe's name part of the command


@train_app.command()
def supervised(
    corpus: Annotated[list[Path], typer.Argument(help="Folders made by `separate data`.")],
    run: Annotated[Path, typer.Option(help="Folder of the run; an unfinished one is resumed.")],
    init: Annotated[
        str, typer.Option(help="Start: spleeter-2stems, a model's name or path, or random.")
    ] = "spleeter-2stems",
    dev: Annotated[list[str] | None, typer.Option(help="Song held out to score on.")] = None,
    licences: Annotated[str, typer.Option(help="Licence classes to use.")] = "free,sharealike",
    minutes: Annotated[float, typer.Option(help="Wall-clock time of this call.")] = 60.0,
    steps: Annotated[int, typer.Option(help="Steps of the whole run.")] = 1_000_000,
    batch: Annotated[int, typer.Option(help="Examples a step.")] = 2,
    rate: Annotated[float, typer.Option(help="Learning rate.")] = 3e-4,
    decay_steps: Annotated[int, typer.Option(help="Steps of the cosine decay; 0: none.")] = 0,
    warmup: Annotated[int, typer.Option(help="Steps of linear warm-up.")] = 100,
    average: Annotated[float, typer.Option(help="Decay of the averaged weights.")] = 0.999,
    seed: Annotated[int, typer.Option(help="Of initial weights and examples.")] = 0,
    threads: Annotated[int, typer.Option(help="Processor threads; 0: all.")] = 0,
    device: Annotated[str, typer.Option("--device", "-d", help="cpu, cuda or mps.")] = "cpu",
    name: Annotated[str, typer.Option(help="Name of the model in its card.")] = "mine",
    precision: Annotated[str, typer.Option(help="On disk: float32, float16, int8.")] = "int8",
) -> None:
    """Mix and separate: learn from songs with stems and from labelled clips."""
    from separate.train.loop import LoopConfig
    from separate.train.runs import SupervisedRun, run_supervised

    loop = LoopConfig(
        minutes=minutes,
        steps=steps,
        batch=batch,
        rate=rate,
        warmup=warmup,
        decay_steps=decay_steps,
        average=average,
        seed=seed,
    )
    plan = SupervisedRun(
        folders=tuple(corpus),
        run=run,
        init=init,
        dev=tuple(dev or ()),
        licences=tuple(part.strip() for part in licences.split(",")),
        threads=threads,
        device=device,
        name=name,
        precision=precision,
    )
    path = run_supervised(plan, loop, log=typer.echo)
    typer.echo(str(path))
