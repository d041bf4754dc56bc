"""What the commands of `separate train` share: options, and the settings that they fill.

Heavy imports stand inside the functions, so that help answers at once.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from separate.train.loop import LoopConfig

Folders = Annotated[list[Path], typer.Argument(help="Folders made by `separate data`.")]
Run = Annotated[Path, typer.Option(help="Folder of the run; an unfinished one is resumed.")]
Init = Annotated[
    str,
    typer.Option("--init", "--from", help="spleeter-2stems, a model's name or path, or random."),
]
Dev = Annotated[list[str] | None, typer.Option(help="Song held out to score on; repeat.")]
Licences = Annotated[str, typer.Option(help="Licence classes to use.")]
Minutes = Annotated[float, typer.Option(min=0, help="Wall-clock time of this call.")]
Steps = Annotated[int, typer.Option(min=1, help="Steps of the whole run.")]
Batch = Annotated[int, typer.Option(min=1, help="Examples a step and process.")]
Rate = Annotated[float, typer.Option(help="Learning rate.")]
DecaySteps = Annotated[int, typer.Option(help="Steps of the cosine decay; 0: none.")]
Warmup = Annotated[int, typer.Option(help="Steps of linear warm-up.")]
Average = Annotated[float, typer.Option(help="Decay of the averaged weights.")]
Seed = Annotated[int, typer.Option(help="Of initial weights and examples.")]
Threads = Annotated[int, typer.Option(help="Processor threads; 0: all.")]
Device = Annotated[str, typer.Option("--device", "-d", help="cpu, cuda or mps.")]
Name = Annotated[str, typer.Option(help="Name of the model in its card.")]
Precision = Annotated[str, typer.Option(help="On disk: float32, float16, int8.")]
Tune = Annotated[
    str, typer.Option(help="all, or film: only normalisations and what the query steers.")
]
Frames = Annotated[int, typer.Option(min=64, help="Spectra an example (23 ms each), x 64.")]


def loop_of(minutes: float, steps: int, batch: int, rate: float, **others: Any) -> "LoopConfig":
    """Fill the loop's settings; others by their names there."""
    from separate.train.loop import LoopConfig

    return LoopConfig(minutes=minutes, steps=steps, batch=batch, rate=rate, **others)


def start(folders: list[Path], loop: "LoopConfig", licences: str, **others: Any) -> None:
    """Run a plan; the last line printed is the model's path.

    Args:
        folders: Of cached audio.
        loop: The loop's settings.
        licences: Classes, comma-separated.
        others: Fields of the plan.

    Raises:
        SettingsError: A setting is out of its range.
    """
    from separate.errors import SettingsError
    from separate.train.runs import Plan, run_training
    from separate.train.trunk import TUNE, TrunkConfig

    tune = others.pop("tune", "all")
    if tune not in TUNE:
        raise SettingsError(f"--tune {tune!r}: take {' or '.join(TUNE)}")
    others["dev"] = tuple(others.pop("dev", None) or ())
    plan = Plan(
        folders=tuple(folders),
        licences=tuple(part.strip() for part in licences.split(",")),
        trunk=TrunkConfig(tune=tune),
        **others,
    )
    run_training(plan, loop, log=typer.echo)


def whole_blocks(frames: int) -> int:
    """Return a number of frames that the network takes.

    Raises:
        SettingsError: It is no multiple of 64.
    """
    from separate.errors import SettingsError

    if frames % 64:
        raise SettingsError(f"--frames {frames}: give a multiple of 64")
    return frames
