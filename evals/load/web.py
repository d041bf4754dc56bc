"""A load test of the web page: many users at once.

    python evals/load/web.py --users 20 --seconds 30

It starts `separate app` as a program. All users upload a clip at the same moment, ask for the same
sources, wait and download, while a visitor requests the page again and again. Every download is
compared with the hash that the server reports. The exit status is 1 where an aim is missed.
"""

import hashlib
import io
import json
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import numpy as np
import requests
import soundfile
import typer

from separate import example_path
from separate.errors import DataError
from separate.evals.bench.process import separate_command, status, tree

_POLL_SECONDS = 0.25
_MOST_MEMORY_GB = 3.0
_SLOWEST_ANSWER_SECONDS = 1.0
_WAIT_ERROR = 0.25  # of the median wait, as a part of what the queue says


@dataclass(frozen=True)
class Visit:
    """One user's visit; times in seconds from the start."""

    asked: float  # the request for a separation went out
    queued: float  # it was answered
    done: float  # the results are downloaded and whole
    place: int | None  # in the queue, as first reported


@dataclass(frozen=True)
class Metrics:
    """The metrics of a test."""

    users: int
    clip_seconds: float
    served: int  # users whose files came whole
    in_order: bool  # nobody was served before one who had asked earlier
    seconds: float  # until the last was served
    answers: int  # of the page and its queue meanwhile
    answer_median_seconds: float
    answer_slowest_seconds: float
    memory_gb: float  # most of all processes together, shared pages counted once
    wait_median_seconds: float  # from the request to the downloaded files
    queue_median_seconds: float  # the same, computed from the places in the queue
    errors: int  # of the page and its queue

    @property
    def is_good(self) -> bool:
        """Whether all aims are met."""
        is_quick = self.answer_slowest_seconds < _SLOWEST_ANSWER_SECONDS
        is_small = self.memory_gb < _MOST_MEMORY_GB
        is_foreseen = abs(self.wait_median_seconds / self.queue_median_seconds - 1) <= _WAIT_ERROR
        is_whole = self.served == self.users and self.in_order and not self.errors
        return is_whole and is_quick and is_small and is_foreseen


