"""The worker process: it stops when told, also where it does not listen, and its death is told."""

import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from separate import example_path
from separate.app.jobs.orders import FindOrder, Order, SeparateOrder
from separate.app.jobs.queue import OVER, JobQueue, QueuedJob
from separate.app.jobs.workers import Workers
from separate.settings import Request, Settings

SETTINGS = Settings(threads=1)
PATIENCE_SECONDS = 180


@pytest.fixture(scope="module")
def workers():
    queue = JobQueue()
    made = Workers(queue, SETTINGS, 1)
    made.start()
    yield made, queue
    made.close()


@dataclass
class WatchedJob(QueuedJob):
    """A job that signals when a first part of it is done, and when it is over."""

    on_part: Callable[[QueuedJob], object] | None = (
        None  # called once, by the thread that minds the job
    )
    over: threading.Event = field(default_factory=threading.Event)

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name == "part" and value > 0 and self.on_part is not None:
            on_part, self.on_part = self.on_part, None
            on_part(self)
        if name == "state" and value in OVER:
            self.over.set()


def put(
    queue: JobQueue, order: Order, on_part: Callable[[QueuedJob], object] | None = None
) -> WatchedJob:
    job = WatchedJob("a", "s", "x", "my song.ogg", order, order.folder, on_part=on_part)
    queue.add(job)
    return job


def test_stop_failure_and_death(workers, tmp_path, long_file):
    made, queue = workers
    began: list[float] = []

    def cancel(job: QueuedJob) -> None:
        began.append(time.monotonic())
        queue.cancel(job)

    request = Request(texts=("vocals", "drums", "bass", "guitar"))
    out = tmp_path / "out"
    order = SeparateOrder(long_file, out, 600, SETTINGS, request)
    job = put(queue, order, cancel)
    assert job.over.wait(PATIENCE_SECONDS)
    assert job.state == "cancelled" and time.monotonic() - began[0] < 2
    assert not out.exists()

    damaged = tmp_path / "server name.ogg"
    damaged.write_bytes(example_path().read_bytes()[:9000])
    job = put(queue, SeparateOrder(damaged, out, 600, SETTINGS, Request(texts=("drums",))))
    assert job.over.wait(PATIENCE_SECONDS)
    assert job.state == "failed"
    assert job.message.startswith("my song.ogg: ") and str(tmp_path) not in job.message

    job = put(queue, order, lambda job: os.kill(made._children[0]._process.pid, signal.SIGKILL))
    assert job.over.wait(PATIENCE_SECONDS)
    assert job.state == "failed" and "ended by the system" in job.message

    job = put(queue, FindOrder(example_path(), out, 2.0, SETTINGS))  # a new one took its place
    assert job.over.wait(PATIENCE_SECONDS)
    assert job.state == "done" and isinstance(job.result["found"], list)


def test_what_lies_behind_the_limit_is_not_read(workers, tmp_path: Path):
    _, queue = workers
    job = put(
        queue, SeparateOrder(example_path(), tmp_path, 1.5, SETTINGS, Request(texts=("drums",)))
    )
    assert job.over.wait(PATIENCE_SECONDS)
    assert job.result["duration"] == pytest.approx(1.5)
    assert job.result["mixture"]["frames"] == job.result["stems"][0]["frames"]
