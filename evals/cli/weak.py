"""`separate eval weak`: the weakly supervised experiment in one command."""

from pathlib import Path
from typing import Annotated

import typer

from separate.evals.cli.options import Out


def weak_command(
    path: Annotated[Path, typer.Argument(help="A folder with one folder of clips a label.")],
    tagger: Annotated[
        str, typer.Option(help="Hears estimates: an EfficientAT .pt, or its name.")
    ] = "efficientat-mn04",
    arms: Annotated[str, typer.Option(help="Comma-separated; anchors and random-crops too.")] = (
        "unsupervised,weak,supervised,semi"
    ),
    seeds: Annotated[str, typer.Option(help="Comma-separated numbers.")] = "0,1,2",
    steps: Annotated[int, typer.Option(min=1, help="Of training, for every arm.")] = 400,
    batch: Annotated[int, typer.Option(min=1, help="Examples a step.")] = 4,
    rate: Annotated[float, typer.Option(help="Learning rate.")] = 6e-3,
    frames: Annotated[int, typer.Option(min=64, help="Spectra an example, x 64.")] = 64,
    tests: Annotated[int, typer.Option(min=1, help="Mixtures to test on.")] = 60,
    seconds: Annotated[float, typer.Option(min=0.5, help="Of a test mixture.")] = 3.0,
    labels: Annotated[str | None, typer.Option(help="Only these, comma-separated.")] = None,
    single_share: Annotated[
        float, typer.Option(min=0, max=1, help="Part of the clips that may be seen alone.")
    ] = 1.0,
    threads: Annotated[int, typer.Option(min=1, help="Of torch.")] = 1,
    out: Out = None,
) -> None:
    """Train one small separator in four ways (unsupervised, weak, ...) and compare them."""
    import torch

    from separate.errors import SettingsError
    from separate.evals.cli import options
    from separate.evals.tasks.weak import (
        ANCHOR_ARMS,
        ARMS,
        ExperimentConfig,
        run_experiment,
    )

    chosen = options.split_list(arms) or []
    if unknown := set(chosen) - {*ARMS, *ANCHOR_ARMS}:
        known = ", ".join((*ARMS, *ANCHOR_ARMS))
        raise SettingsError(f"--arms {min(unknown)!r}: take of {known}")
    try:
        numbers = tuple(int(part) for part in seeds.split(","))
    except ValueError as error:
        raise SettingsError(f"--seeds {seeds}: give whole numbers and commas") from error
    torch.set_num_threads(threads)
    config = ExperimentConfig(
        steps=steps, batch=batch, rate=rate, frames=frames, seeds=numbers, tests=tests,
        seconds=seconds, labels=tuple(options.split_list(labels) or ()), single_share=single_share,
    )  # fmt: skip
    runs = out / "runs" if out is not None else None
    result = run_experiment(path, tagger, config, arms=chosen, runs=runs, log=typer.echo)
    options.finish(result, out)
