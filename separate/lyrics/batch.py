"""Many recordings: which are to be done, one after another or in several processes, the record.

In: files and folders, settings. Out: text files, a line of the record each, and how it went. A
file that fails stops no other; `resume` goes on where a run was stopped.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

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
from separate.batch.task import draft_record, error_line
from separate.batch.tracks import Track
from separate.errors import (
    Cancelled,
    CheckpointError,
    InputError,
    SettingsError,
    WeightsError,
)
from separate.files import sha256_of
from separate.lyrics.files import check_places, places_of, write_lyrics
from separate.lyrics.line_times import EXTENSIONS, read_line_times
from separate.lyrics.pipeline import Transcriber
from separate.lyrics.prepare import Vocals
from separate.lyrics.recogniser import check_language, find_whisper
from separate.lyrics.settings import LyricsSettings
from separate.lyrics.stems import StemsIndex
from separate.open import cards_sha256

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LyricsTask:
    """What is done with each recording of a batch."""

    settings: LyricsSettings
    folder: Path  # of the outputs
    stems: Path | None = None  # folder of vocals that were separated before
    line_times: Path | None = None  # a file, or a folder with one a recording


@dataclass(frozen=True)
class Item:
    """One recording that is to be done."""

    track: Track
    places: dict[str, str]  # path of each format's file, relative to the output folder
    draft: Record  # the record so far
    line_times: Path | None


def run_lyrics(
    inputs: Sequence[Place],
    task: LyricsTask,
    *,
    jobs: int = 1,
    resume: bool = False,
    ray: RayOptions | None = None,
    remote: RemoteOptions | None = None,
    on_progress: Progress | None = None,
    on_record: OnRecord | None = None,
) -> BatchResult:
    """Transcribe files and folders.

    Args:
        inputs: Files, folders and patterns, here or in a store.
        task: What to do with each.
        jobs: Processes, each with models of its own.
        resume: Skip what the record shows to be complete.
        ray: Work on a Ray cluster instead; None: on this machine.
        remote: Where results go if not to the task's folder, and how much is fetched at once.
        on_progress: Called with bytes of input done and in all; what it raises stops the batch.
        on_record: Called with each file's record, and whether the file was complete already.

    Returns:
        The records of all files; those that failed have an `error`.

    Raises:
        OutputError: The output folder can't be written to.
        InputError: A store can't be read.
        WeightsError, SettingsError: The task can't be done with any file.
    """
    if jobs < 1:
        raise SettingsError(f"--jobs {jobs}: give 1 or more")
    check_language(task.settings.language)
    whisper = find_whisper(task.settings.whisper, task.settings.language)
    task = replace(task, settings=replace(task.settings, whisper=str(whisper)))
    records = open_records(task.folder, remote)
    items = _plan(batch_tracks(inputs, task.folder, records, remote), task, whisper)

    def make_worker(threads: int | None) -> Worker:
        return Worker(replace(task, settings=replace(task.settings, threads=threads)))

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


def _plan(tracks: Sequence[Track], task: LyricsTask, whisper: Path) -> list[Item]:
    """List what is to be done; drafts name the outputs that are wanted."""
    sha256 = f"{sha256_of(whisper)},{cards_sha256(task.settings.model)}"
    settings = {**task.settings.fingerprint(), "whisper": None, "stems": _text(task.stems)}
    items = []
    for track in tracks:
        places = places_of(track.name, task.settings.formats)
        line_times = _line_times_of(track, task.line_times, alone=len(tracks) == 1)
        draft = _draft(track, settings, line_times, sha256)
        wanted = [Output(name, place, "", 0) for name, place in places.items()]
        items.append(Item(track, places, replace(draft, outputs=wanted), line_times))
    return items


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path.absolute())


def _line_times_of(track: Track, given: Path | None, *, alone: bool) -> Path | None:
    """Return the line times of one recording: the file, or the one of its name in the folder.

    Raises:
        InputError: The path is missing, or one file is given for many recordings.
    """
    if given is None:
        return None
    if given.is_dir():
        names = (given / f"{track.name}{extension}" for extension in EXTENSIONS)
        return next((path for path in names if path.is_file()), given / f"{track.name}.lrc")
    if not given.is_file():
        raise InputError(f"{given}: no such file; give line times as .json, .lrc or .srt")
    if not alone:
        raise InputError(f"{given}: is of one recording; for several give a folder to --lines")
    return given


def _draft(
    track: Track, settings: dict[str, Any], line_times: Path | None, model_sha256: str
) -> Record:
    queries = []
    if line_times is not None:
        digest = sha256_of(line_times) if line_times.is_file() else None
        queries = [{"lines": str(line_times), "sha256": digest}]
    draft = draft_record(track, settings, queries, model_sha256)
    return replace(draft, command="lyrics")


class Worker:
    """What a process does: loads the models with its first file, and keeps them."""

    def __init__(self, task: LyricsTask) -> None:
        self._task = task
        self._transcriber: Transcriber | None = None

    def moved(self, folder: Path) -> "Worker":
        """Return the same for another output folder."""
        return Worker(replace(self._task, folder=folder))

    def __call__(self, item: Item, on_progress: Callable[[float], None]) -> Record:
        """Transcribe one item.

        Returns:
            Its completed record; a failure with this file is its `error`.

        Raises:
            CheckpointError, SettingsError, WeightsError: It would fail with every file.
        """
        draft = replace(item.draft, outputs=[])
        began = time.perf_counter()
        if self._transcriber is None:
            self._transcriber = Transcriber(self._task.settings)
        try:
            done = self._transcribe(self._transcriber, item, draft, on_progress)
        except (CheckpointError, SettingsError, WeightsError, Cancelled):
            raise
        except Exception as error:
            _log.debug("%s failed", item.track.path, exc_info=True)
            done = replace(draft, error=error_line(item.track.path, error))
        return replace(done, seconds=round(time.perf_counter() - began, 3))

    def _transcribe(
        self,
        transcriber: Transcriber,
        item: Item,
        draft: Record,
        on_progress: Callable[[float], None],
    ) -> Record:
        task, path = self._task, item.track.path
        if path.is_dir():
            raise InputError(f"{path}: holds no audio files; name a file or another folder")
        check_places(task.folder, item.places)
        spans = None
        if item.line_times is not None:
            open_line = task.settings.short_form.open_line
            spans = [line.span for line in read_line_times(item.line_times, open_line)]
        lyrics = transcriber.transcribe(
            path, vocals=self._vocals(item), line_times=spans, on_progress=on_progress
        )
        outputs = write_lyrics(lyrics, task.folder, item.places)
        note = lyrics.note()
        return replace(
            draft,
            outputs=outputs,
            presence={} if lyrics.presence is None else {"vocals": round(lyrics.presence, 4)},
            warnings=[note] if note else [],
            duration=lyrics.duration,
        )

    def _vocals(self, item: Item) -> Vocals | None:
        """Vocals that are there already: of the same model in the output folder, or as given."""
        task = self._task
        if task.settings.start or task.settings.end is not None:
            return None
        if task.stems is not None:
            index = StemsIndex(task.stems)
            found = index.recorded(item.track) or index.by_place(item.track)
            if found is None:
                raise InputError(
                    f"{task.stems}: holds no vocals of {item.track.path}; leave out --stems to"
                    " separate anew"
                )
            return found
        sha256 = item.draft.model_sha256.partition(",")[2]
        return StemsIndex(task.folder).recorded(item.track, sha256)
