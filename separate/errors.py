"""The error family: libraries raise these, the command line prints one line and exits non-zero."""

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
]


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
