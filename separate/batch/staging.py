"""Hidden folders for files that are not complete: a lock shows whether their process still runs.

Processes in containers share a folder and a host name without sharing process numbers, so only a
lock can tell. The system releases it when the process ends, however it ends.
"""

import errno
import json
import os
import shutil
import uuid
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

_LOCK, _PLACES = "lock", "places.json"
_ATTEMPTS = 20


def hidden_name() -> str:
    """Return a new hidden name for something that is not complete."""
    return f".separate-{uuid.uuid4().hex}.tmp"


class StagingFolder:
    """A hidden folder that stays locked until it is removed."""

    def __init__(self, parent: Path) -> None:
        """Make the folder and lock it.

        Args:
            parent: Where it is made; made too where it is missing.

        Raises:
            OSError: It can't be made.
        """
        for attempt in range(_ATTEMPTS):
            self.path = parent / hidden_name()
            self._lock = FileLock(self.path / _LOCK, timeout=0, thread_local=False)
            try:
                self.path.mkdir(parents=True)
                self._lock.acquire()
                return
            except (Timeout, FileNotFoundError, FileExistsError) as error:
                # Another process removed the folder before it was locked.
                if attempt == _ATTEMPTS - 1:
                    raise OSError(errno.EBUSY, "hidden folders vanish", str(parent)) from error

    def write_places(self, places: Iterable[str]) -> None:
        """Note which outputs are about to be written; see `remove_leftovers`."""
        (self.path / _PLACES).write_text(json.dumps(sorted(places)), encoding="utf-8")

    def leave(self) -> None:
        """Unlock the folder, and leave it for `remove_leftovers`."""
        self._lock.release()

    def remove(self) -> None:
        """Remove the folder with all that is in it."""
        self._lock.release()
        shutil.rmtree(self.path, ignore_errors=True)


def remove_leftovers(folder: Path) -> frozenset[str]:
    """Remove hidden folders whose process has ended.

    Returns:
        The outputs that these processes were about to write, by their paths in the folder.
    """
    places = set[str]()
    for path in Path(folder).glob(".separate-*.tmp"):
        with suppress(Timeout, OSError):  # held by a process, or not ours to remove
            with FileLock(path / _LOCK, timeout=0):
                with suppress(ValueError, OSError):  # most have none
                    places.update(json.loads((path / _PLACES).read_text(encoding="utf-8")))
                shutil.rmtree(path, ignore_errors=True)
            if os.name == "nt":  # Windows removes no file that is open
                shutil.rmtree(path, ignore_errors=True)
    return frozenset(places)
