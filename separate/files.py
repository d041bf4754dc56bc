"""Files that are replaced as a whole, and their hashes."""

import hashlib
import shutil
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from separate.errors import OutputError

_CHUNK_BYTES = 1 << 20


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a hidden path beside `path`; it replaces `path` on leaving, or is removed on an error.

    Raises:
        OSError: The folder can't be made, or the file not be replaced.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def sha256_of(path: Path, on_bytes: Callable[[int], None] | None = None) -> str:
    """Hash a file in blocks."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while block := file.read(_CHUNK_BYTES):
            digest.update(block)
            if on_bytes is not None:
                on_bytes(len(block))
    return digest.hexdigest()


def replace_folder(temporary: Path, folder: Path, marks: Collection[str]) -> None:
    """Give a complete folder its name; a folder of that name goes if this program wrote it.

    Args:
        temporary: The complete folder, on the same disk.
        folder: Its name.
        marks: Files by which a folder shows that this program wrote it.

    Raises:
        OutputError: A folder of others has the name.
        OSError: It can't be renamed.
    """
    if folder.exists():
        is_ours = folder.is_dir() and not folder.is_symlink()
        names = {path.name for path in folder.iterdir()} if is_ours else {""}
        if names and names.isdisjoint(marks):
            raise OutputError(
                f"{folder}: exists and was not written by this program; choose another --out"
            )
        shutil.rmtree(folder, ignore_errors=True)
    temporary.rename(folder)
