"""The protocol of jobs: what a batch does with each of its tracks.

Separation, automatic separation and lyrics are jobs. A job lists its items before any model is
loaded, and is sent to the processes that work; there it loads its models once and does items.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from separate.batch.guard import Guard
from separate.batch.record import Output, Record
from separate.batch.tracks import Track
from separate.errors import SeparateError, one_line

OnPart = Callable[[float], None]  # called with the part of an item that is done, 0..1


@dataclass(frozen=True)
class Item:
    """One track that is to be done."""

    track: Track
    draft: Record  # the record so far, with the outputs that are wanted, where they are known
    reads: tuple[Path, ...] = ()  # files that it needs besides the track's

    @property
    def places(self) -> dict[str, str]:
        """Path of each wanted output, relative to the output folder, by its stem."""
        return {output.stem: output.path for output in self.draft.outputs}


# Does one item: (item, output folder, on_part) -> its completed record. Raises where that fails.
Work = Callable[[Item, Path, OnPart], Record]


class Job(Protocol):
    """What a batch does with each of its tracks; can be pickled."""

    @property
    def folder(self) -> Path:
        """The output folder on this machine."""

    @property
    def threads(self) -> int | None:
        """Processor threads of each process; None: the batch decides."""

    def items(self, tracks: Sequence[Track]) -> list[Item]:
        """List what is to be done, one item a track, without loading a model.

        Raises:
            SeparateError: The job can't be done with any track.
        """

    def load(self, threads: int | None, guard: Guard) -> Work:
        """Load the models, in the process that works.

        Args:
            threads: Processor threads; None: torch's choice.
            guard: What outputs must not replace.

        Raises:
            SeparateError: The job can't be done with any track.
        """


def draft_record(
    track: Track,
    settings: Mapping[str, Any],
    queries: list[dict[str, Any]],
    model_sha256: str,
    *,
    command: str = "run",
    places: Mapping[str, str] | None = None,
) -> Record:
    """Return a record of an input as it is now, without results.

    Args:
        track: The input.
        settings: Fields that decide the result, by name.
        queries: The request, as plain values.
        model_sha256: Hashes of the models.
        command: The command that makes the result.
        places: Paths of the wanted outputs by stem, where they are known.
    """
    if track.remote is not None:
        file = track.remote
        name, size, modified, etag = file.address.url, file.size, file.mtime, file.etag
    else:
        name, etag = str(track.path.absolute()), None
        try:
            status = track.path.stat()
            size, modified = status.st_size, status.st_mtime
        except OSError:
            size, modified = 0, 0.0
    outputs = [Output(stem, place, "", 0) for stem, place in (places or {}).items()]
    return Record(
        name,
        size,
        modified,
        model_sha256,
        dict(settings),
        queries,
        etag=etag,
        command=command,
        outputs=outputs,
    )


def error_line(name: object, error: Exception) -> str:
    """Return one line that says why a file failed.

    Args:
        name: The file's path or address.
        error: What was raised.
    """
    text = one_line(error)
    if isinstance(error, SeparateError):
        return text
    if isinstance(error, MemoryError) or "out of memory" in text.lower():
        return f"{name}: out of memory; try a shorter --segment or fewer --jobs"
    return f"{name}: failed ({type(error).__name__}: {text[:200]}); please report this"
