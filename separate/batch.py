"""Many files: which are to be done, one after another or in several processes, and the record.

In: tracks and a task. Out: files, a line of the record each, and how it went. A file that fails
stops no other; results of a run that was stopped stay, and `resume` goes on from them.
"""

import os
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from separate.audio import check_writable
from separate.errors import SettingsError
from separate.naming import Track, find_tracks, plan_outputs, stem_names
from separate.outputs import remove_leftovers
from separate.pool import run_in_processes
from separate.record import Output, Record, RecordFile
from separate.settings import Settings
from separate.task import AnySeparator, Task, draft_record, query_data, separate_track

SeparatorFactory = Callable[[Settings], AnySeparator]
Progress = Callable[[float, float], None]  # (bytes of input done, bytes in all)
_CHECK_RATE = 44_100


@dataclass(frozen=True)
class Item:
    """One track that is to be done."""

    track: Track
    places: dict[str, str]  # path of each stem's file, relative to the output folder
    draft: Record  # the record so far


@dataclass(frozen=True)
class BatchResult:
    """How a batch went."""

    records: tuple[Record, ...]  # of all tracks, in the order of the inputs
    skipped: int  # complete already

    @property
    def failed(self) -> tuple[Record, ...]:
        """Records of the files that failed."""
        return tuple(record for record in self.records if record.error)


def open_separator(settings: Settings) -> AnySeparator:
    """Load a separator.

    Raises:
        SettingsError: This machine has no such device.
        CheckpointError: A model is missing or damaged.
    """
    import torch

    from separate.separator import Separator

    kind, _, number = settings.device.partition(":")
    found = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": _count_mps()}[kind]
    if int(number or 0) >= found:
        raise SettingsError(f"--device {settings.device}: not on this machine; use --device cpu")
    return Separator(settings)


def _count_mps() -> int:
    import torch

    return int(torch.backends.mps.is_available())


def run_batch(
    inputs: Sequence[Path],
    task: Task,
    *,
    jobs: int = 1,
    resume: bool = False,
    separator_factory: SeparatorFactory | None = None,
    on_progress: Progress | None = None,
    on_record: Callable[[Record, bool], None] | None = None,
) -> BatchResult:
    """Separate files and folders.

    Args:
        inputs: Files and folders.
        task: What to do with each.
        jobs: Processes, each with a model of its own.
        resume: Skip what the record shows to be complete.
        separator_factory: Makes the separator, in each process; None: the real one.
        on_progress: Called with bytes of input done and in all; what it raises stops the batch.
        on_record: Called with each file's record, and whether the file was complete already.

    Returns:
        The records of all files; those that failed have an `error`.

    Raises:
        OutputError: The output folder can't be written to.
        SettingsError, QueryError, CheckpointError: The task can't be done with any file.
    """
    if jobs < 1:
        raise SettingsError(f"--jobs {jobs}: give 1 or more")
    check_writable(task.folder)
    remove_leftovers(task.folder)
    record_file = RecordFile(task.folder)
    items = _plan(inputs, task, record_file, separator_factory)
    records = _complete_already(items, record_file) if resume else {}
    for record in records.values():
        if on_record is not None:
            on_record(record, True)
    skipped = len(records)
    waiting = [(number, item) for number, item in enumerate(items) if number not in records]
    meter = _Meter([item for _, item in waiting], on_progress)
    factory = separator_factory or open_separator
    with closing(_work([item for _, item in waiting], task, jobs, factory, meter)) as results:
        for position, record in results:
            records[waiting[position][0]] = record
            record_file.append(record)
            meter.update(position, 1.0)
            if on_record is not None:
                on_record(record, False)
    return BatchResult(tuple(records[number] for number in range(len(items))), skipped)


def _plan(
    inputs: Sequence[Path],
    task: Task,
    record_file: RecordFile,
    separator_factory: SeparatorFactory | None,
) -> list[Item]:
    """List what is to be done; drafts name the outputs that are wanted."""
    made = [task.folder / output.path for record in record_file for output in record.outputs]
    tracks = find_tracks(inputs, made, task.folder)
    if not tracks:
        raise SettingsError("no input: name at least one file or folder")
    plans = plan_outputs(tracks, stem_names(task.stems), task.settings)
    sha256 = _model_sha256(task.settings, separator_factory)
    settings, queries = task.settings.fingerprint(), query_data(task.queries)
    items = []
    for track, places in zip(tracks, plans, strict=True):
        draft = draft_record(track, settings, queries, sha256)
        wanted = [Output(stem, place, "", 0) for stem, place in places.items()]
        items.append(Item(track, places, replace(draft, outputs=wanted)))
    return items


def _complete_already(items: Sequence[Item], record_file: RecordFile) -> dict[int, Record]:
    """Return records of items whose outputs are there, by position."""
    index = record_file.index()
    found = {at: record_file.complete(item.draft, index) for at, item in enumerate(items)}
    return {at: record for at, record in found.items() if record is not None}


def _model_sha256(settings: Settings, separator_factory: SeparatorFactory | None) -> str:
    """Read the models' hashes from their cards, without loading them."""
    if separator_factory is not None:
        return separator_factory(settings).model_sha256
    from separate.insides import model_cards

    return ",".join(card.sha256 for card in model_cards(settings.model))


class _Meter:
    """Adds up the progress of the files, weighted by their size."""

    def __init__(self, items: Sequence[Item], on_progress: Progress | None) -> None:
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
    items: Sequence[Item], task: Task, jobs: int, factory: SeparatorFactory, meter: _Meter
) -> Generator[tuple[int, Record], None, None]:
    """Yield (position, record) of each item as it is done."""
    if not items:
        return
    if jobs == 1 or len(items) == 1:
        worker = Worker(task, factory)
        for position, item in enumerate(items):
            yield position, worker(item, partial(meter.update, position))
        return
    threads = task.settings.threads or max(1, _processors() // min(jobs, len(items)))
    task = replace(task, settings=replace(task.settings, threads=threads))
    longest_first = sorted(range(len(items)), key=lambda at: -items[at].draft.size)
    lost = "its process was ended by the system (out of memory?); try fewer --jobs"
    for position, record in run_in_processes(
        Worker(task, factory), [(at, items[at]) for at in longest_first], jobs, meter.update
    ):
        if record is None:
            path = items[position].track.path
            record = replace(items[position].draft, outputs=[], error=f"{path}: {lost}")
        yield position, record


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Worker:
    """What a process does: loads the separator with its first file, and keeps it."""

    def __init__(self, task: Task, factory: SeparatorFactory) -> None:
        self._task, self._factory = task, factory
        self._separator: AnySeparator | None = None

    def __call__(self, item: Item, on_progress: Callable[[float], None]) -> Record:
        """Separate one item; see `separate_track`."""
        if self._separator is None:
            self._separator = self._factory(self._task.settings)
            # Queries that this model can't answer fail here, once, instead of with each file.
            self._separator.stream(iter(()), _CHECK_RATE, 2, self._task.queries)
        draft = replace(item.draft, outputs=[])
        return separate_track(
            self._separator, item.track, self._task, item.places, draft, on_progress
        )
