"""`separate eval weak`: the weakly supervised experiment in one command."""

from pathlib import Path
from typing import Annotated

import typer

from separate.evals.cli.options import Out


def weak_command(
    path: Annotated[Path, typer.Argument(help="A folder with one folder of clips a label.")],
    tagger: Annotated[
        str, typer.Option(help="Finds anchors, scores estimates: an EfficientAT .pt, or its name.")
    ] = "efficientat-mn04",
    arms: Annotated[
        str,
        typer.Option(help="Comma-separated; semi@0.05 may use 5 % of the clips alone."),
    ] = "unsupervised,weak,supervised,semi",
    seeds: Annotated[str, typer.Option(help="Comma-separated numbers.")] = "0,1,2",
    sources: Annotated[
        str, typer.Option(help="Of the mixtures that are learned from; comma-separated.")
    ] = "2",
    steps: Annotated[int, typer.Option(min=1, help="Of training, for every arm.")] = 1600,
    batch: Annotated[int, typer.Option(min=1, help="Examples a step.")] = 4,
    learning_rate: Annotated[
        float, typer.Option("--learning-rate", "--rate", help="Learning rate.")
    ] = 6e-3,
    frames: Annotated[int, typer.Option(min=64, help="Spectra an example, x 64.")] = 64,
    tests: Annotated[int, typer.Option(min=1, help="Mixtures to test on.")] = 60,
    seconds: Annotated[float, typer.Option(min=0.5, help="Of a test mixture.")] = 3.0,
    labels: Annotated[str | None, typer.Option(help="Only these, comma-separated.")] = None,
    single_share: Annotated[
        float, typer.Option(min=0, max=1, help="Part of the clips that may be used alone.")
    ] = 1.0,
    wrong_captions: Annotated[
        float, typer.Option(min=0, max=1, help="Part of the phrases left out or swapped.")
    ] = 0.0,
    evaluate_steps: Annotated[
        int, typer.Option(min=0, help="Steps between points of the curves; 0: no curves.")
    ] = 200,
    threads: Annotated[int, typer.Option(min=1, help="Of torch.")] = 1,
    out: Out = None,
) -> None:
    """Train one small separator in several ways (unsupervised, weak, ...) and compare them."""
    import torch

    from separate.evals.cli import options
    from separate.evals.tasks.weak import ExperimentConfig, run_experiment
    from separate.train.recipes.small_separator import ArmConfig

    torch.set_num_threads(threads)
    common = ArmConfig(
        "weak", 0, steps, batch, learning_rate, frames, wrong_captions=wrong_captions,
        single_share=single_share, evaluate_steps=evaluate_steps,
    )  # fmt: skip
    config = ExperimentConfig(
        common, _numbers("--seeds", seeds), _numbers("--sources", sources), tests,
        seconds=seconds, labels=tuple(options.split_list(labels) or ()),
    )  # fmt: skip
    runs = out / "runs" if out is not None else None
    chosen = options.split_list(arms) or []
    result = run_experiment(path, tagger, config, arms=chosen, runs=runs, log=typer.echo)
    options.finish(result, out)


def _numbers(option: str, text: str) -> tuple[int, ...]:
    """Read whole numbers between commas."""
    from separate.errors import SettingsError

    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise SettingsError(f"{option} {text}: give whole numbers and commas") from error
