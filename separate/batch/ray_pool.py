"""A pool of workers on a Ray cluster that take one item at a time.

Results come as they are done; the result of an item whose worker died twice is None. Ray places the
workers, moves the messages and detects deaths.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from separate.batch.job import Item
from separate.batch.ray_cluster import RayOptions, connect, room
from separate.batch.record import Record
from separate.batch.worker import Worker
from separate.errors import Cancelled, SeparateError, SettingsError

_ATTEMPTS = 2  # of an item
_POLL_SECONDS = 0.5
_NEVER_STARTED = 3  # workers in a row, for each that is wanted


class _Desk:
    """The Ray actor: it runs the worker and reports its progress."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._part, self._is_stopped = 0.0, False

    def version(self) -> str:
        """Tell that it has started, and with which version of this package."""
        return _version()

    def run(self, item: Item) -> tuple[Record | None, SeparateError | None]:
        """Return the item's record, or the error that ends the batch."""
        self._part = 0.0
        try:
            return self._worker(item, self._on_progress), None
        except SeparateError as error:
            return None, error

    def _on_progress(self, part: float) -> None:
        self._part = part
        if self._is_stopped:
            raise Cancelled("stopped")

    def part(self) -> float:
        """Tell which part of the item at hand is done, 0..1."""
        return self._part

    def stop(self) -> None:
        """End at the next report of progress, without leaving anything half written."""
        self._is_stopped = True


def _version() -> str:
    from importlib.metadata import version

    return version("separate-audio")


@dataclass
class _Seat:
    """A worker as the driver sees it."""

    actor: Any
    index: int | None = None  # of the item at hand
    part: Any = None  # the pending request for progress


@dataclass
class _Queue:
    """Items that wait, and what became of their attempts."""

    waiting: list[tuple[int, Item]]
    failures: dict[int, int] = field(default_factory=dict)
    records: dict[int, Record | None] = field(default_factory=dict)  # of failed attempts
    failed_on: dict[int, _Seat] = field(default_factory=dict)

    def take(self, seat: _Seat, *, is_alone: bool) -> tuple[int, Item] | None:
        """Take the first item that did not fail on this very worker."""
        for at, (index, item) in enumerate(self.waiting):
            if is_alone or self.failed_on.get(index) is not seat:
                del self.waiting[at]
                return index, item
        return None

    def is_final(self, index: int, item: Item, seat: _Seat, record: Record | None) -> bool:
        """Count a failed attempt; the item waits again, unless that was the last."""
        self.failures[index] = self.failures.get(index, 0) + 1
        self.records[index] = record or self.records.get(index)
        if self.failures[index] >= _ATTEMPTS:
            return True
        self.failed_on[index] = seat
        self.waiting.insert(0, (index, item))
        return False


def run_on_ray(
    worker: Worker,
    items: Sequence[tuple[int, Item]],
    options: RayOptions,
    threads: int,
    on_progress: Callable[[int, float], None],
) -> Generator[tuple[int, Record | None], None, None]:
    """Work on items in workers of a Ray cluster, one item a worker at a time.

    Args:
        worker: Called as `worker(item, on_part)` in a process that keeps it for all its items.
        items: (index, item), begun in this order.
        options: The cluster and the workers.
        threads: Processors that each worker takes.
        on_progress: Called here with an item's index and the part of it that is done.

    Yields:
        (index, record), or (index, None) where its worker died, twice.

    Raises:
        SettingsError: Ray is missing, or the cluster has no room for any worker.
        Whatever the worker raises; then, and when this iterator is closed, workers are ended.
    """
    if not items:
        return
    with connect(options, threads, len(items)) as ray:
        wanted = min(len(items), options.workers or room(ray, options, threads))
        pool = _Pool(ray, worker, options, threads, wanted)
        try:
            yield from pool.work(_Queue(list(items)), dict(items), on_progress)
        finally:
            pool.close()


