"""Work on files of a store: the input is fetched to the local disk, the results are put back."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from separate.batch.job import Item, OnPart, Work
from separate.batch.record import Record
from separate.batch.remote.files import RemoteOptions, fetch, put_all
from separate.batch.staging import StagingFolder
from separate.errors import OutputError, SeparateError


def work_remotely(
    work: Work, item: Item, folder: Path, options: RemoteOptions, on_part: OnPart
) -> Record:
    """Do one item whose input or outputs are in a store; the local disk holds this item alone.

    Args:
        work: Does an item whose files are local.
        item: What is to be done.
        folder: The local output folder; unused where the options name one in a store.
        options: Where results go, and how much is fetched.
        on_part: Called with the part done, 0..1; what it raises ends the item.

    Returns:
        The completed record.

    Raises:
        InputError: The input can't be fetched.
        OutputError: The results can't be put, or the local disk is full.
    """
    with _scratch_folder() as scratch:
        track, target = item.track, options.output
        if track.remote is not None:
            most = options.max_fetch_bytes
            path = fetch(track.remote, scratch, most, lambda: on_part(0.0))
            item = replace(item, track=replace(track, path=path, remote=None))
        out = folder if target is None else scratch / "out"
        try:
            record = work(item, out, on_part)
        except SeparateError as error:
            text = str(error).replace(str(item.track.path), track.label)
            if target is not None:
                text = text.replace(str(out), str(target))
            raise type(error)(text) from error
        if target is None:
            return record
        return replace(record, outputs=put_all(out, record.outputs, target))


@contextmanager
def _scratch_folder() -> Iterator[Path]:
    """Make a folder for temporary files; it is removed on leaving."""
    try:
        scratch = StagingFolder(Path(tempfile.gettempdir()))
    except OSError as error:
        where = error.filename or "no folder for temporary files can be written to"
        raise OutputError(f"{where} ({error.strerror or error}); set TMPDIR") from error
    try:
        yield scratch.path
    finally:
        scratch.remove()
