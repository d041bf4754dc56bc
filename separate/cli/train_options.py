"""Options that the commands of `separate train` share, and the settings that they fill.

Modules that need torch are imported inside functions, so that `--help` answers at once.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from separate.train.settings import TUNE, LoopConfig, RunSettings, TuneConfig

if TYPE_CHECKING:
    from separate.train.start import Size

Folders = Annotated[list[Path], typer.Argument(help="Folders made by `separate data`.")]
Run = Annotated[Path, typer.Option(help="Folder of the run; an unfinished run is resumed.")]
Init = Annotated[
    str,
    typer.Option(
        "--init", "--from", help="spleeter-2stems, a model's name or path, random, or small."
    ),
]
Dev = Annotated[list[str] | None, typer.Option(help="Song held out for scoring; repeatable.")]
Licences = Annotated[str, typer.Option(help="Licence classes to use, comma-separated.")]
Minutes = Annotated[float, typer.Option(min=0, help="Wall-clock limit of this call.")]
Steps = Annotated[int, typer.Option(min=1, help="Optimiser steps of the whole run.")]
Batch = Annotated[int, typer.Option(min=1, help="Examples per step and process.")]
LearningRate = Annotated[
    float,
    typer.Option("--learning-rate", "--rate", help="Learning rate."),
]
DecaySteps = Annotated[int, typer.Option(help="Steps of the cosine decay; 0: none.")]
Anneal = Annotated[
    bool, typer.Option("--anneal", help="Decay the learning rate to 0 by the end of --minutes.")
]
Warmup = Annotated[int, typer.Option(help="Steps of linear warm-up.")]
EmaDecay = Annotated[
    float,
    typer.Option("--ema-decay", "--average", help="Decay of the weights' moving average."),
]
WeightDecay = Annotated[float, typer.Option(help="Weight decay of AdamW.")]
SaveMinutes = Annotated[float, typer.Option(min=0, help="Time between checkpoints.")]
Seed = Annotated[int, typer.Option(help="Seed of initial weights and examples.")]
Threads = Annotated[int, typer.Option(help="Processor threads; 0: all.")]
Device = Annotated[str, typer.Option("--device", "-d", help="cpu, cuda or mps.")]
Name = Annotated[str, typer.Option(help="Name of the model in its card.")]
Precision = Annotated[str, typer.Option(help="Of the weights on disk: float32, float16 or int8.")]
Tune = Annotated[
    str,
    typer.Option(
        help="Part to train: all; film: normalisations and FiLM layers; music: the music net, which"
        " --widths, --dense and --last may resize; sounds: the net for sounds, to which the gate"
        " then routes the clips' labels."
    ),
]
Widths = Annotated[
    str | None,
    typer.Option(
        help="Channels of the six levels of a new network: --init small, --tune music or --tune"
        " sounds. A narrower music net keeps the channels of largest magnitude (pruning)."
    ),
]
Dense = Annotated[
    int | None,
    typer.Option(min=0, help="Width of the new network's dense layers along frequency; 0: none."),
]
Last = Annotated[
    int | None,
    typer.Option(min=0, help="Channels of the new network's last level; 0: half the first width."),
]
Frames = Annotated[
    int, typer.Option(min=64, help="STFT frames per example (23 ms each); a multiple of 64.")
]

_LICENCES = ",".join(RunSettings.licences)


@dataclass(frozen=True)
class Shared:
    """Options that all recipes share; each field is an option of its command."""

    corpus: Folders
    run: Run
    init: Init = RunSettings.init
    dev: Dev = None
    licences: Licences = _LICENCES
    minutes: Minutes = LoopConfig.minutes
    steps: Steps = LoopConfig.steps
    batch: Batch = LoopConfig.batch
    learning_rate: LearningRate = LoopConfig.learning_rate
    decay_steps: DecaySteps = LoopConfig.decay_steps
    anneal: Anneal = LoopConfig.anneal
    warmup: Warmup = LoopConfig.warmup
    ema_decay: EmaDecay = LoopConfig.ema_decay
    weight_decay: WeightDecay = LoopConfig.weight_decay
    save_minutes: SaveMinutes = LoopConfig.save_minutes
    seed: Seed = LoopConfig.seed
    threads: Threads = RunSettings.threads
    device: Device = RunSettings.device
    name: Name = RunSettings.name
    precision: Precision = RunSettings.precision
    tune: Tune = TuneConfig.tune
    widths: Widths = None
    dense: Dense = None
    last: Last = None

    def start(self, recipe: str, *, lr_scales: Mapping[str, float] = {}, **others: Any) -> None:
        """Run a recipe; the last line printed is the model's path.

        Args:
            recipe: Its name.
            lr_scales: Factors of the learning rate that differ from `TuneConfig`'s.
            others: Further fields of `RunConfig`.

        Raises:
            SettingsError: A setting is out of its range.
        """
        from separate.errors import SettingsError
        from separate.train.run_config import RunConfig
        from separate.train.runs import run_training

        if self.tune not in TUNE:
            raise SettingsError(f"--tune {self.tune!r}: take {', '.join(TUNE)}")
        config = RunConfig(
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
            tune=TuneConfig(tune=self.tune, **lr_scales),
            **others,
        )
        own = {option.name for option in fields(self)}
        loop = LoopConfig(
            **{f.name: getattr(self, f.name) for f in fields(LoopConfig) if f.name in own}
        )
        run_training(config, loop, log=typer.echo)

    def _size(self) -> "Size":
        """Return the requested size of a new network.

        Raises:
            SettingsError: The widths are not six positive numbers, or the run makes no new network.
        """
        from separate.errors import SettingsError
        from separate.train.start import Size

        widths = self.widths and whole_numbers("--widths", self.widths, 6)
        size = Size(widths or None, self.dense, self.last)
        if size.given and self.init != "small" and self.tune not in ("music", "sounds"):
            raise SettingsError(
                "--widths, --dense and --last need a new network: --init small, --tune music or"
                " --tune sounds"
            )
        return size


def with_shared(**defaults: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a command from a function whose first argument is `Shared`.

    Args:
        defaults: Defaults of shared options that differ from `Shared`.
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
    """Check that the network can process a number of frames.

    Raises:
        SettingsError: The number is no multiple of 64.
    """
    from separate.errors import SettingsError

    if frames % 64:
        raise SettingsError(f"--frames {frames}: give a multiple of 64")
    return frames


def whole_numbers(option: str, text: str, count: int) -> tuple[int, ...]:
    """Parse `count` positive integers, comma-separated.

    Raises:
        SettingsError: The text is something else.
    """
    from separate.errors import SettingsError

    parts = [part.strip() for part in text.split(",")]
    if len(parts) != count or not all(part.isdigit() and int(part) for part in parts):
        raise SettingsError(f"{option} {text}: give {count} positive numbers, comma-separated")
    return tuple(int(part) for part in parts)
