"""What the commands of `separate train` share: options, and the settings that they fill.

Heavy imports stand inside the functions, so that help answers at once.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from separate.train.start import Size

Folders = Annotated[list[Path], typer.Argument(help="Folders made by `separate data`.")]
Run = Annotated[Path, typer.Option(help="Folder of the run; an unfinished one is resumed.")]
Init = Annotated[
    str,
    typer.Option(
        "--init", "--from", help="spleeter-2stems, a model's name or path, random, or small."
    ),
]
Dev = Annotated[list[str] | None, typer.Option(help="Song held out to score on; repeat.")]
Licences = Annotated[str, typer.Option(help="Licence classes to use.")]
Minutes = Annotated[float, typer.Option(min=0, help="Wall-clock time of this call.")]
Steps = Annotated[int, typer.Option(min=1, help="Steps of the whole run.")]
Batch = Annotated[int, typer.Option(min=1, help="Examples a step and process.")]
Rate = Annotated[float, typer.Option(help="Learning rate.")]
DecaySteps = Annotated[int, typer.Option(help="Steps of the cosine decay; 0: none.")]
Anneal = Annotated[
    bool, typer.Option("--anneal", help="Let the rate fall to nothing by the end of --minutes.")
]
Warmup = Annotated[int, typer.Option(help="Steps of linear warm-up.")]
Average = Annotated[float, typer.Option(help="Decay of the averaged weights.")]
WeightDecay = Annotated[float, typer.Option(help="AdamW's.")]
SaveMinutes = Annotated[float, typer.Option(min=0, help="Time between checkpoints.")]
Seed = Annotated[int, typer.Option(help="Of initial weights and examples.")]
Threads = Annotated[int, typer.Option(help="Processor threads; 0: all.")]
Device = Annotated[str, typer.Option("--device", "-d", help="cpu, cuda or mps.")]
Name = Annotated[str, typer.Option(help="Name of the model in its card.")]
Precision = Annotated[str, typer.Option(help="On disk: float32, float16, int8.")]
Tune = Annotated[
    str,
    typer.Option(
        help="all; film: only normalisations and what the query steers; music: only the music"
        " trunk, made anew with layer normalisation where it has none; sounds: only the net for"
        " sounds, which then answers for the clips' labels."
    ),
]
Widths = Annotated[
    str | None,
    typer.Option(
        help="Of the six convolutions of a net that is made: --init small, --tune music, --tune"
        " sounds. A narrower music trunk keeps what weighs most of the one there is."
    ),
]
Dense = Annotated[
    int | None, typer.Option(min=0, help="Width of its dense layers along frequency; 0: none.")
]
Last = Annotated[
    int | None, typer.Option(min=0, help="Channels of its last level; 0: half the first width.")
]
Frames = Annotated[int, typer.Option(min=64, help="Spectra an example (23 ms each), x 64.")]


@dataclass(frozen=True)
class Shared:
    """What every recipe is given; each field is an option of its command."""

    corpus: Folders
    run: Run
    init: Init = "spleeter-2stems"
    dev: Dev = None
    licences: Licences = "free,sharealike"
    minutes: Minutes = 60.0
    steps: Steps = 1_000_000
    batch: Batch = 2
    rate: Rate = 3e-4
    decay_steps: DecaySteps = 0
    anneal: Anneal = False
    warmup: Warmup = 100
    average: Average = 0.999
    weight_decay: WeightDecay = 1e-4
    save_minutes: SaveMinutes = 5.0
    seed: Seed = 0
    threads: Threads = 0
    device: Device = "cpu"
    name: Name = "mine"
    precision: Precision = "int8"
    tune: Tune = "all"
    widths: Widths = None
    dense: Dense = None
    last: Last = None

    def start(self, recipe: str, *, multiples: Mapping[str, float] = {}, **others: Any) -> None:
        """Run a recipe; the last line printed is the model's path.

        Args:
            recipe: Its name.
            multiples: Of the learning rate, see `TrunkConfig`, where they differ.
            others: Further fields of the plan.

        Raises:
            SettingsError: A setting is out of its range.
        """
        from separate.errors import SettingsError
        from separate.train.loop import LoopConfig
        from separate.train.plan import Plan
        from separate.train.runs import run_training
        from separate.train.trunk import TUNE, TrunkConfig

        if self.tune not in TUNE:
            raise SettingsError(f"--tune {self.tune!r}: take {', '.join(TUNE)}")
        plan = Plan(
            folders=tuple(self.corpus),
            run=self.run,
            recipe=recipe,
            init=self.init,
            size=self._size(),
            dev=tuple(self.dev or ()),
            licences=tuple(part.strip() for part in self.licences.split(",")),
            threads=self.threads,
            device=self.device,
            name=self.name,
            precision=self.precision,
            trunk=TrunkConfig(tune=self.tune, **multiples),
            **others,
        )
        loop = LoopConfig(
            minutes=self.minutes,
            steps=self.steps,
            batch=self.batch,
            rate=self.rate,
            warmup=self.warmup,
            decay_steps=self.decay_steps,
            anneal=self.anneal,
            weight_decay=self.weight_decay,
            average=self.average,
            save_minutes=self.save_minutes,
            seed=self.seed,
        )
        run_training(plan, loop, log=typer.echo)

    def _size(self) -> "Size":
        """Return what is asked of the size of a net that is made.

        Raises:
            SettingsError: The widths are not six positive numbers, or no net is made.
        """
        from separate.errors import SettingsError
        from separate.train.start import Size

        widths = self.widths and whole_numbers("--widths", self.widths, 6)
        size = Size(widths or None, self.dense, self.last)
        if size.given and self.init != "small" and self.tune not in ("music", "sounds"):
            raise SettingsError(
                "--widths, --dense and --last are of a net that is made: --init small, --tune"
                " music or --tune sounds"
            )
        return size


def with_shared(**defaults: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a command of a function whose first argument is `Shared`.

    Args:
        defaults: Of shared options, where they differ.
    """

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        def command(**values: Any) -> None:
            given = {field.name: values.pop(field.name) for field in fields(Shared)}
            function(Shared(**given), **values)

        _, *own = inspect.signature(function).parameters.values()
        shared = [
            inspect.Parameter(
                field.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=defaults.get(field.name, _or_empty(field.default)),
                annotation=field.type,
            )
            for field in fields(Shared)
        ]
        later = [option.replace(kind=inspect.Parameter.KEYWORD_ONLY) for option in own]
        command.__signature__ = inspect.Signature([*shared, *later])  # type: ignore[attr-defined]
        command.__name__, command.__doc__ = function.__name__, function.__doc__
        return command

    return decorate


def _or_empty(default: Any) -> Any:
    return inspect.Parameter.empty if default is MISSING else default


def whole_blocks(frames: int) -> int:
    """Return a number of frames that the network takes.

    Raises:
        SettingsError: It is no multiple of 64.
    """
    from separate.errors import SettingsError

    if frames % 64:
        raise SettingsError(f"--frames {frames}: give a multiple of 64")
    return frames


def whole_numbers(option: str, text: str, count: int) -> tuple[int, ...]:
    """Read so many positive numbers, comma-separated.

    Raises:
        SettingsError: They are others.
    """
    from separate.errors import SettingsError

    parts = [part.strip() for part in text.split(",")]
    if len(parts) != count or not all(part.isdigit() and int(part) for part in parts):
        raise SettingsError(f"{option} {text}: give {count} positive numbers, comma-separated")
    return tuple(int(part) for part in parts)
