"""Many files to separate: which are to be done, and what a process does with each.

In: tracks and a task. Out: files, a line of the record each, and how it went. A file that fails
stops no other; results of a run that was stopped stay, and `resume` goes on from them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from separate.batch.names import stem_names
from separate.batch.ray_cluster import RayOptions
from separate.batch.record import Output, Record
from separate.batch.remote.files import Place, RemoteOptions
from separate.batch.run import (
    BatchResult,
    OnRecord,
    Progress,
    batch_tracks,
    open_records,
    run_items,
)
from separate.batch.task import AnySeparator, Task, draft_record, query_data, separate_track
from separate.batch.tracks import Track, plan_outputs
from separate.errors import SettingsError
from separate.open import cards_sha256, open_separator
from separate.settings import Settings

SeparatorFactory = Callable[[Settings], AnySeparator]
_CHECK_RATE = 44_100


@dataclass(frozen=True)
class Item:
    """One track that is to be done."""

    track: Track
    places: dict[str, str]  # path of each stem's file, relative to the output folder
    draft: Record  # the record so far


def run_batch(
    inputs: Sequence[Place],
    task: Task,
    *,
    jobs: int = 1,
    resume: bool = False,
    ray: RayOptions | None = None,
    remote: RemoteOptions | None = None,
    separator_factory: SeparatorFactory | None = None,
    on_progress: Progress | None = None,
    on_record: OnRecord | None = None,
) -> BatchResult:
    """Separate files and folders.

    Args:
        inputs: Files, folders and patterns, here or in a store.
        task: What to do with each.
        jobs: Processes, each with a model of its own.
        resume: Skip what the record shows to be complete.
        ray: Work on a Ray cluster instead; None: on this machine.
        remote: Where results go if not to the task's folder, and how much is fetched at once.
        separator_factory: Makes the separator, in each process; None: the real one.
        on_progress: Called with bytes of input done and in all; what it raises stops the batch.
        on_record: Called with each file's record, and whether the file was complete already.

    Returns:
        The records of all files; those that failed have an `error`.

    Raises:
        OutputError: The output folder can't be written to.
        InputError: A store can't be read.
        SettingsError, QueryError, CheckpointError: The task can't be done with any file.
    """
    if jobs < 1:
        raise SettingsError(f"--jobs {jobs}: give 1 or more")
    records = open_records(task.folder, remote)
    tracks = batch_tracks(inputs, task.folder, records, remote)
    items = _plan(tracks, task, separator_factory)
    factory = separator_factory or open_separator

    def make_worker(threads: int | None) -> Worker:
        settings = replace(task.settings, threads=threads)
        return Worker(replace(task, settings=settings), factory)

    return run_items(
        items,
        records,
        make_worker,
        jobs=jobs,
        threads=task.settings.threads,
        resume=resume,
        ray=ray,
        remote=remote,
        on_progress=on_progress,
        on_record=on_record,
    )


def _plan(
    tracks: Sequence[Track], task: Task, separator_factory: SeparatorFactory | None
) -> list[Item]:
    """List what is to be done; drafts name the outputs that are wanted."""
    plans = plan_outputs(tracks, stem_names(task.stems), task.settings)
    sha256 = _model_sha256(task.settings, separator_factory)
    settings, queries = task.settings.fingerprint(), query_data(task.queries)
    items = []
    for track, places in zip(tracks, plans, strict=True):
        draft = draft_record(track, settings, queries, sha256)
        wanted = [Output(stem, place, "", 0) for stem, place in places.items()]
        items.append(Item(track, places, replace(draft, outputs=wanted)))
    return items


def _model_sha256(settings: Settings, separator_factory: SeparatorFactory | None) -> str:
    """Read the models' hashes from their cards, without loading them."""
    if separator_factory is not None:
        return separator_factory(settings).model_sha256
    return cards_sha256(settings.model)


class Worker:
    """What a process does: loads the separator with its first file, and keeps it."""

    def __init__(self, task: Task, factory: SeparatorFactory) -> None:
        self._task, self._factory = task, factory
        self._separator: AnySeparator | None = None

    def moved(self, folder: Path) -> "Worker":
        """Return the same for another output folder."""
        return Worker(replace(self._task, folder=folder), self._factory)

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
