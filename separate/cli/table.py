"""Tables on a terminal of any width: cells wrap between words, and no cell is cut."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

_PIPE_WIDTH = 200  # columns, where the output is not a terminal


def print_table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    title: str | None = None,
    note: str | None = None,
    numeric: bool = True,
    console: "Console | None" = None,
) -> None:
    """Print a table; if it does not fit the terminal, print each row as a list.

    Args:
        header: Names of the columns.
        rows: Cells.
        title: Line above the table.
        note: Text below it.
        numeric: Draw lines between columns, and align all columns but the first to the right.
        console: Where to print; None: the standard output.
    """
    from rich.console import Console
    from rich.text import Text

    if console is None:
        console = Console(markup=False, emoji=False, highlight=False)
        if not console.is_terminal:
            console = Console(markup=False, emoji=False, highlight=False, width=_PIPE_WIDTH)
    margin = 3 if numeric else 2  # padding and line of a column
    columns = [[name, *cells] for name, *cells in zip(header, *rows, strict=True)]
    widths = _widths(columns, console.width - margin * len(columns) - 1)
    if widths is None:
        _print_list(console, header, rows, title)
    else:
        _print_grid(console, header, rows, widths, title, numeric)
    if note:
        console.print(Text(note, style="italic"))


def _widths(columns: Sequence[Sequence[str]], available: int) -> list[int] | None:
    """Return widths of columns that fit, or None: a column is as wide as its longest word."""
    least = [max(map(len, " ".join(column).split()), default=0) for column in columns]
    if sum(least) > available:
        return None
    widths = [max(map(len, "\n".join(column).split("\n"))) for column in columns]
    while sum(widths) > available:
        reducible = [i for i, width in enumerate(widths) if width > least[i]]
        widths[max(reducible, key=lambda index: widths[index])] -= 1
    return widths


def _print_grid(
    console: "Console",
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    widths: Sequence[int],
    title: str | None,
    numeric: bool,
) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=title, box=box.HEAVY_HEAD if numeric else None, pad_edge=numeric, header_style="bold"
    )
    for index, (name, width) in enumerate(zip(header, widths, strict=True)):
        right = numeric and index > 0
        table.add_column(Text(name), justify="right" if right else "left", width=width)
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table)


def _print_list(
    console: "Console", header: Sequence[str], rows: Sequence[Sequence[str]], title: str | None
) -> None:
    from rich.table import Table
    from rich.text import Text

    if title:
        console.print(Text(title, style="italic"))
    for first, *cells in rows:
        console.print(Text(first, style="bold"))
        grid = Table.grid(padding=(0, 2))
        for name, cell in zip(header[1:], cells, strict=True):
            grid.add_row(Text(f"  {name}"), Text(cell.replace("\n", " ")))
        console.print(grid)
