"""The record of a remote output folder: the same JSON lines, in a store that cannot append.

A record is written as a small object in `separate.jsonl.d/`; the objects are merged into
`separate.jsonl` now and then and at the end. Reading combines both. Only the process that runs the
batch writes them.
"""

import json
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath
from typing import Any

from separate.batch.record import RECORD_NAME, Output, Record, Records, parse_record
from separate.batch.remote.address import START_PATIENCE_SECONDS, Address, call
from separate.batch.remote.files import (
    RemoteFile,
    check_remote_writable,
    described,
    put_bytes,
    read_hash,
    remove,
    state_of,
)

_PARTS = f"{RECORD_NAME}.d"
_NOTE = ".begun.json"  # in the folder of the parts; its name keeps it apart from them
_MERGED_FROM = 256  # parts, or a quarter of the lines: so merging costs a few times the whole


class RemoteRecords(Records):
    """The records of a folder in a store."""

    def __init__(self, folder: Address) -> None:
        """Read what is recorded there.

        Raises:
            InputError: The store can't be read.
        """
        self.folder = folder
        self._file = folder.child(RECORD_NAME)
        self._lines, self._parts = self._read()
        self._written = 0
        self._note = self.folder.child(f"{_PARTS}/{_NOTE}")
        self.begun = self._read_note()
        self._found: dict[str, RemoteFile] | None = None
        self._is_noted = False
        self._places = set[str]()

    def check_writable(self) -> None:
        """Do nothing where files can be put into the folder.

        Raises:
            OutputError: They can't.
        """
        check_remote_writable(self.folder)

    def __iter__(self) -> Iterator[Record]:
        """Yield the records in order, those of this process too."""
        for line in self._lines:
            record = parse_record(line)
            if record is not None:
                yield record

    def append(self, record: Record) -> None:
        """Write a record as an object of its own.

        Raises:
            OutputError: The store can't be written to.
        """
        line = record.as_json()
        self._written += 1
        name = f"{time.time_ns():020d}-{os.getpid()}-{self._written:06d}.json"
        part = self.folder.child(f"{_PARTS}/{name}")
        put_bytes(f"{line}\n".encode(), part, self.folder)
        self._lines.append(line)
        self._parts.append(part)
        if len(self._parts) >= max(_MERGED_FROM, len(self._lines) // 4):
            self._merge()

    def begin(self, places: Iterable[str]) -> None:
        """Note which places a run is about to write, until `close`.

        Raises:
            OutputError: The store can't be written to.
        """
        self._places = {*places, *self.begun}
        put_bytes(json.dumps(sorted(self._places)).encode(), self._note, self.folder)
        self._is_noted = True

    def exists(self, place: str) -> bool:
        """Whether something lies at a place of the folder."""
        if self._found is None:
            self._found = self._list()
        return place in self._found

    def close(self) -> None:
        """Merge what was written into one object, and remove the note of `begin`.

        The note stays where a file was written that no record names.
        """
        if self._written and self._parts:
            self._merge()
        if self._is_noted:
            missing = self.unrecorded(self._places)
            if not missing or missing.isdisjoint(self._list()):
                remove(self._note)
            self._is_noted = False

    def _read_note(self) -> frozenset[str]:
        """Return what a killed run was about to write."""

        def read(store: Any) -> frozenset[str]:
            if not store.exists(self._note.path):
                return frozenset()
            return frozenset(json.loads(store.cat_file(self._note.path)))

        return call(self.folder, read, patience_seconds=START_PATIENCE_SECONDS)

    def is_whole(self, output: Output) -> bool:
        """Whether an output is as it was put there: by its size and etag or time."""
        if self._found is None:
            self._found = self._list()
        file = self._found.get(output.path)
        if file is None or file.size != output.bytes:
            return False
        if output.state is None:
            return read_hash(file.address) == (output.bytes, output.sha256)
        return state_of(file) == output.state

    def _read(self) -> tuple[list[str], list[Address]]:
        """Read the merged lines and the parts; a line in both (a merge cut short) counts once."""

        def read(store: Any) -> tuple[list[str], list[Address]]:
            texts, parts = [], []
            if store.exists(self._file.path):
                texts.append(store.cat_file(self._file.path))
            folder = self.folder.child(_PARTS)
            if store.exists(folder.path):
                found = sorted(store.find(folder.path))
                found = [p for p in found if not PurePosixPath(p).name.startswith(".")]
                contents = (
                    store.cat(found) if len(found) > 1 else {p: store.cat_file(p) for p in found}
                )
                texts += [contents[path] for path in found]
                parts = [folder.child(PurePosixPath(path).name) for path in found]
            lines = [line for text in texts for line in text.decode(errors="replace").splitlines()]
            return list(dict.fromkeys(filter(None, lines))), parts

        return call(self.folder, read, patience_seconds=START_PATIENCE_SECONDS)

    def _list(self) -> dict[str, RemoteFile]:
        """List the folder once: asking for each file alone would take hours for many."""

        def find(store: Any) -> dict[str, RemoteFile]:
            base = self.folder.path
            files = {}
            for path, info in store.find(base, detail=True).items():
                place = path.strip("/").removeprefix(base.strip("/")).lstrip("/")
                files[place] = described(self.folder.child(place), info)
            return files

        return call(self.folder, find)

    def files(self) -> dict[str, RemoteFile]:
        """Return all files of the folder but the record, by their place in it."""
        return {
            place: file
            for place, file in self._list().items()
            if place != RECORD_NAME and not place.startswith(f"{_PARTS}/")
        }

    def _merge(self) -> None:
        put_bytes("".join(f"{line}\n" for line in self._lines).encode(), self._file, self.folder)
        for part in self._parts:
            remove(part)
        self._parts = []
