"""A worker whose inputs or outputs lie elsewhere: fetches, lets work on local files, puts.

In: a worker of a batch. Out: the same as a worker, for remote tracks and a remote output folder.
"""

import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from separate.batch.outputs import staging_name
from separate.batch.record import Record
from separate.batch.remote.files import RemoteOptions, fetch, put_all
from separate.errors import InputError, OutputError, one_line


class RemoteWorker:
    """Stands around a worker; all it keeps on the local disk is the file at hand."""

    def __init__(self, worker: Any, options: RemoteOptions) -> None:
        """Take a worker that knows `moved`, see `batch_run.Worker`."""
        self._worker, self._options = worker, options
        self._scratch: Path | None = None

    def __call__(self, item: Any, on_progress: Callable[[float], None]) -> Record:
        """Do one item; what fails with its store is its record's `error`."""
        started = time.perf_counter()
        if self._scratch is None:
            self._scratch = Path(tempfile.gettempdir(), staging_name())
            if self._options.output is not None:
                self._worker = self._worker.moved(self._scratch / "out")
        try:
            record = self._work(item, self._scratch, on_progress)
        except (InputError, OutputError) as error:
            record = replace(item.draft, outputs=[], error=one_line(error))
        except OSError as error:
            folder = tempfile.gettempdir()
            record = replace(item.draft, outputs=[], error=f"{folder}: {error.strerror or error}")
        finally:
            shutil.rmtree(self._scratch, ignore_errors=True)
        return replace(record, seconds=round(time.perf_counter() - started, 3))

    def _work(self, item: Any, scratch: Path, on_progress: Callable[[float], None]) -> Record:
        track = item.track
        scratch.mkdir(parents=True, exist_ok=True)
        if track.remote is not None:
            most = self._options.max_fetch_bytes
            path = fetch(track.remote, scratch, most, lambda: on_progress(0.0))
            item = replace(item, track=replace(track, path=path, remote=None))
        record: Record = self._worker(item, on_progress)
        if record.error:
            plain = record.error.replace(f"{item.track.path}", track.label)
            if self._options.output is not None:
                plain = plain.replace(f"{scratch / 'out'}", f"{self._options.output}")
            return replace(record, error=plain)
        if self._options.output is None:
            return record
        return replace(
            record, outputs=put_all(scratch / "out", record.outputs, self._options.output)
        )
