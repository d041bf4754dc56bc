"""The worker process: it stops when told, also where it does not listen, and its death is told."""

import os
import signal
import time
from pathlib import Path

import pytest

from separate import example_path
from separate.app.jobs.orders import FindOrder, Order, SeparateOrder
from separate.app.jobs.queue import Job, JobQueue
from separate.app.jobs.workers import Workers
from separate.settings import Settings

SETTINGS = Settings(threads=1)


@pytest.fixture(scope="module")
def workers():
    queue = JobQueue()
    made = Workers(queue, SETTINGS, 1)
    made.start()
    yield made, queue
    made.close()


def put(queue: JobQueue, order: Order, name: str = "a") -> Job:
    job = Job(name, "s", "x", "my song.ogg", order, order.folder)
    queue.add(job)
    return job


def wait(condition, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_stop_failure_and_death(workers, tmp_path, long_file):
    made, queue = workers
    texts = ("vocals", "drums", "bass", "guitar")
    job = put(queue, SeparateOrder(long_file, tmp_path, 600, SETTINGS, texts))
    wait(lambda: job.part > 0)
    began = time.monotonic()
    queue.cancel(job)
    wait(lambda: job.is_over)
    assert job.state == "cancelled" and time.monotonic() - began < 2
    assert not list(tmp_path.rglob("*.wav"))

    damaged = tmp_path / "server name.ogg"
    damaged.write_bytes(example_path().read_bytes()[:9000])
    job = put(queue, SeparateOrder(damaged, tmp_path, 600, SETTINGS, ("drums",)))
    wait(lambda: job.is_over)
    assert job.state == "failed"
    assert job.message.startswith("my song.ogg: ") and str(tmp_path) not in job.message

    job = put(queue, SeparateOrder(long_file, tmp_path, 600, SETTINGS, texts))
    wait(lambda: job.part > 0)
    os.kill(made._children[0]._process.pid, signal.SIGKILL)
    wait(lambda: job.is_over)
    assert job.state == "failed" and "ended by the system" in job.message

    job = put(queue, FindOrder(example_path(), tmp_path, 2.0, SETTINGS))  # a new one took its place
    wait(lambda: job.is_over)
    assert job.state == "done" and isinstance(job.result["found"], list)


def test_what_lies_behind_the_limit_is_not_read(workers, tmp_path: Path):
    _, queue = workers
    job = put(queue, SeparateOrder(example_path(), tmp_path, 1.5, SETTINGS, ("drums",)))
    wait(lambda: job.is_over)
    assert job.result["duration"] == pytest.approx(1.5)
    assert job.result["mixture"]["frames"] == job.result["stems"][0]["frames"]
