"""The run through a batch's items that every command shares: resume, processes, progress, record.

In: items, each with a draft of its record, and what makes a worker. Out: a line of the record each,
and how it went. Results of a run that was stopped stay, and `resume` goes on from them.
"""

import os
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

from separate.errors import SettingsError
from separate.naming import Track, find_tracks
from separate.pool import run_in_processes
from separate.record import Record, RecordFile

Progress = Callable[[float, float], None]  # (bytes of input done, bytes in all)
OnRecord = Callable[[Record, bool], None]  # a file's record, and whether it was complete already


class BatchItem(Protocol):
    """One track that is to be done."""

    @property
    def track(self) -> Track:
        """Where it lies."""

    @property
    def draft(self) -> Record:
        """Its record so far, with the outputs that are wanted."""


Item = TypeVar("Item", bound=BatchItem)
Worker = Callable[[Item, Callable[[float], None]], Record]  # loads its models when first used
MakeWorker = Callable[[int | None], Worker[Item]]  # given processor threads; None: torch's choice


@dataclass(frozen=True)
class BatchResult:
    """How a batch went."""

    records: tuple[Record, ...]  # of all tracks, in the order of the inputs
    skipped: int  # complete already

    @property
    def failed(self) -> tuple[Record, ...]:
        """Records of the files that failed."""
        return tuple(record for record in self.records if record.error)


def batch_tracks(inputs: Sequence[Path], folder: Path, record_file: RecordFile) -> list[Track]:
    """Find the tracks of files and folders; what the record shows to be results is none.

    Raises:
        SettingsError: There are none.
    """
    made = [folder / output.path for record in record_file for output in record.outputs]
    tracks = find_tracks(inputs, made, folder)
    if not tracks:
        raise SettingsError("no input: name at least one file or folder")
    return tracks


def run_items(
    items: Sequence[Item],
    record_file: RecordFile,
    make_worker: MakeWorker[Item],
    *,
    jobs: int = 1,
    threads: int | None = None,
    resume: bool = False,
    on_progress: Progress | None = None,
    on_record: OnRecord | None = None,
) -> BatchResult:
    """Do each item and write its record.

    Args:
        items: What is to be done.
        record_file: Where the records go.
        make_worker: Makes what a process does with its items.
        jobs: Processes, at least 1, each with a worker of its own.
        threads: Of each process; None: the processors are shared out.
        resume: Skip what the record shows to be complete.
        on_progress: Called with bytes of input done and in all; what it raises stops the batch.
        on_record: Called with each file's record, and whether the file was complete already.
    """
    records = _complete_already(items, record_file) if resume else {}
    for record in records.values():
        if on_record is not None:
            on_record(record, True)
    skipped = len(records)
    numbers = [number for number in range(len(items)) if number not in records]
    waiting = [items[number] for number in numbers]
    meter = _Meter(waiting, on_progress)
    with closing(_work(waiting, make_worker, jobs, threads, meter)) as results:
        for position, record in results:
            records[numbers[position]] = record
            record_file.append(record)
            meter.update(position, 1.0)
            if on_record is not None:
                on_record(record, False)
    return BatchResult(tuple(records[number] for number in range(len(items))), skipped)


def _complete_already(items: Sequence[BatchItem], record_file: RecordFile) -> dict[int, Record]:
    """Return records of items whose outputs are there, by position."""
    index = record_file.index()
    found = {at: record_file.complete(item.draft, index) for at, item in enumerate(items)}
    return {at: record for at, record in found.items() if record is not None}


class _Meter:
    """Adds up the progress of the files, weighted by their size."""

    def __init__(self, items: Sequence[BatchItem], on_progress: Progress | None) -> None:
        self._weights = [max(1, item.draft.size) for item in items]
        self._parts = [0.0] * len(items)
        self._on_progress = on_progress

    def update(self, position: int, part: float) -> None:
        """Report that a part, 0..1, of an item is done."""
        self._parts[position] = part
        if self._on_progress is not None:
            done = sum(w * p for w, p in zip(self._weights, self._parts, strict=True))
            self._on_progress(done, float(sum(self._weights)))


def _work(
    items: Sequence[Item],
    make_worker: MakeWorker[Item],
    jobs: int,
    threads: int | None,
    meter: _Meter,
) -> Generator[tuple[int, Record], None, None]:
    """Yield (position, record) of each item as it is done."""
    if not items:
        return
    if jobs == 1 or len(items) == 1:
        worker = make_worker(threads)
        for position, item in enumerate(items):
            yield position, worker(item, partial(meter.update, position))
        return
    worker = make_worker(threads or max(1, _processors() // min(jobs, len(items))))
    longest_first = sorted(range(len(items)), key=lambda at: -items[at].draft.size)
    lost = "its process was ended by the system (out of memory?); try fewer --jobs"
    for position, record in run_in_processes(
        worker, [(at, items[at]) for at in longest_first], jobs, meter.update
    ):
        if record is None:
            path = items[position].track.path
            record = replace(items[position].draft, outputs=[], error=f"{path}: {lost}")
        yield position, record


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
