"""The worker of a batch: it loads a job's models with the first item and keeps them."""

import logging
import time
from dataclasses import replace

from separate.batch.guard import Guard
from separate.batch.job import Item, Job, OnPart, Work, error_line
from separate.batch.record import Record
from separate.batch.remote.files import RemoteOptions
from separate.batch.remote.scratch import work_remotely
from separate.errors import Cancelled, CheckpointError, QueryError, SettingsError, WeightsError

# With these errors every other item would fail too.
_ENDS_BATCH = (QueryError, CheckpointError, SettingsError, WeightsError, Cancelled)
_log = logging.getLogger(__name__)


class Worker:
    """Does the items of a job, one after another; can be pickled until its first item."""

    def __init__(
        self,
        job: Job,
        threads: int | None,
        remote: RemoteOptions | None = None,
        guard: Guard | None = None,
    ) -> None:
        """Keep what to do.

        Args:
            job: What to do with each item.
            threads: Processor threads; None: torch's choice.
            remote: Inputs are fetched and results put this way; None: all files are local.
            guard: What outputs must not replace; None: they go to a folder of their own.
        """
        self._job, self._threads, self._remote = job, threads, remote
        self._guard = guard or Guard()
        self._work: Work | None = None

    def __call__(self, item: Item, on_part: OnPart) -> Record:
        """Do one item.

        Args:
            item: What is to be done.
            on_part: Called with the part done, 0..1; what it raises ends the item.

        Returns:
            The completed record; a failure with this file is its `error`.

        Raises:
            QueryError, CheckpointError, SettingsError, WeightsError: Every item would fail.
            Cancelled: The batch was stopped.
        """
        started = time.perf_counter()
        if self._work is None:
            self._work = self._job.load(self._threads, self._guard)
        try:
            if self._remote is None:
                record = self._work(item, self._job.folder, on_part)
            else:
                record = work_remotely(self._work, item, self._job.folder, self._remote, on_part)
        except _ENDS_BATCH:
            raise
        except Exception as error:
            _log.debug("%s failed", item.track.label, exc_info=True)
            line = error_line(item.track.label, error)
            record = replace(item.draft, outputs=[], error=line)
        return replace(record, seconds=round(time.perf_counter() - started, 3))