def clip(seconds: float) -> bytes:
    """Return a WAV of the bundled example, repeated to a length."""
    sound, rate = soundfile.read(example_path(), dtype="int16")
    wanted = int(seconds * rate)
    times = -(-wanted // len(sound))
    stream = io.BytesIO()
    soundfile.write(stream, np.tile(sound, (times, 1))[:wanted], rate, format="WAV")
    return stream.getvalue()


@contextmanager
def server(options: list[str]) -> Iterator[tuple[str, int]]:
    """Run `separate app`; yield its address and process number.

    Raises:
        DataError: It did not start.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = separate_command("app", "--port", "0", "--temporary", folder, *options)
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        try:
            url = process.stdout.readline().strip()
            if not url:
                raise DataError("`separate app` did not start; see its message above")
            _wait_for(url)
            yield url, process.pid
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=30)


def _wait_for(url: str) -> None:
    for _ in range(240):
        try:
            if requests.get(f"{url}health", timeout=5).ok:
                return
        except requests.ConnectionError:
            time.sleep(0.25)
    raise DataError(f"{url} does not answer")


def visit(
    url: str,
    name: str,
    data: bytes,
    queries: list[str],
    start: threading.Barrier,
    began: float,
) -> Visit:
    """Act as one user.

    Raises:
        DataError: A download differs from the hash that the server reports, or the job failed.
    """
    user = requests.Session()
    key = user.post(f"{url}session", timeout=60).json()["session"]
    user.headers["x-separate-session"] = key
    start.wait()
    upload = user.post(f"{url}upload", params={"name": name}, data=data, timeout=300).json()
    asked = time.monotonic() - began
    order = {"kind": "separate", "upload": upload["upload"], "queries": queries}
    state = user.post(f"{url}jobs", json=order, timeout=60).json()
    queued, place = time.monotonic() - began, state["place"]
    while state["state"] not in ("done", "failed", "cancelled"):
        time.sleep(_POLL_SECONDS)
        state = user.get(f"{url}jobs/{state['id']}", timeout=60).json()
    if state["state"] != "done":
        raise DataError(f"{name}: {state['state']} {state['message']}")
    done = time.monotonic() - began
    for number, stem in enumerate(state["result"]["stems"]):
        content = user.get(f"{url}results/{state['id']}/stem/{number}", timeout=300).content
        if hashlib.sha256(content).hexdigest() != stem["sha256"]:
            raise DataError(f"{name}: {stem['name']} came back damaged")
    return Visit(asked, queued, done, place)


class Watcher:
    """Requests the page and its queue again and again, and samples the memory in use."""

    def __init__(self, url: str, process: int) -> None:
        self._url, self._process = url, process
        self._stop = threading.Event()
        self.answers: list[float] = []
        self.memory_bytes = self.errors = 0
        self._threads = [threading.Thread(target=self._ask), threading.Thread(target=self._sample)]

    def __enter__(self) -> "Watcher":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *args: Any) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask(self) -> None:
        visitor = requests.Session()
        while not self._stop.wait(_POLL_SECONDS):
            for place in ("", "jobs", "separate-static/page.css"):
                began = time.monotonic()
                try:
                    visitor.get(self._url + place, timeout=60).raise_for_status()
                except requests.RequestException:
                    self.errors += 1
                self.answers.append(time.monotonic() - began)

    def _sample(self) -> None:
        while not self._stop.wait(1.0):
            self.memory_bytes = max(self.memory_bytes, memory_of_tree(self._process))


def memory_of_tree(process: int) -> int:
    """Return bytes in use by a process and its descendants, shared pages counted once (Linux)."""
    rollups = (status(path) for path in tree(process, "smaps_rollup"))
    return sum(int(fields.get("Pss", "0 kB").split()[0]) * 1024 for fields in rollups)


def in_order(visits: list[Visit]) -> bool:
    """Return whether no user was served before another who was in the queue before they asked.

    Users poll, so the order of what happens within one interval of polling is not known.
    """
    slack = 2 * _POLL_SECONDS
    return all(
        first.done <= second.done + slack
        for first in visits
        for second in visits
        if first.queued < second.asked
    )


def queue_median(visits: list[Visit]) -> float:
    """Return the median wait in seconds that the places in the queue promise.

    One at place 3 waits for the running job, for two others, and for the own one: four times the
    mean between two jobs.
    """
    each = (max(visit.done for visit in visits) - min(v.queued for v in visits)) / len(visits)
    return float(np.median([((visit.place or 0) + 1) * each for visit in visits]))


def measure(users: int, seconds: float, queries: list[str], options: list[str]) -> Metrics:
    """Start the server and the users, and return the metrics."""
    data = clip(seconds)
    start = threading.Barrier(users)
    with server(options) as (url, process), Watcher(url, process) as watcher:
        began = time.monotonic()
        with ThreadPoolExecutor(users) as pool:
            names = [f"user {number + 1}.wav" for number in range(users)]
            futures = [pool.submit(visit, url, name, data, queries, start, began) for name in names]
        visits = [future.result() for future in futures if future.exception() is None]
        for future in futures:
            if (error := future.exception()) is not None:
                typer.echo(f"lost: {error}", err=True)
    if not visits:
        raise DataError("nobody was served; see the messages above")
    return Metrics(
        users,
        seconds,
        len(visits),
        in_order(visits),
        round(max(visit.done for visit in visits), 1),
        len(watcher.answers),
        round(float(np.median(watcher.answers)), 3),
        round(max(watcher.answers), 3),
        round(watcher.memory_bytes / 1e9, 2),
        round(float(np.median([visit.done - visit.queued for visit in visits])), 1),
        round(queue_median(visits), 1),
        watcher.errors,
    )


def load_command(
    users: Annotated[int, typer.Option(min=1, help="Users at the same moment.")] = 20,
    seconds: Annotated[float, typer.Option(min=1, help="Length of each clip.")] = 30.0,
    queries: Annotated[str, typer.Option(help="Sources, with commas between.")] = "drums",
    threads: Annotated[int, typer.Option(min=1, help="Threads of the computation.")] = 2,
    model: Annotated[str, typer.Option(help="Model that separates.")] = "default",
) -> None:
    """Load the web page with many users; exit 1 where an aim is missed."""
    asked = [word.strip() for word in queries.split(",")]
    metrics = measure(users, seconds, asked, ["--threads", str(threads), "--model", model])
    typer.echo(json.dumps(asdict(metrics), indent=1))
    raise typer.Exit(0 if metrics.is_good else 1)


if __name__ == "__main__":
    typer.run(load_command)
