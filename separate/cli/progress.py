"""A progress bar with the time left, and lines printed above it.

The bar is drawn on the error stream if that is a terminal.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress


class Terminal:
    """A progress bar, and the lines above it."""

    def __init__(self, bar: "Progress | None", description: str) -> None:
        self._bar = bar
        self._task = None if bar is None else bar.add_task(description, total=None)

    def update(self, done: float, total: float) -> None:
        """Move the bar; a total of 0 means unknown."""
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done, total=total or None)

    def describe(self, text: str) -> None:
        """Change the text before the bar."""
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, description=text)

    def result(self, line: str) -> None:
        """Print a line of results on the standard output."""
        if self._bar is not None and sys.stdout.isatty():
            self._print(line)
        else:
            print(line, flush=True)

    def note(self, line: str) -> None:
        """Print a remark on the error stream."""
        if self._bar is None:
            print(line, file=sys.stderr, flush=True)
        else:
            self._print(line)

    def _print(self, line: str) -> None:
        assert self._bar is not None
        self._bar.console.print(line, markup=False, highlight=False, emoji=False, soft_wrap=True)


@contextmanager
def terminal(description: str, *, in_bytes: bool = False) -> Iterator[Terminal]:
    """Show a bar while the block runs.

    Args:
        description: Text before the bar.
        in_bytes: The work is a download; show its size and speed.
    """
    if not sys.stderr.isatty():
        yield Terminal(None, description)
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    middle = [DownloadColumn(), TransferSpeedColumn()] if in_bytes else [TimeElapsedColumn()]
    left = [TextColumn("{task.percentage:>3.0f} %"), *middle, TextColumn("left:")]
    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        *left,
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    ) as bar:
        yield Terminal(bar, description)
