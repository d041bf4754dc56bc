"""The queue of jobs. Sessions take turns, so that one with many files does not block the others."""

import shutil
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from separate.app.jobs.orders import Order

OVER = ("done", "failed", "cancelled")


@dataclass
class QueuedJob:
    """One computation of one session."""

    id: str
    session: str
    kind: str  # separate, find, lyrics
    title: str  # name of the file, to show
    order: Order
    folder: Path
    clock: Callable[[], float] = time.monotonic
    state: str = "waiting"  # waiting, running, done, failed, cancelled
    part: float = 0.0  # of the work that is done, 0..1
    step: str = ""  # what is done now, in words
    message: str = ""  # why it failed
    result: dict[str, Any] = field(default_factory=dict)
    asked: dict[str, Any] = field(default_factory=dict)  # what the visitor wanted, to show
    stop: threading.Event = field(default_factory=threading.Event)
    asked_at: float = 0.0
    started: float = 0.0
    used: float = 0.0
    bytes: int = 0  # of its files, once it is over

    def __post_init__(self) -> None:
        """Begin to count."""
        self.used = self.used or self.clock()
        self.asked_at = self.used

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come."""
        return self.state in OVER

    def finish(self, state: str, message: str = "", result: dict[str, Any] | None = None) -> None:
        """Set how it ended; a job that is not done leaves no files."""
        if state != "done":
            shutil.rmtree(self.folder, ignore_errors=True)
        self.message, self.result, self.used = message, result or {}, self.clock()
        self.bytes = sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())
        self.part = 1.0 if state == "done" else self.part
        self.state = state  # last: readers look at it first

    def seconds_left(self) -> float | None:
        """Guess from what has been done so far; None before that says anything."""
        if self.state != "running" or self.part < 0.02:
            return None
        spent = self.clock() - self.started
        return spent * (1 - self.part) / self.part


class JobQueue:
    """Jobs that wait, by session. Safe to use from several threads."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, deque[QueuedJob]] = OrderedDict()
        self._running: list[QueuedJob] = []
        self._changed = threading.Condition()
        self._closed = False
        self.on_over: Callable[[QueuedJob], object] = lambda job: None  # called when a job is over

    def add(self, job: QueuedJob) -> None:
        """Put a job at the end of its session's line."""
        with self._changed:
            self._waiting.setdefault(job.session, deque()).append(job)
            self._changed.notify()

    def take(self) -> QueuedJob | None:
        """Wait for the next job and begin it; None when the queue is closed."""
        with self._changed:
            while not self._waiting and not self._closed:
                self._changed.wait()
            if self._closed:
                return None
            session, line = next(iter(self._waiting.items()))
            job = line.popleft()
            del self._waiting[session]
            if line:  # others first
                self._waiting[session] = line
            job.started = job.clock()
            job.state = "running"
            self._running.append(job)
            return job

    def release(self, job: QueuedJob) -> None:
        """Say that a taken job is over."""
        with self._changed:
            self._running.remove(job)
        self.on_over(job)

    def cancel(self, job: QueuedJob) -> None:
        """Remove a job that waits; send a stop signal to one that runs."""
        with self._changed:
            job.stop.set()
            line = self._waiting.get(job.session, deque())
            if job in line:
                line.remove(job)
                if not line:
                    del self._waiting[job.session]
                job.finish("cancelled")
                self.on_over(job)

    def places(self) -> dict[str, int]:
        """Return the place of each job that waits, from 1, by name."""
        with self._changed:
            lines = [list(line) for line in self._waiting.values()]
        places: dict[str, int] = {}
        for turn in range(max(map(len, lines), default=0)):
            for line in lines:
                if turn < len(line):
                    places[line[turn].id] = len(places) + 1
        return places

    def counts(self) -> tuple[int, int]:
        """Return how many wait and how many run."""
        with self._changed:
            return sum(map(len, self._waiting.values())), len(self._running)

    def close(self) -> None:
        """Let all `take` return, and stop what runs."""
        with self._changed:
            self._closed = True
            for job in self._running:
                job.stop.set()
            self._changed.notify_all()


def view(job: QueuedJob, places: dict[str, int]) -> dict[str, Any]:
    """Return the state of a job for the visitor, as plain values."""
    left = job.seconds_left()
    return {
        "id": job.id,
        "kind": job.kind,
        "title": job.title,
        "state": job.state,
        "part": round(job.part, 4),
        "step": job.step,
        "seconds_left": None if left is None else round(left, 1),
        "place": places.get(job.id),
        "waiting": len(places),
        "message": job.message,
        "asked": job.asked,
        "result": job.result if job.state == "done" else {},
    }
