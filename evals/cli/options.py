"""The options that evaluation commands share, as one dataclass, and what the commands do with them.

Heavy imports are inside the functions, so that help is printed without delay.
"""

import contextlib
import inspect
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from separate.evals.data.songs import SongReader
    from separate.evals.tasks.evaluation import Evaluation
    from separate.evals.tasks.methods import Method
    from separate.evals.tasks.runner import Progress

Out = Annotated[Path | None, typer.Option("--out", "-o", help="Folder for result.json.")]
METHOD = ("model", "estimates", "oracle", "band", "mixture")  # options that say what is scored
RUN = ("resume", "out", "report", "jobs", "device", "threads")  # options that every command has


@dataclass(frozen=True)
class Choice:
    """What is scored."""

    method: "Method"
    stems: tuple[str, ...]
    trained_on: tuple[Mapping[str, Any], ...] | None  # None: unknown


@dataclass(frozen=True)
class EvalOptions:
    """Options of several evaluations; each command has those that it names in `with_options`."""

    model: Annotated[
        str | None, typer.Option("--model", "-n", help="Model; the masks of a,b are averaged.")
    ] = None
    estimates: Annotated[
        Path | None, typer.Option(help="Score files DIR/SONG/STEM.wav of any tool.")
    ] = None
    oracle: Annotated[str | None, typer.Option(help="Score ideal masks: ibm, irm or mwf.")] = None
    band: Annotated[
        str, typer.Option(help="Band of ideal masks: whole, or model (up to 11 kHz).")
    ] = "whole"
    mixture: Annotated[bool, typer.Option("--mixture", help="Score the mixture itself.")] = False
    split: Annotated[str | None, typer.Option(help="Only this split (sub-folder).")] = None
    stems: Annotated[
        str | None, typer.Option(help="Stems, comma-separated; default: the model's.")
    ] = None
    mask_rule: Annotated[
        str, typer.Option(help="Masks of several stems: sum-to-mix, or free (independent).")
    ] = "sum-to-mix"
    dataset: Annotated[str | None, typer.Option(help="Name of the data set.")] = None
    resume: Annotated[bool, typer.Option("--resume", help="Keep the scores of an earlier run.")] = (
        False
    )
    out: Out = None
    report: Annotated[Path | None, typer.Option(help="Folder for an HTML page.")] = None
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, help="Processes.")] = 1
    device: Annotated[str, typer.Option("--device", "-d", help="cpu, cuda, mps.")] = "cpu"
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads of torch in each process.")
    ] = None

    def check(self) -> None:
        """Refuse, before the work, options that cannot be fulfilled.

        Raises:
            SettingsError: `--resume` has no folder of an earlier run.
            OutputError: The folder for the page cannot be written.
        """
        from separate.audio import check_writable
        from separate.errors import SettingsError

        if self.resume and self.out is None:
            raise SettingsError("--resume needs --out, the folder of the earlier run")
        if self.report is not None:
            check_writable(self.report)

    def choose(self, default_stems: tuple[str, ...] | None = None) -> Choice:
        """Return what is scored, the stems, and what the model was trained on, if known.

        Args:
            default_stems: Stems without `--stems`; None: the model's own, or the four.

        Raises:
            SettingsError: Two methods are given, or the folder of estimates is missing.
        """
        from separate.errors import SettingsError
        from separate.evals.data.songs import STEMS
        from separate.evals.tasks.methods import Method, model_method, oracle_method
        from separate.insides import model_cards

        given = (self.model is not None, self.estimates is not None, self.oracle is not None)
        if sum((*given, self.mixture)) > 1:
            raise SettingsError("give one of --model, --estimates, --oracle, --mixture")
        stems = split_list(self.stems)
        asked = tuple(stems or default_stems or STEMS)
        if self.estimates is not None:
            folder = self.estimates
            if not folder.is_dir():
                raise SettingsError(f"--estimates {folder}: no such folder; give DIR/SONG/STEM.wav")
            rule = "as the files were made"
            method = Method("estimates", folder.resolve().name, rule, folder=str(folder))
            return Choice(method, asked, None)
        if self.oracle is not None:
            return Choice(oracle_method(self.oracle, self.band), asked, ())
        if self.mixture:
            return Choice(Method("mixture", "mixture", "the mixture itself"), asked, ())
        threads = self.threads
        if self.jobs > 1 and threads is None:
            threads = max(1, (os.cpu_count() or 1) // self.jobs)
        name = self.model or "default"
        cards = model_cards(name)
        if default_stems and not stems and not any(card.stems for card in cards):
            stems = list(default_stems)
        method, own = model_method(name, stems, self.mask_rule, device=self.device, threads=threads)
        return Choice(method, tuple(own), trained_on(name))

    def place(self, path: Path) -> tuple[str, str | None]:
        """Return the names of data set and split; the folder may be that of a split."""
        folder = path.resolve()
        if self.split is None and folder.name in ("train", "valid", "test"):
            return self.dataset or folder.parent.name, folder.name
        return self.dataset or folder.name, self.split

    def evaluate(
        self,
        evaluation: "Evaluation",
        readers: "Sequence[SongReader]",
        what: str,
        *,
        examples: bool = False,
    ) -> None:
        """Score songs; print, write and report the result.

        Args:
            evaluation: What is scored and how.
            readers: The songs.
            what: What a song is called on the progress bar.
            examples: Show excerpts of the best and the worst songs on the page.

        Raises:
            Exit: A song failed.
        """
        from separate.evals.tasks.evaluation import evaluate
        from separate.evals.tasks.runner import RunOptions

        with progress(f"{len(readers)} {what}") as on_progress:
            run = RunOptions(self.out, self.resume, self.jobs, on_progress)
            result = finish(evaluate(readers, evaluation, run), self.out)
        shown = []
        if self.report is not None and examples:
            from separate.evals.report.examples import song_examples

            shown = song_examples(result, readers, evaluation)
        self.end(result, shown)

    def end(self, result: Mapping[str, Any], examples: Sequence[Any] = ()) -> None:
        """Write the page, if it is wanted.

        Raises:
            Exit: A song failed.
        """
        if self.report is not None:
            from separate.evals.report.page import write_page

            typer.echo(str(write_page(self.report, [result], examples)))
        if result.get("failed"):
            raise typer.Exit(1)


def with_options(
    *names: str, **defaults: Any
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a command of a function whose first argument is `EvalOptions`.

    Args:
        names: Options that the command has, besides those of the function itself.
        defaults: Values of options that the command has not, or has with another default.
    """

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        def command(**values: Any) -> None:
            given = {name: values.pop(name) for name in names}
            function(EvalOptions(**{**defaults, **given}), **values)

        _, *own = inspect.signature(function).parameters.values()
        keyword = inspect.Parameter.KEYWORD_ONLY
        shared = [
            inspect.Parameter(
                field.name,
                keyword,
                default=defaults.get(field.name, field.default),
                annotation=field.type,
            )
            for field in fields(EvalOptions)
            if field.name in names
        ]
        parameters = [*(option.replace(kind=keyword) for option in own), *shared]
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__name__, command.__doc__ = function.__name__, function.__doc__
        return command

    return decorate


def trained_on(model: str) -> tuple[Mapping[str, Any], ...]:
    """Return what the cards of a model, or of several, say that it was trained on."""
    from separate.insides import model_cards

    return tuple(entry for card in model_cards(model) for entry in card.trained_on)


def split_list(text: str | None) -> list[str] | None:
    """Split a list at its commas; None stays None."""
    return [part.strip() for part in text.split(",") if part.strip()] if text else None


def read_numbers(option: str, text: str) -> list[float]:
    """Read comma-separated numbers.

    Raises:
        SettingsError: The text is something else; the message names the option.
    """
    from separate.errors import SettingsError

    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise SettingsError(f"{option} {text}: give numbers and commas") from error


def finish(result: dict[str, Any], out: Path | None) -> dict[str, Any]:
    """Write and print a result.

    Returns:
        The result in plain values, as written.
    """
    from separate.evals.report.tables import tables_of
    from separate.evals.tasks.results import plain, write_json

    result = plain(result)
    if out is not None:
        write_json(out / "result.json", result)
    for table in tables_of(result):
        table.print()
    for failure in result.get("failed", []):
        typer.echo(f"failed: {failure['song']}: {failure['error']}", err=True)
    if out is not None:
        typer.echo(str(out / "result.json"))
    return result


@contextlib.contextmanager
def progress(what: str) -> "Iterator[Progress]":
    """Show a progress bar with the time left on the error stream, if that is a terminal."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as bar:
        task = bar.add_task(what, total=None)

        def on_progress(done: int, total: int, name: str) -> None:
            bar.update(task, completed=done, total=total, description=name)

        yield on_progress
