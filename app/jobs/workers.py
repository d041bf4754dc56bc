"""Worker processes, and a thread for each that gives it jobs.

A cancelled computation gets a stop signal; if it does not stop within a moment, its process is
killed and another one started.
"""

import logging
import multiprocessing
import threading
import time
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Event
from typing import Any

from separate.app.jobs.child import serve
from separate.app.jobs.queue import JobQueue, QueuedJob
from separate.app.jobs.refusals import without_options
from separate.settings import Settings

_POLL_SECONDS = 0.1
_LAST_SECONDS = 5.0  # for a thread to see that its process ended
_GRACE_SECONDS = 0.7  # between the stop signal and the kill
_LOST = "the computation was ended by the system (out of memory?); try a shorter recording"
_log = logging.getLogger(__name__)


class Child:
    """One worker process, replaced when it dies."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._context = multiprocessing.get_context("spawn")
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None
        self._stop: Event | None = None
        self._closed = False

    @property
    def pid(self) -> int | None:
        """Number of the process, where it runs."""
        process = self._process
        return None if process is None else process.pid

    def start(self) -> None:
        """Start the process, which loads the model."""
        if self._closed:
            return
        ours, theirs = self._context.Pipe()
        self._stop = self._context.Event()
        self._process = self._context.Process(
            target=serve, args=(theirs, self._stop, self._settings), daemon=True
        )
        self._process.start()
        theirs.close()
        self._pipe = ours

    def run(self, job: QueuedJob) -> None:
        """Work on one job to its end."""
        if self._process is None or not self._process.is_alive():
            self.end()
            self.start()
        process, pipe, stop = self._process, self._pipe, self._stop
        if process is None or pipe is None or stop is None:  # the server closes
            job.finish("cancelled")
            return
        stop.clear()
        deadline: float | None = None
        try:
            pipe.send(job.order)
            while True:
                if pipe.poll(_POLL_SECONDS):
                    if _finish(job, pipe.recv()):
                        return
                elif self._closed or not process.is_alive():
                    raise EOFError
                if job.stop.is_set():
                    stop.set()
                    deadline = deadline or time.monotonic() + _GRACE_SECONDS
                if deadline is not None and time.monotonic() > deadline:
                    self.end()
                    job.finish("cancelled")
                    self.start()
                    return
        except (EOFError, OSError):
            self.end()
            if self._closed:
                job.finish("cancelled")
                return
            _log.warning("a worker process died")
            job.finish("cancelled" if job.stop.is_set() else "failed", _LOST)

    def end(self) -> None:
        """End the process, whatever it is doing."""
        process, pipe = self._process, self._pipe
        self._process = self._pipe = None
        if process is not None:
            process.kill()
            process.join()
        if pipe is not None:
            pipe.close()

    def close(self) -> None:
        """End the process for good; a job of it is cancelled, which is no failure."""
        self._closed = True
        if self._process is not None:
            self._process.kill()


def without_paths(message: str, job: QueuedJob) -> str:
    """Replace paths on the server by the names that the visitor gave."""
    message = message.replace(str(job.order.source), job.title)
    for path in getattr(job.order, "like", ()):
        message = message.replace(str(path), path.name)
    return without_options(message.replace(str(job.folder), "the results"))


def _finish(job: QueuedJob, message: tuple[Any, ...]) -> bool:
    """Take a message of a child in; return whether it was the last of this job."""
    kind, *rest = message
    if kind == "progress":
        job.part, job.step = max(job.part, rest[0]), rest[1]
        return False
    if kind == "ready":
        return False
    if kind == "done":
        job.finish("done", result=rest[0])
    elif kind == "failed":
        job.finish("failed", without_paths(rest[0], job))
    else:
        job.finish("cancelled")
    return True


class Workers:
    """All workers of a server."""

    def __init__(self, queue: JobQueue, settings: Settings, count: int) -> None:
        """Prepare; nothing starts yet.

        Args:
            queue: Where jobs come from.
            settings: Model, device and threads of each process.
            count: Processes.
        """
        self._queue = queue
        self._children = [Child(settings) for _ in range(count)]
        self._threads = [
            threading.Thread(target=self._serve, args=(child,), daemon=True)
            for child in self._children
        ]

    def start(self) -> None:
        """Start the processes and their threads."""
        for child in self._children:
            child.start()
        for thread in self._threads:
            thread.start()

    def pids(self) -> list[int]:
        """Return the numbers of the processes that run."""
        return [pid for child in self._children if (pid := child.pid) is not None]

    def _serve(self, child: Child) -> None:
        while (job := self._queue.take()) is not None:
            try:
                child.run(job)
            except Exception:
                _log.exception("a worker failed")
                job.finish("failed", "the server failed here; please report this")
            finally:
                self._queue.release(job)

    def close(self) -> None:
        """Stop everything."""
        self._queue.close()
        for child in self._children:
            child.close()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(_LAST_SECONDS)
        for child in self._children:
            child.end()
