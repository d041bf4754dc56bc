"""A batch on the terminal: a progress bar, a line for each output, errors, the exit code."""

import signal
import sys
import time
from typing import TYPE_CHECKING, NoReturn

import typer

from separate.cli.progress import terminal
from separate.errors import one_line

if TYPE_CHECKING:
    from separate.batch.job import Job
    from separate.batch.record import Record
    from separate.batch.remote.files import Place
    from separate.cli.batch import Given
    from separate.cli.progress import Terminal


def show_batch(
    given: "Given", job: "Job", description: str, *, json: bool, remark: str = ""
) -> None:
    """Run a batch and show its progress.

    Args:
        given: Inputs, output folder and options.
        job: What to do with each input.
        description: Text before the progress bar.
        json: Print records instead of the outputs' paths.
        remark: A first line on the error stream.

    Raises:
        typer.Exit: A file failed (1), or the user stopped the batch (130).
    """
    from separate.batch.run import run_batch

    signal.signal(signal.SIGTERM, _terminated)
    finished, audio_seconds, began = 0, 0.0, time.monotonic()
    said: set[str] = set()
    with terminal(description) as screen:
        if remark:
            screen.note(remark)

        def on_record(record: "Record", is_old: bool) -> None:
            nonlocal finished, audio_seconds
            finished += not record.error
            if not is_old:
                audio_seconds += record.duration
                rate = audio_seconds / max(0.1, time.monotonic() - began)
                screen.describe(f"{description}, {finished} files, {rate:.1f} x real time")
            _show(screen, record, given.out, is_old, json)
            for line in [] if is_old else _routes(record):
                if line not in said:  # of the first file alone
                    said.add(line)
                    screen.note(line)

        try:
            result = run_batch(
                given.inputs,
                job,
                given.options,
                on_progress=screen.update,
                on_record=on_record,
            )
        except KeyboardInterrupt:
            screen.note(f"stopped; {finished} finished, continue with --resume")
            raise typer.Exit(130) from None
    if result.skipped:
        typer.echo(f"{result.skipped} complete already", err=True)
    if result.failed:
        typer.echo(f"{len(result.failed)} of {len(result.records)} failed", err=True)
        raise typer.Exit(1)


def _show(screen: "Terminal", record: "Record", folder: "Place", is_old: bool, json: bool) -> None:
    """Print a file's outputs or its record; warnings and errors go to the error stream."""
    from separate.batch.remote.files import child_of

    if json:
        screen.result(record.as_json())
    elif not is_old:
        for output in record.outputs:
            screen.result(str(child_of(folder, output.path)))
    if record.error:
        screen.note(f"error: {one_line(record.error)}")
    for warning in [] if is_old else record.warnings:
        screen.note(f"warning: {one_line(f'{record.input}: {warning}')}")


def _routes(record: "Record") -> list[str]:
    """Return a line for each query that a model answers in one of several ways."""
    routes = [f"{query!r}: {route}" for query, route in record.routes.items()]
    return routes + [f"{query!r} is answered as: {it}" for query, it in record.answered_as.items()]


def _terminated(number: int, frame: object) -> NoReturn:
    sys.exit(128 + number)  # unlike the default, this removes unfinished files
