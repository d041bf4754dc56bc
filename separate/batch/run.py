"""The run through a batch's items that every command shares: resume, processes, progress, record.

In: items, each with a draft of its record, and what makes a worker; processes or Ray. Out: a line
of the record each, and how it went. Results of a run that was stopped stay, and `resume` goes on
from them.
"""

import tempfile
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

from separate.audio import check_writable
from separate.batch.outputs import remove_leftovers
from separate.batch.pool import processors, run_in_processes
from separate.batch.ray_cluster import RayOptions
from separate.batch.ray_pool import run_on_ray
from separate.batch.record import Record, RecordFile, Records
from separate.batch.remote.files import Place, RemoteOptions
from separate.batch.remote.worker import RemoteWorker
from separate.batch.tracks import Track, find_tracks
from separate.errors import SettingsError

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
AnyItem = TypeVar("AnyItem", bound=BatchItem, contravariant=True)


class Worker(Protocol[AnyItem]):
    """What a process does with its items; loads its models when first used."""

    def __call__(self, item: AnyItem, on_progress: Callable[[float], None]) -> Record:
        """Do one item, telling the part done, 0..1; a failure with it is its record's `error`."""

    def moved(self, folder: Path) -> "Worker[AnyItem]":
        """Return the same for another output folder."""


AnyWorker = Callable[[Any, Callable[[float], None]], Record]
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


def open_records(folder: Path, remote: RemoteOptions | None = None) -> Records:
    """Open the record of the output folder, and see that it can be written to.

    Args:
        folder: On this machine; what killed runs left there is removed.
        remote: Names a folder of a store instead.

    Raises:
        OutputError: It can't be written to.
        InputError: The store can't be read.
    """
    remove_leftovers(Path(tempfile.gettempdir()))  # fetched inputs
    if remote is not None and remote.output is not None:
        from separate.batch.remote.record import RemoteRecords

        records = RemoteRecords(remote.output)
        records.check_writable()
        return records
    check_writable(folder)
    remove_leftovers(folder)
    return RecordFile(folder)


def batch_tracks(
    inputs: Sequence[Place], folder: Path, records: Records, remote: RemoteOptions | None = None
) -> list[Track]:
    """Find the tracks of files and folders; what the record shows to be results is none.

    Raises:
        SettingsError: There are none.
        InputError: A store can't be read.
    """
    places = [output.path for record in records for output in record.outputs]
    if remote is not None and remote.output is not None:
        out: Place = remote.output
        made: list[Place] = [remote.output.child(place) for place in places]
    else:
        out, made = folder, [folder / place for place in places]
    tracks = find_tracks(inputs, made, out)
    if not tracks:
        raise SettingsError("no input: name at least one file or folder")
    return tracks


def run_items(
    items: Sequence[Item],
    records: Records,
    make_worker: MakeWorker[Item],
    *,
    jobs: int = 1,
    threads: int | None = None,
    resume: bool = False,
    ray: RayOptions | None = None,
    remote: RemoteOptions | None = None,
    on_progress: Progress | None = None,
    on_record: OnRecord | None = None,
) -> BatchResult:
    """Do each item and write its record.

    Args:
        items: What is to be done.
        records: Where the records go.
        make_worker: Makes what a process does with its items.
        jobs: Processes on this machine, at least 1, each with a worker of its own.
        threads: Of each process; None: the processors are shared out, and on Ray 1.
        resume: Skip what the record shows to be complete.
        ray: Work on a Ray cluster instead; None: on this machine.
        remote: Fetch remote tracks and put results this way.
        on_progress: Called with bytes of input done and in all; what it raises stops the batch.
        on_record: Called with each file's record, and whether the file was complete already.
    """
    done = _complete_already(items, records) if resume else {}
    for record in done.values():
        if on_record is not None:
            on_record(record, True)
    _check_memory(items, remote, alone=ray is None and jobs == 1)
    skipped = len(done)
    numbers = [number for number in range(len(items)) if number not in done]
    waiting = [items[number] for number in numbers]
    meter = _Meter(waiting, on_progress)
    make_any = _reaching_out(make_worker, waiting, remote)
    if ray is None:
        work = _work(waiting, make_any, jobs, threads, meter)
    else:
        work = _work_on_ray(waiting, make_any, ray, threads, meter)
    try:
        with closing(work) as results:
            for position, record in results:
                done[numbers[position]] = record
                records.append(record)
                meter.finish(position)
                if on_record is not None:
                    on_record(record, False)
    finally:
        records.close()
        if isinstance(records, RecordFile):
            remove_leftovers(records.folder)  # of workers that died meanwhile
    return BatchResult(tuple(done[number] for number in range(len(items))), skipped)


