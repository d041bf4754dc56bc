"""A table for the terminal and for Markdown; comes in: cells; goes out: text.

With it what every table of results needs: numbers, means with intervals, names of methods.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from separate.errors import DataError

if TYPE_CHECKING:
    from rich.table import Table as RichTable

NONE = "-"
Result = Mapping[str, Any]


@dataclass(frozen=True)
class Table:
    """Headings, rows, and what must be said of them."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""

    def markdown(self) -> str:
        """As a Markdown table with the note below."""
        lines = [self.header, tuple("---" if i == 0 else "---:" for i in range(len(self.header)))]
        body = "\n".join(
            "| " + " | ".join(map(_escape, row)) + " |" for row in [*lines, *self.rows]
        )
        return f"{body}\n\n{self.note}\n" if self.note else f"{body}\n"

    def rich(self) -> "RichTable":
        """As a table for the terminal."""
        from rich.table import Table as RichTable

        table = RichTable(title=self.title, caption=self.note or None, caption_justify="left")
        words = [word for row in self.rows for word in row[0].split()]
        widest = max(map(len, words), default=0)  # of the first column, which wraps between words
        for index, name in enumerate(self.header):
            first = index == 0
            justify: Literal["left", "right"] = "left" if first else "right"
            table.add_column(name, justify=justify, min_width=min(widest, 30) if first else None)
        for row in self.rows:
            # An interval goes below its mean: eight columns must fit a terminal.
            table.add_row(row[0], *(cell.replace(" (", "\n(") for cell in row[1:]))
        return table


def _escape(cell: str) -> str:
    return cell.replace("|", "\\|")


def number(value: float | None, digits: int = 1) -> str:
    """A number, or a dash where there is none."""
    return NONE if value is None or value != value else f"{value:.{digits}f}"


def interval(entry: Mapping[str, Any] | None, digits: int = 1) -> str:
    """A mean with its interval: "7.4 (6.0 to 8.8)"."""
    if entry is None or entry["mean"] is None:
        return NONE
    if entry["low"] is None:
        return number(entry["mean"], digits)
    return f"{entry['mean']:.{digits}f} ({entry['low']:.{digits}f} to {entry['high']:.{digits}f})"


def method_name(result: Result) -> str:
    """What a row is called."""
    method = result["method"]
    if method["kind"] == "oracle":
        return f"oracle {method['name']} ({'model masks' if method['bins'] else 'all bins'})"
    return "mixture itself" if method["kind"] == "mixture" else str(method["name"])


def seen_note(results: Sequence[Result], what: str) -> str:
    """Say which scores are left out of means, and of which methods nobody knows.

    Args:
        results: Those of a table.
        what: What is scored: song, track, clip, mixture.

    Returns:
        Sentences with a space before each; nothing where there is nothing to say.
    """
    seen = sum(bool(song.get("seen")) for result in results for song in result["songs"])
    note = f" {seen} {what}(s) that a model was trained on are left out." if seen else ""
    unknown = [r for r in results if any(song.get("seen", 0) is None for song in r["songs"])]
    if unknown:
        names = ", ".join(dict.fromkeys(map(method_name, unknown)))
        note += f" Not known to us: what {names} was trained on."
    return note


def only(results: Sequence[Result], kind: str) -> Result:
    """The last result of a kind."""
    found = [result for result in results if result["kind"] == kind]
    if not found:
        raise DataError(f"no result of kind {kind!r} is given")
    return found[-1]


def require_same(results: Sequence[Result], keys: Sequence[str]) -> None:
    """Do nothing for results that belong in one table.

    Raises:
        DataError: There are none, or they differ.
    """
    if not results:
        raise DataError("no result for this table is given")
    for key in keys:
        if len({str(result[key]) for result in results}) > 1:
            raise DataError(f"the results differ in {key}; give those that belong in one table")
