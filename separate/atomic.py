"""A file is under its name only when it is whole.

In: a path. Out: another one beside it to write to, which takes its place in the end.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a hidden path beside `path`; it replaces `path` on leaving, or is removed on an error.

    Raises:
        OSError: The folder can't be made, or the file not be replaced.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
