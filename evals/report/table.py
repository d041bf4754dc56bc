"""Tables for the terminal and for Markdown, and the cells that all tables of results have."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from separate.errors import DataError

NONE = "-"
Result = Mapping[str, Any]


@dataclass(frozen=True)
class Table:
    """Headings, rows, and a note below them."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""

    def markdown(self) -> str:
        """Return a Markdown table with the note below."""
        lines = [self.header, tuple("---" if i == 0 else "---:" for i in range(len(self.header)))]
        body = "\n".join(
            "| " + " | ".join(map(_escape, row)) + " |" for row in [*lines, *self.rows]
        )
        return f"{body}\n\n{self.note}\n" if self.note else f"{body}\n"

    def print(self) -> None:
        """Print the table on the terminal; an interval is below its mean, to save width."""
        from separate.cli.table import print_table

        rows = [
            (first, *(cell.replace(" (", "\n(") for cell in rest)) for first, *rest in self.rows
        ]
        print_table(self.header, rows, title=self.title, note=self.note)


def _escape(cell: str) -> str:
    return cell.replace("|", "\\|")


def number(value: float | None, digits: int = 1) -> str:
    """Format a number; a dash for None and NaN."""
    return NONE if value is None or value != value else f"{value:.{digits}f}"


def interval(entry: Mapping[str, Any] | None, digits: int = 1, scale: float = 1.0) -> str:
    """Format a mean with its interval: "7.4 (6.0 to 8.8)"."""
    if entry is None or entry["mean"] is None:
        return NONE
    mean = number(scale * entry["mean"], digits)
    if entry["low"] is None:
        return mean
    low, high = (number(scale * entry[key], digits) for key in ("low", "high"))
    return f"{mean} ({low} to {high})"


def place(result: Result) -> str:
    """Return the data set and the split."""
    return " ".join(filter(None, (result["dataset"], result["split"])))


def method_name(result: Result) -> str:
    """Return a method's name in tables."""
    method = result["method"]
    if method["kind"] == "oracle":
        return f"oracle {method['name']} ({'model masks' if method['bins'] else 'all bins'})"
    return "mixture itself" if method["kind"] == "mixture" else str(method["name"])


def seen_note(results: Sequence[Result], what: str) -> str:
    """Return a note on the scores that are left out of means, and on unknown training data.

    Args:
        results: The results of a table.
        what: The unit that is scored: song, track, clip, mixture.

    Returns:
        Sentences with a space before each; may be empty.
    """
    seen = sum(bool(song.get("seen")) for result in results for song in result["songs"])
    note = f" {seen} {what}(s) that a model was trained on are left out." if seen else ""
    unknown = [r for r in results if any(song.get("seen", 0) is None for song in r["songs"])]
    if unknown:
        names = ", ".join(dict.fromkeys(map(method_name, unknown)))
        note += f" The training data of {names} is unknown."
    return note


def only(results: Sequence[Result], kind: str) -> Result:
    """Return the last result of a kind.

    Raises:
        DataError: There is none.
    """
    return of_kind(results, kind)[-1]


def of_kind(results: Sequence[Result], kind: str, *same: str) -> list[Result]:
    """Return the results of a kind.

    Args:
        results: Results of any kinds.
        kind: The kind.
        same: Keys whose values must be the same in all results of one table.

    Raises:
        DataError: There is no result of the kind, or they differ in one of the keys.
    """
    found = [result for result in results if result["kind"] == kind]
    if not found:
        raise DataError(f"no result of kind {kind!r} is given")
    for key in same:
        if len({str(result[key]) for result in found}) > 1:
            raise DataError(f"the results differ in {key}; give those that belong in one table")
    return found
