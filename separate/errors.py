"""The error family: libraries raise these, the command line prints one line and exits non-zero."""

import unicodedata

from separate.models.errors import CheckpointError, SeparateError

__all__ = [
    "Cancelled",
    "CheckpointError",
    "DataError",
    "InputError",
    "OutputError",
    "QueryError",
    "SeparateError",
    "SettingsError",
    "WeightsError",
    "one_line",
]


_TURNS = "\u202a\u202b\u202d\u202e\u2066\u2067\u2068"  # of the direction of reading


def one_line(text: object) -> str:
    """Return a text for a terminal: on one line, without what moves the cursor or turns letters.

    Names of files and queries may hold anything.
    """
    line = " ".join(str(text).split())
    return "".join(
        repr(c)[1:-1] if unicodedata.category(c) == "Cc" or c in _TURNS else c for c in line
    )


class InputError(SeparateError):
    """Audio that cannot be found or read."""


class OutputError(SeparateError):
    """A result that cannot be written."""


class QueryError(SeparateError):
    """A query that is empty, unknown, or fits nothing that the model separates."""


class WeightsError(SeparateError):
    """Weights that cannot be fetched, verified, or converted."""


class SettingsError(SeparateError):
    """A setting out of its range, or settings that exclude each other."""


class DataError(SeparateError):
    """Training or evaluation data that is missing, empty, or malformed."""


class Cancelled(SeparateError):  # noqa: N818 - it says what happened, no error
    """The user stopped the computation."""
