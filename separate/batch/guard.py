"""What outputs must not replace.

An output never replaces a file that the run reads. It replaces a file that was there before only
where the record of the folder names it, or where the user allows it (`--overwrite`).
"""

import os
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from pathlib import Path

from separate.batch.remote.files import Place, child_of
from separate.errors import OutputError


@dataclass(frozen=True)
class Guard:
    """Refuses outputs that would replace what they must not."""

    read: frozenset[Hashable] = frozenset()  # identities of the files that the run reads
    made: frozenset[str] | None = None  # places that may be replaced; None: all but those read

    def check(
        self,
        folder: Place,
        places: Iterable[str],
        exists: Callable[[str], bool] | None = None,
    ) -> None:
        """Raise where one of some outputs would replace a file that it must not.

        Args:
            folder: The output folder.
            places: Paths of the outputs relative to it.
            exists: Whether something lies at a place; None: ask the file system.

        Raises:
            OutputError: It names the first such file, and says how many there are.
        """
        refused: dict[Place, str] = {}
        for place in places:
            path = child_of(folder, place)
            is_there = os.path.lexists(str(path)) if exists is None else exists(place)
            if is_there and identity(path) in self.read:
                refused[path] = "is read by this run; choose another -o or --filename"
            elif is_there and self.made is not None and place not in self.made:
                refused[path] = (
                    "is there already, and the folder's record does not name it;"
                    " choose another -o, or replace it with --overwrite"
                )
        for path, reason in refused.items():
            more = f" ({len(refused) - 1} more of the kind)" if len(refused) > 1 else ""
            raise OutputError(f"{path}: {reason}{more}")


def identity(path: Place) -> Hashable:
    """Return what is equal for two names of one file: on this disk device and inode, else a URL."""
    if not isinstance(path, Path):
        return path.url
    try:
        status = path.stat()
    except OSError:
        return os.path.realpath(path)
    return status.st_dev, status.st_ino