class _Pool:
    """The workers: those that start, those that are free and those at work."""

    def __init__(
        self, ray: Any, worker: Worker, options: RayOptions, threads: int, wanted: int
    ) -> None:
        self._ray = ray
        self._worker = ray.put(worker)
        control = {"part": _Desk.part, "stop": _Desk.stop}
        methods = {name: ray.method(concurrency_group="control")(m) for name, m in control.items()}
        desk = type("SeparateWorker", (_Desk,), methods)
        self._kind = ray.remote(concurrency_groups={"control": 1})(desk).options(
            num_cpus=threads,
            num_gpus=options.gpus_per_worker,
            max_restarts=0,
            scheduling_strategy="SPREAD",
        )
        self._wanted = wanted
        self._starting: dict[Any, _Seat] = {}  # by what is awaited
        self._working: dict[Any, _Seat] = {}
        self._free: list[_Seat] = []
        self._failed_starts = 0

    def work(
        self,
        queue: _Queue,
        items: dict[int, Item],
        on_progress: Callable[[int, float], None],
    ) -> Iterator[tuple[int, Record | None]]:
        """Yield (index, record) until nothing waits and nobody works."""
        while queue.waiting or self._working:
            self._hire(len(queue.waiting) + len(self._working))
            self._give_work(queue)
            awaited = [*self._working, *self._starting]
            done, _ = self._ray.wait(awaited, num_returns=1, timeout=_POLL_SECONDS)
            for reference in done:
                if reference in self._starting:
                    self._welcome(reference)
                    continue
                seat = self._working.pop(reference)
                index = seat.index
                assert index is not None
                record = self._result(reference, seat)
                failed = record is None or record.error is not None
                if failed and not queue.is_final(index, items[index], seat, record):
                    continue
                yield index, queue.records[index] if record is None else record
            self._ask_parts(on_progress)

    def _hire(self, useful: int) -> None:
        """Start workers where some are missing; Ray waits until there is room for them."""
        count = len(self._starting) + len(self._working) + len(self._free)
        for _ in range(min(self._wanted, useful) - count):
            actor = self._kind.remote(self._worker)
            self._starting[actor.version.remote()] = _Seat(actor)

    def _welcome(self, reference: Any) -> None:
        seat = self._starting.pop(reference)
        try:
            version = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            self._failed_starts += 1
            if self._failed_starts > _NEVER_STARTED * self._wanted:
                reason = (str(error).strip().splitlines() or ["it ended"])[-1][:200]
                raise SettingsError(f"Ray starts no worker ({reason})") from error
            return
        if version != _version():
            raise SettingsError(
                f"a node of the Ray cluster has separate-audio {version}, this machine has"
                f" {_version()}: install the same on all"
            )
        self._failed_starts = 0
        self._free.append(seat)

    def _give_work(self, queue: _Queue) -> None:
        idle = []
        for seat in self._free:
            is_alone = len(self._free) == 1 and not self._working and not self._starting
            taken = queue.take(seat, is_alone=is_alone)
            if taken is None:
                idle.append(seat)
                continue
            seat.index, item = taken
            self._working[seat.actor.run.remote(item)] = seat
        self._free = idle

    def _result(self, reference: Any, seat: _Seat) -> Record | None:
        """Return the record of a worker's item; None where the worker died."""
        try:
            record, error = self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as failure:
            raise failure.cause or failure from None  # an error in the program itself
        except self._ray.exceptions.RayError:
            self._ray.kill(seat.actor)
            return None
        if error is not None:
            raise error
        seat.index, seat.part = None, None
        self._free.append(seat)
        return record

    def _ask_parts(self, on_progress: Callable[[int, float], None]) -> None:
        """Request the progress of busy workers, one request each at a time, and report it."""
        for seat in self._working.values():
            if seat.part is None:
                seat.part = seat.actor.part.remote()
                continue
            answered, _ = self._ray.wait([seat.part], timeout=0)
            if answered and seat.index is not None:
                answer, seat.part = seat.part, None
                try:
                    on_progress(seat.index, self._ray.get(answer))
                except self._ray.exceptions.RayError:
                    continue  # it died; that will be noticed with its item

    def close(self) -> None:
        """End all workers; those at work may first clean up."""
        seats = [*self._starting.values(), *self._working.values(), *self._free]
        for seat in self._working.values():
            seat.actor.stop.remote()
        if self._working:
            self._ray.wait(list(self._working), num_returns=len(self._working), timeout=10)
        for seat in seats:
            self._ray.kill(seat.actor)
