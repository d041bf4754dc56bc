"""A pool of processes that take one item at a time; a process that dies is replaced.

Results come as they are done; the result of an item whose process died is None.
"""

import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing.context import SpawnContext
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Event

from separate.batch.job import Item
from separate.batch.record import Record
from separate.batch.worker import Worker
from separate.errors import Cancelled

_POLL_SECONDS = 0.2

_worker: Worker  # these three are set once, in a child process
_messages: "SimpleQueue[tuple[int, float]]"
_stop: Event


def _start(worker: Worker, messages: "SimpleQueue[tuple[int, float]]", stop: Event) -> None:
    """Begin a child process; Ctrl-C reaches it through its parent alone."""
    global _worker, _messages, _stop
    _worker, _messages, _stop = worker, messages, stop
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):  # inherited from the parent's `_holding_interrupts`
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    logging.captureWarnings(True)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)  # the parent was killed; nobody wants the result


def _run(index: int, item: Item) -> Record:
    def on_progress(part: float) -> None:
        if _stop.is_set():
            raise Cancelled("stopped")
        _messages.put((index, part))

    on_progress(0.0)
    return _worker(item, on_progress)


class _Slot:
    """One process, replaced when it dies."""

    def __init__(self, worker: Worker, context: SpawnContext, stop: Event) -> None:
        self._worker, self._context, self._stop = worker, context, stop
        self._executor: ProcessPoolExecutor | None = None
        self._messages: SimpleQueue[tuple[int, float]] | None = None

    def submit(self, index: int, item: Item) -> "Future[Record]":
        with _holding_interrupts():
            if self._executor is not None:
                try:
                    return self._executor.submit(_run, index, item)
                except BrokenProcessPool:  # the process was killed while it had nothing to do
                    self.discard()
            self._messages = self._context.SimpleQueue()
            self._executor = ProcessPoolExecutor(
                1,
                mp_context=self._context,
                initializer=_start,
                initargs=(self._worker, self._messages, self._stop),
            )
            return self._executor.submit(_run, index, item)

    def messages(self) -> Iterator[tuple[int, float]]:
        """Yield the progress reports that have come in."""
        while self._messages is not None and not self._messages.empty():
            yield self._messages.get()

    def discard(self) -> None:
        """Let go of the process, when it has ended or is idle."""
        executor, self._executor, self._messages = self._executor, None, None
        if executor is not None:
            executor.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _holding_interrupts() -> Iterator[None]:
    """Keep SIGINT pending until the end; a process that is started meanwhile inherits the mask.

    A child can't be interrupted before it ignores the signal, and no Ctrl-C is lost. Windows has
    no mask and starts children that ignore nothing.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def run_in_processes(
    worker: Worker,
    items: Sequence[tuple[int, Item]],
    jobs: int,
    on_progress: Callable[[int, float], None],
    on_late: Callable[[Record], None] | None = None,
) -> Generator[tuple[int, Record | None], None, None]:
    """Work on items in several processes.

    Args:
        worker: Called as `worker(item, on_part)` in a process that keeps it for all its items.
        items: (index, item), begun in this order.
        jobs: Processes at most.
        on_progress: Called here with an item's index and the part of it that is done.
        on_late: Called with the record of an item that was done when the iterator was closed.

    Yields:
        (index, record), or (index, None) where the process died.

    Raises:
        Whatever the worker raises; then, and when this iterator is closed, all processes are asked
        to stop and are waited for.
    """
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    slots = [_Slot(worker, context, stop) for _ in range(min(jobs, len(items)))]
    free, running = list(slots), dict[Future[Record], tuple[int, _Slot]]()
    waiting = list(reversed(items))
    by_index = dict(items)
    begun, repeated = set[int](), set[int]()
    try:
        while waiting or running:
            while free and waiting:
                slot, (index, item) = free.pop(), waiting.pop()
                running[slot.submit(index, item)] = (index, slot)
            done, _ = wait(running, _POLL_SECONDS, FIRST_COMPLETED)
            for slot in slots:
                for index, part in slot.messages():
                    begun.add(index)
                    on_progress(index, part)
            for future in done:
                index, slot = running.pop(future)
                free.append(slot)
                try:
                    record: Record | None = future.result()
                except BrokenProcessPool:
                    slot.discard()
                    if index not in begun | repeated:  # killed before it began the item
                        repeated.add(index)
                        waiting.append((index, by_index[index]))
                        continue
                    record = None
                yield index, record
    finally:
        stop.set()
        for slot in slots:
            with suppress(Exception):
                slot.discard()
        for future in running:
            is_whole = future.done() and not future.cancelled() and future.exception() is None
            if on_late is not None and is_whole:
                on_late(future.result())


def processors() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