def _complete_already(items: Sequence[BatchItem], records: Records) -> dict[int, Record]:
    """Return records of items whose outputs are there, by position."""
    index = records.index()
    found = {at: records.complete(item.draft, index) for at, item in enumerate(items)}
    return {at: record for at, record in found.items() if record is not None}


def _check_memory(items: Sequence[BatchItem], remote: RemoteOptions | None, *, alone: bool) -> None:
    found = [item.track.remote.address for item in items if item.track.remote is not None]
    if remote is not None and remote.output is not None:
        found.append(remote.output)
    if not alone and any(address.scheme == "memory" for address in found):
        raise SettingsError("memory:// is of one process: leave out --jobs and --ray")


def _reaching_out(
    make_worker: MakeWorker[Item], items: Sequence[Item], remote: RemoteOptions | None
) -> Callable[[int | None], AnyWorker]:
    """Let workers fetch and put, where a track or the output folder lies elsewhere."""
    options = remote or RemoteOptions()
    if options.output is None and all(item.track.remote is None for item in items):
        return make_worker
    return lambda threads: RemoteWorker(make_worker(threads), options)


class _Meter:
    """Adds up the progress of the files, weighted by their size."""

    def __init__(self, items: Sequence[BatchItem], on_progress: Progress | None) -> None:
        self._weights = [max(1, item.draft.size) for item in items]
        self._parts = [0.0] * len(items)
        self._total, self._done = float(sum(self._weights)), 0.0
        self._left = len(items)
        self._on_progress = on_progress

    def update(self, position: int, part: float) -> None:
        """Report that a part, 0..1, of an item is done."""
        self._done += self._weights[position] * (part - self._parts[position])
        self._parts[position] = part
        if self._on_progress is not None:
            self._on_progress(self._done, self._total)

    def finish(self, position: int) -> None:
        """Report that an item is done."""
        self._left -= 1
        if not self._left:  # without what adding many numbers loses
            self._done = self._total - self._weights[position] * (1.0 - self._parts[position])
        self.update(position, 1.0)


def _work(
    items: Sequence[Item],
    make_worker: Callable[[int | None], AnyWorker],
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
    worker = make_worker(threads or max(1, processors() // min(jobs, len(items))))
    lost = "its process was ended by the system (out of memory?); try fewer --jobs"
    for position, record in run_in_processes(worker, _longest_first(items), jobs, meter.update):
        yield position, record or _lost(items[position], lost)


def _work_on_ray(
    items: Sequence[Item],
    make_worker: Callable[[int | None], AnyWorker],
    ray: RayOptions,
    threads: int | None,
    meter: _Meter,
) -> Generator[tuple[int, Record], None, None]:
    """Yield (position, record) of each item as it is done; a failed one is tried twice."""
    threads = threads or 1
    worker, lost = make_worker(threads), "its worker died twice (out of memory?)"
    for position, record in run_on_ray(
        worker, _longest_first(items), ray, threads, meter.update, lambda record: bool(record.error)
    ):
        yield position, record or _lost(items[position], lost)


def _longest_first(items: Sequence[Item]) -> list[tuple[int, Item]]:
    order = sorted(range(len(items)), key=lambda at: -items[at].draft.size)
    return [(at, items[at]) for at in order]


def _lost(item: BatchItem, why: str) -> Record:
    return replace(item.draft, outputs=[], error=f"{item.track.label}: {why}")
