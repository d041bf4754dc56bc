"""Records of finished files: one JSON line each in `separate.jsonl`, beside the outputs.

`--resume`, `--json`, `separate verify` and lyrics read the same lines.
"""

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from separate.batch.staging import StagingFolder
from separate.errors import OutputError
from separate.files import sha256_of

RECORD_NAME = "separate.jsonl"
_ROUTES = "ways"  # the key of the routes in the file


@dataclass(frozen=True)
class Output:
    """One written file."""

    stem: str  # the query's name, or that of the residual
    path: str  # relative to the output folder, with forward slashes
    sha256: str
    bytes: int
    state: str | None = None  # of a remote output: etag or time, as its store gives it


@dataclass(frozen=True)
class Record:
    """The result of one input."""

    input: str  # its absolute path, or its address
    size: int  # bytes
    mtime: float  # seconds since the epoch
    model_sha256: str
    settings: dict[str, Any]
    queries: list[dict[str, Any]]
    etag: str | None = None  # of a remote input, instead of its time
    command: str = "run"  # what made it: run, lyrics
    outputs: list[Output] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)  # queries whose files were made softer
    presence: dict[str, float] = field(default_factory=dict)  # 0..1 by query
    routes: dict[str, str] = field(default_factory=dict)  # by query, of models with several
    answered_as: dict[str, str] = field(default_factory=dict)  # by query, the broader source
    warnings: list[str] = field(default_factory=list)
    duration: float = 0.0  # seconds of audio
    seconds: float = 0.0  # spent
    error: str | None = None  # one line; then there are no outputs

    @property
    def key(self) -> str:
        """What must be equal for the outputs to be up to date."""
        parts = (
            self.command, self.input, self.size, self.mtime, self.etag, self.model_sha256,
            self.settings, self.queries,
        )  # fmt: skip
        return json.dumps(parts, sort_keys=True)

    def as_json(self) -> str:
        """Return the record as one line of JSON, in ASCII."""
        data = asdict(self)
        data[_ROUTES] = data.pop("routes")
        return json.dumps(data, sort_keys=True)


def parse_record(line: str) -> Record | None:
    """Read one line; None for a line that is no record or was cut short by a crash."""
    try:
        data = json.loads(line)
        outputs = [Output(**item) for item in data.pop("outputs")]
        routes = data.pop(_ROUTES, {})
        return Record(**data, outputs=outputs, routes=routes)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


class Records(ABC):
    """The records of one output folder, local or remote."""

    @abstractmethod
    def __iter__(self) -> Iterator[Record]:
        """Yield the records in order; a line cut short by a crash is skipped."""

    @abstractmethod
    def append(self, record: Record) -> None:
        """Append a record, whole or not at all.

        Raises:
            OutputError: It cannot be written.
        """

    begun: frozenset[str] = frozenset()  # places that a killed run was about to write

    @abstractmethod
    def begin(self, places: Iterable[str]) -> None:
        """Note which places a run is about to write, until `close`.

        A run that is killed between writing a file and recording it leaves the note, so that the
        next run knows the file as one of its own.
        """

    @abstractmethod
    def exists(self, place: str) -> bool:
        """Whether something lies at a place of the folder."""

    @abstractmethod
    def is_whole(self, output: Output) -> bool:
        """Whether an output is there as it was written."""

    @abstractmethod
    def close(self) -> None:
        """Finish writing.

        The note of `begin` is removed, unless a file was written that no record names.
        """

    def unrecorded(self, places: set[str]) -> set[str]:
        """Return those of some places that no record names."""
        return places - {output.path for record in self for output in record.outputs}

    def index(self) -> dict[str, Record]:
        """Return the last successful record of each key, for `complete`."""
        return {record.key: record for record in self if not record.error}

    def complete(self, wanted: Record, index: dict[str, Record] | None = None) -> Record | None:
        """Return the record that makes `wanted` superfluous, if there is one.

        Args:
            wanted: A record of the input as it is now; its outputs count where it names any.
            index: What `index()` gave, to save reading the file again for each input.

        Returns:
            A record of the same key whose outputs are all there with their SHA-256.
        """
        found = (self.index() if index is None else index).get(wanted.key)
        if found is None or not found.outputs:
            return None
        if wanted.outputs and _places(wanted) != _places(found):
            return None
        return found if all(self.is_whole(output) for output in found.outputs) else None


class RecordFile(Records):
    """The records of a folder on this machine."""

    def __init__(self, folder: Path, begun: frozenset[str] = frozenset()) -> None:
        """Name the folder, and what `remove_leftovers` found in it."""
        self.folder, self.begun = Path(folder), begun
        self.path = self.folder / RECORD_NAME
        self._note: StagingFolder | None = None
        self._places = set[str]()

    def __iter__(self) -> Iterator[Record]:
        """Yield the records in order; a line cut short by a crash is skipped."""
        if not self.path.is_file():
            return
        with self.path.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                record = parse_record(line)
                if record is not None:
                    yield record

    def append(self, record: Record) -> None:
        """Append a line, whole or not at all.

        Raises:
            OutputError: The file cannot be written.
        """
        line = (record.as_json() + "\n").encode()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
            try:
                _append(descriptor, line)
            finally:
                os.close(descriptor)
        except OSError as error:
            reason = error.strerror or error
            raise OutputError(f"{self.path}: cannot be written ({reason}); make room") from error

    def begin(self, places: Iterable[str]) -> None:
        """Note which places a run is about to write, until `close`.

        Raises:
            OutputError: The folder can't be written to.
        """
        self._places = {*places, *filter(self.exists, self.begun)}
        try:
            self._note = StagingFolder(self.folder)
            self._note.write_places(self._places)
        except OSError as error:
            reason = error.strerror or error
            raise OutputError(f"{self.folder}: cannot be written to ({reason})") from error

    def exists(self, place: str) -> bool:
        """Whether something lies at a place of the folder."""
        return os.path.lexists(self.folder / place)

    def close(self) -> None:
        """Remove the note of `begin`, unless a file was written that no record names."""
        if self._note is None:
            return
        if any(map(self.exists, self.unrecorded(self._places))):
            self._note.leave()
        else:
            self._note.remove()
        self._note = None

    def is_whole(self, output: Output) -> bool:
        """Whether an output is there with its SHA-256."""
        path = self.folder / output.path
        try:
            return path.stat().st_size == output.bytes and sha256_of(path) == output.sha256
        except OSError:
            return False


def _places(record: Record) -> list[tuple[str, str]]:
    return sorted((output.stem, output.path) for output in record.outputs)


def _append(descriptor: int, line: bytes) -> None:
    """Write at the end in one call, under a lock where the system has one."""
    with suppress(ImportError, OSError):  # not on Windows, nor on some network file systems
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX)
    end = os.lseek(descriptor, 0, os.SEEK_END)
    if end:
        os.lseek(descriptor, end - 1, os.SEEK_SET)
        if os.read(descriptor, 1) != b"\n":  # a line cut short by a crash
            line = b"\n" + line
    if os.write(descriptor, line) != len(line):
        os.ftruncate(descriptor, end)
        raise OSError("the disk is full")
