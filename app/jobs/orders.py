"""What a worker process is asked to do: plain values that travel between processes."""

from dataclasses import dataclass
from pathlib import Path

from separate.settings import Request, Settings


@dataclass(frozen=True)
class Order:
    """A computation with one uploaded file."""

    source: Path  # the upload
    folder: Path  # where results go; nobody else writes there
    max_seconds: float  # the rest of the file is not read
    settings: Settings

    def needs(self, path: Path) -> bool:
        """Whether the computation reads a file."""
        return path == self.source


@dataclass(frozen=True)
class SeparateOrder(Order):
    """Take sources out."""

    request: Request  # its examples are uploads too

    def needs(self, path: Path) -> bool:
        """Whether the computation reads a file."""
        return path == self.source or path in (*self.request.like, *self.request.unlike)


@dataclass(frozen=True)
class FindOrder(Order):
    """List what sounds in it."""


@dataclass(frozen=True)
class LyricsOrder(Order):
    """Write down what is sung."""

    language: str | None = None  # two letters; None: detect
