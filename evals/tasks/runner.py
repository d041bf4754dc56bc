"""Score many songs: in parallel, resumable, with one line for each song that fails."""

import json
import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from separate.errors import DataError, SeparateError
from separate.evals.data.songs import SongReader
from separate.evals.tasks.results import SongScores, plain, write_json

ScoreSong = Callable[[Any], SongScores]  # takes a SongReader
Progress = Callable[[int, int, str], None]  # done, total, name of the song


@dataclass(frozen=True)
class RunOptions:
    """How songs are scored; it does not change their scores."""

    out: Path | None = None  # folder for `tracks/<split>/<song>.json`; None: nothing is written
    resume: bool = False  # read a song's scores from its file if the fingerprint is the same
    jobs: int = 1  # processes; with more than one, the scoring function is pickled
    on_progress: Progress | None = None  # called after each song


DEFAULT_RUN = RunOptions()


@dataclass
class Run:
    """Scores of the songs, in their order, and the songs that failed."""

    songs: list[SongScores] = field(default_factory=list)
    failed: list[dict[str, str]] = field(default_factory=list)  # song, error


def score_songs(
    readers: Sequence[SongReader],
    score: ScoreSong,
    options: RunOptions = DEFAULT_RUN,
    fingerprint: dict[str, Any] | None = None,
) -> Run:
    """Score songs; each song's scores are written as soon as they are known.

    Args:
        readers: The songs.
        score: Reads and scores one song.
        options: Folder, resuming, processes, progress.
        fingerprint: All that the scores depend on; it is stored with each song.

    Raises:
        DataError: All songs failed.
        OutputError: The folder cannot be written.
    """
    out, fingerprint = options.out, plain(fingerprint or {})
    results: dict[int, SongScores] = {}
    if options.resume and out is not None:
        stored = (_stored(track_path(out, reader), fingerprint) for reader in readers)
        results = {index: scores for index, scores in enumerate(stored) if scores is not None}
    run = Run()
    waiting = [index for index in range(len(readers)) if index not in results]
    for index, outcome in _outcomes(readers, waiting, score, options.jobs):
        reader = readers[index]
        if isinstance(outcome, str):
            run.failed.append({"song": reader.name, "error": outcome})
        else:
            results[index] = outcome
            if out is not None:
                write_json(track_path(out, reader), {**outcome, "made_by": fingerprint})
        if options.on_progress is not None:
            options.on_progress(len(results) + len(run.failed), len(readers), reader.name)
    if run.failed and not results:
        first = run.failed[0]
        raise DataError(f"no song could be scored; {first['song']}: {first['error']}")
    run.songs = [results[index] for index in sorted(results)]
    return run


def track_path(out: Path, reader: SongReader) -> Path:
    """Return the file of one song's scores."""
    return out / "tracks" / reader.split / f"{reader.name}.json"


def _stored(path: Path, fingerprint: dict[str, Any]) -> SongScores | None:
    """Read the scores of an earlier run; None if there are none with this fingerprint."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(data, dict) or data.pop("made_by", None) != fingerprint:
        return None
    return data


def _outcomes(
    readers: Sequence[SongReader], waiting: Sequence[int], score: ScoreSong, jobs: int
) -> Iterator[tuple[int, SongScores | str]]:
    """Yield (index, scores or the line of an error) in the order in which songs are finished."""
    if jobs <= 1 or len(waiting) <= 1:
        for index in waiting:
            yield index, _guarded(score, readers[index])
        return
    context = multiprocessing.get_context("spawn")
    workers = min(jobs, len(waiting))
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_end_quietly) as pool:
        futures = {pool.submit(_guarded, score, readers[index]): index for index in waiting}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BrokenProcessPool as error:
            raise DataError(
                "a process was killed, probably for lack of memory: give fewer --jobs; --resume"
                " keeps the songs that are scored"
            ) from error
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _end_quietly() -> None:
    """End a worker at Ctrl-C without a traceback; the main process prints the message."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def _guarded(score: ScoreSong, reader: SongReader) -> SongScores | str:
    """Score a song; return the error's line instead if that fails."""
    try:
        return score(reader)
    except (SeparateError, ValueError, OSError, RuntimeError) as error:
        return " ".join(str(error).split()) or type(error).__name__
