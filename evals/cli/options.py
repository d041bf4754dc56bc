"""What the evaluation commands share: options, what they make of them, progress, results.

In: the command line's options. Out: a method, a progress bar, tables on the terminal, JSON, HTML.
Heavy imports stand inside the functions, so that help answers at once.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from separate.evals.tasks.methods import Method
    from separate.evals.tasks.runner import Progress

Out = Annotated[Path | None, typer.Option("--out", "-o", help="Folder for result.json.")]
Model = Annotated[str | None, typer.Option("--model", "-n", help="Model; a,b averages two.")]
EstimatesDir = Annotated[
    Path | None, typer.Option("--estimates", help="Score files DIR/SONG/STEM.wav of any tool.")
]
Oracle = Annotated[str | None, typer.Option("--oracle", help="ibm, irm or mwf.")]
Band = Annotated[str, typer.Option("--band", help="Oracle masks: whole, or model (its 11 kHz).")]
Mixture = Annotated[bool, typer.Option("--mixture", help="Score the mixture itself.")]
Rule = Annotated[
    str, typer.Option("--mask-rule", help="Several stems: sum-to-mix, or free (each by itself).")
]
Stems = Annotated[str | None, typer.Option("--stems", help="Comma-separated, or default.")]
Split = Annotated[str | None, typer.Option("--split", help="Only this split (sub-folder).")]
Resume = Annotated[bool, typer.Option("--resume", help="Keep what is already scored.")]
Jobs = Annotated[int, typer.Option("--jobs", "-j", min=1, help="Songs at once (processes).")]
Device = Annotated[str, typer.Option("--device", "-d", help="cpu, cuda, mps.")]
Threads = Annotated[int | None, typer.Option("--threads", min=1, help="Of torch, a process.")]
Report = Annotated[Path | None, typer.Option("--report", help="Folder for an HTML page.")]
DatasetName = Annotated[str | None, typer.Option("--dataset", help="Name of the data set.")]
Sounding = Annotated[
    float, typer.Option(help="A reference sounds above this mean power of a frame (dBFS).")
]
SOUNDING_DBFS = -89.0


@dataclass(frozen=True)
class Choice:
    """What is to be scored."""

    method: "Method"
    stems: tuple[str, ...]
    trained_on: tuple[Mapping[str, Any], ...] | None  # None: unknown


def choose(
    *,
    model: str | None = None,
    estimates: Path | None = None,
    oracle: str | None = None,
    band: str = "whole",
    mixture: bool = False,
    stems: str | None = None,
    default_stems: tuple[str, ...] | None = None,
    rule: str = "sum-to-mix",
    device: str = "cpu",
    threads: int | None = None,
    jobs: int = 1,
) -> Choice:
    """Make of the options what is scored, the stems, and what it was trained on, if known.

    Args:
        model: Name(s) or path; the default where nothing else is given.
        estimates: Folder of files that any tool wrote.
        oracle: Its kind.
        band: What it masks.
        mixture: Score the mixture.
        stems: Comma-separated, as the user gave them.
        default_stems: Without them; None: the model's own, or the four.
        rule: How several masks are made.
        device: Of the model.
        threads: Of torch; None with several jobs: the processors shared out.
        jobs: Processes.

    Raises:
        SettingsError: Two are given, or the folder is not there.
    """
    from separate.errors import SettingsError
    from separate.evals.data.songs import STEMS
    from separate.evals.tasks.methods import Method, model_method, oracle_method

    if sum((model is not None, estimates is not None, oracle is not None, mixture)) > 1:
        raise SettingsError("give one of --model, --estimates, --oracle, --mixture")
    wanted = split_list(stems)
    asked = tuple(wanted or default_stems or STEMS)
    if estimates is not None:
        if not estimates.is_dir():
            raise SettingsError(f"--estimates {estimates}: no such folder; give DIR/SONG/STEM.wav")
        rule = "as the files were made"
        method = Method("estimates", estimates.resolve().name, rule, folder=str(estimates))
        return Choice(method, asked, None)
    if oracle is not None:
        return Choice(oracle_method(oracle, band), asked, ())
    if mixture:
        return Choice(Method("mixture", "mixture", "the mixture itself"), asked, ())
    from separate.insides import model_cards

    if jobs > 1 and threads is None:
        threads = max(1, (os.cpu_count() or 1) // jobs)
    name = model or "default"
    cards = model_cards(name)
    trained_on = tuple(entry for card in cards for entry in card.trained_on)
    if default_stems and not wanted and not any(card.stems for card in cards):
        wanted = list(default_stems)
    method, own = model_method(name, wanted, rule, device=device, threads=threads)
    return Choice(method, tuple(own), trained_on)


def split_list(text: str | None) -> list[str] | None:
    """Part a list at its commas; None where there is none."""
    return [part.strip() for part in text.split(",") if part.strip()] if text else None


def numbers(option: str, text: str) -> list[float]:
    """Read numbers with commas between them.

    Raises:
        SettingsError: They are none; the message names the option.
    """
    from separate.errors import SettingsError

    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise SettingsError(f"{option} {text}: give numbers and commas") from error


def dataset_name(path: Path, split: str | None) -> tuple[str, str | None]:
    """Name a data set and its split by the folder, which may be that of a split."""
    folder = path.resolve()
    if split is None and folder.name in ("train", "valid", "test"):
        return folder.parent.name, folder.name
    return folder.name, split


def check_resume(resume: bool, out: Path | None) -> None:
    """Refuse `--resume` without the folder of the earlier run.

    Raises:
        SettingsError: There is none.
    """
    from separate.errors import SettingsError

    if resume and out is None:
        raise SettingsError("--resume needs --out, the folder of the earlier run")


def check_report(report: Path | None) -> None:
    """Refuse a folder for the page that can't be written, before the work.

    Raises:
        OutputError: It can't.
    """
    from separate.audio import check_writable

    if report is not None:
        check_writable(report)


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
        show(table.rich())
    for failure in result.get("failed", []):
        typer.echo(f"failed: {failure['song']}: {failure['error']}", err=True)
    if out is not None:
        typer.echo(str(out / "result.json"))
    return result


def exit_if_failed(result: Mapping[str, Any]) -> None:
    """End non-zero if a song failed."""
    if result.get("failed"):
        raise typer.Exit(1)


def show(table: Any) -> None:
    """Print a rich table."""
    from rich.console import Console

    Console().print(table)


@contextlib.contextmanager
def progress(what: str) -> "Iterator[Progress]":
    """A progress bar with time left, on the error stream, only where a terminal is."""
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
