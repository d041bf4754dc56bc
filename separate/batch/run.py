"""The run of a batch, one for all jobs: resume, processes or Ray, progress, the record."""

import tempfile
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from separate.audio import check_writable
from separate.batch.guard import Guard
from separate.batch.job import Item, Job
from separate.batch.places import make_guard, place_residuals
from separate.batch.pool import processors, run_in_processes
from separate.batch.ray_cluster import RayOptions
from separate.batch.ray_pool import run_on_ray
from separate.batch.record import Record, RecordFile, Records
from separate.batch.remote.files import Place, RemoteOptions, child_of
from separate.batch.staging import remove_leftovers
from separate.batch.tracks import Track, find_tracks
from separate.batch.worker import Worker
from separate.errors import SettingsError

OnProgress = Callable[[float, float], None]  # (bytes of input done, bytes in all)
OnRecord = Callable[[Record, bool], None]  # a file's record, and whether it was complete already


@dataclass(frozen=True)
class BatchOptions:
    """How a batch is run, whatever its job is."""

    jobs: int = 1  # processes on this machine, each with models of its own
    resume: bool = False  # skip what the record shows to be complete
    overwrite: bool = False  # replace files at the outputs' places, whoever made them
    ray: RayOptions | None = None  # work on a Ray cluster; None: on this machine
    remote: RemoteOptions = field(default_factory=RemoteOptions)  # files in stores

    def __post_init__(self) -> None:
        """Check the number of processes.

        Raises:
            SettingsError: It is below 1.
        """
        if self.jobs < 1:
            raise SettingsError(f"--jobs {self.jobs}: give 1 or more")


@dataclass(frozen=True)
class BatchResult:
    """How a batch went."""

    records: tuple[Record, ...]  # of all tracks, in the order of the inputs
    skipped: int  # complete already

    @property
    def failed(self) -> tuple[Record, ...]:
        """Records of the files that failed."""
        return tuple(record for record in self.records if record.error)


def run_batch(
    inputs: Sequence[Place],
    job: Job,
    options: BatchOptions | None = None,
    *,
    on_progress: OnProgress | None = None,
    on_record: OnRecord | None = None,
) -> BatchResult:
    """Do a job with files and folders, and write a record of each file.

    A file that fails stops no other. What was done before a batch was stopped stays.

    Args:
        inputs: Files, folders and patterns, here or in a store.
        job: What to do with each file.
        options: Processes, Ray, resume, stores; None: one process.
        on_progress: Called with bytes of input done and in all; what it raises stops the batch.
        on_record: Called with each file's record, and whether the file was complete already.

    Returns:
        The records of all files; those that failed have an `error`.

    Raises:
        OutputError: The output folder can't be written to, or an output would replace a file that
            the run reads or that others made.
        InputError: A store can't be read.
        SettingsError, QueryError, CheckpointError, WeightsError: The job can't be done with any
            file.
    """
    options = options or BatchOptions()
    records = _open_records(job.folder, options.remote)
    items = job.items(_find_tracks(inputs, job.folder, records, options.remote))
    items = place_residuals(items, records)
    done = _complete_already(items, records) if options.resume else {}
    for record in done.values():
        if on_record is not None:
            on_record(record, True)
    _check_memory(items, options)
    skipped = len(done)
    indices = [index for index in range(len(items)) if index not in done]
    waiting = [items[index] for index in indices]
    guard = make_guard(items, records, overwrite=options.overwrite)
    places = [output.path for item in waiting for output in item.draft.outputs]
    guard.check(options.remote.output or job.folder, places, records.exists)
    meter = _Meter(waiting, on_progress)
    try:
        records.begin(place for place in places if not records.exists(place))
        with closing(_work(waiting, job, options, guard, meter, records)) as results:
            for position, record in results:
                done[indices[position]] = record
                records.append(record)
                meter.finish(position)
                if on_record is not None:
                    on_record(record, False)
    finally:
        if isinstance(records, RecordFile):
            remove_leftovers(records.folder)  # of workers that died meanwhile
        records.close()
    return BatchResult(tuple(done[index] for index in range(len(items))), skipped)


def _open_records(folder: Path, remote: RemoteOptions) -> Records:
    """Open the record of the output folder; check that the folder can be written to.

    Hidden files that killed runs left are removed.
    """
    with suppress(OSError):  # none can be written to: then nothing is fetched either
        remove_leftovers(Path(tempfile.gettempdir()))  # fetched inputs
    if remote.output is not None:
        from separate.batch.remote.record import RemoteRecords

        records = RemoteRecords(remote.output)
        records.check_writable()
        return records
    check_writable(folder)
    return RecordFile(folder, remove_leftovers(folder))


def _find_tracks(
    inputs: Sequence[Place], folder: Path, records: Records, remote: RemoteOptions
) -> list[Track]:
    """Find the tracks of files and folders, without the outputs that the record names."""
    paths = [output.path for record in records for output in record.outputs]
    out: Place = folder if remote.output is None else remote.output
    made: list[Place] = [child_of(out, path) for path in paths]
    tracks = find_tracks(inputs, made, out)
    if not tracks:
        raise SettingsError("no input: name at least one file or folder")
    return tracks


def _complete_already(items: Sequence[Item], records: Records) -> dict[int, Record]:
    """Return records of items whose outputs are there, by position."""
    index = records.index()
    found = {at: records.complete(item.draft, index) for at, item in enumerate(items)}
    return {at: record for at, record in found.items() if record is not None}


def _check_memory(items: Sequence[Item], options: BatchOptions) -> None:
    """Refuse stores in memory where several processes work."""
    found = [item.track.remote.address for item in items if item.track.remote is not None]
    if options.remote.output is not None:
        found.append(options.remote.output)
    is_alone = options.ray is None and options.jobs == 1
    if not is_alone and any(address.scheme == "memory" for address in found):
        raise SettingsError("memory:// is of one process: leave out --jobs and --ray")


class _Meter:
    """Adds up the progress of the files, weighted by their size."""

    def __init__(self, items: Sequence[Item], on_progress: OnProgress | None) -> None:
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
    job: Job,
    options: BatchOptions,
    guard: Guard,
    meter: _Meter,
    records: Records,
) -> Generator[tuple[int, Record], None, None]:
    """Yield (position, record) of each item as it is done, longest items first."""
    if not items:
        return
    jobs = min(options.jobs, len(items))
    is_local = options.remote.output is None and all(item.track.remote is None for item in items)
    remote = None if is_local else options.remote
    if options.remote.output is not None:
        guard = Guard()  # workers write to a scratch folder
    if options.ray is None and jobs == 1:
        worker = Worker(job, job.threads, remote, guard)
        for position, item in enumerate(items):
            yield position, worker(item, partial(meter.update, position))
        return
    order = sorted(range(len(items)), key=lambda position: -items[position].draft.size)
    waiting = [(position, items[position]) for position in order]
    if options.ray is None:
        threads = job.threads or max(1, processors() // jobs)
        worker = Worker(job, threads, remote, guard)
        results = run_in_processes(worker, waiting, jobs, meter.update, records.append)
        lost = "its process was ended by the system (out of memory?); try fewer --jobs"
    else:
        threads = job.threads or 1
        worker = Worker(job, threads, remote, guard)
        results = run_on_ray(worker, waiting, options.ray, threads, meter.update)
        lost = "its worker died twice (out of memory?)"
    with closing(results):
        for position, record in results:
            yield position, record or _lost(items[position], lost)


def _lost(item: Item, why: str) -> Record:
    return replace(item.draft, outputs=[], error=f"{item.track.label}: {why}")
