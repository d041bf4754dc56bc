"""A batch on the terminal: the bar, a line a result, errors aside, the exit code.

In: what runs the batch. Out: lines, and an exit that tells whether all went well.
"""

import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import typer

from separate.cli.progress import terminal
from separate.errors import one_line

if TYPE_CHECKING:
    from separate.batch.record import Record
    from separate.batch.remote.files import Place
    from separate.batch.run import BatchResult, OnRecord, Progress
    from separate.cli.progress import Terminal


def show_batch(
    run: "Callable[[Progress, OnRecord], BatchResult]",
    description: str,
    folder: "Place",
    *,
    json: bool,
    remark: str = "",
) -> None:
    """Run a batch and show how it goes.

    Args:
        run: Runs it, given what to call with progress and with records.
        description: The words before the bar.
        folder: Of the outputs.
        json: Print records instead of the outputs' paths.
        remark: A line on the error stream before all others.

    Raises:
        typer.Exit: A file failed (1), or somebody stopped it (130).
    """
    signal.signal(signal.SIGTERM, _terminated)
    finished, audio_seconds, began = 0, 0.0, time.monotonic()
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
            _show(screen, record, folder, is_old, json)

        try:
            result = run(screen.update, on_record)
        except KeyboardInterrupt:
            screen.note(f"stopped; {finished} finished, go on with --resume")
            raise typer.Exit(130) from None
    if result.skipped:
        typer.echo(f"{result.skipped} complete already", err=True)
    if result.failed:
        typer.echo(f"{len(result.failed)} of {len(result.records)} failed", err=True)
        raise typer.Exit(1)


def _show(screen: "Terminal", record: "Record", folder: "Place", is_old: bool, json: bool) -> None:
    """Print what became of a file: its outputs or its record; warnings and errors aside."""
    if json:
        screen.result(record.as_json())
    elif not is_old:
        for output in record.outputs:
            path = folder / output.path if isinstance(folder, Path) else folder.child(output.path)
            screen.result(str(path))
    if record.error:
        screen.note(f"error: {one_line(record.error)}")
    for query, way in () if is_old else record.ways.items():
        screen.note(f"{query!r}: {way}")
    for warning in [] if is_old else record.warnings:
        screen.note(f"warning: {one_line(f'{record.input}: {warning}')}")


def _terminated(number: int, frame: object) -> NoReturn:
    sys.exit(128 + number)  # unlike the default, this removes unfinished files
