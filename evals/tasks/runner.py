"""Many songs through one scoring function: in parallel, resumable, the damaged ones reported.

In: song sources and a picklable function. Out: the songs' scores and the failures, in order.
"""

import json
import multiprocessing
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from separate.errors import DataError, SeparateError
from separate.evals.data.songs import SongSource
from separate.evals.tasks.results import SongScores, plain, write_json

ScoreSong = Callable[[SongSource], SongScores]
Progress = Callable[[int, int, str], None]  # done, total, name of the song


@dataclass
class Run:
    """What came of the songs."""

    songs: list[SongScores] = field(default_factory=list)
    failed: list[dict[str, str]] = field(default_factory=list)  # song, error
    resumed: int = 0  # songs taken from an earlier run


def score_songs(
    songs: Sequence[SongSource],
    score: ScoreSong,
    *,
    out: Path | None = None,
    resume: bool = False,
    fingerprint: dict[str, Any] | None = None,
    jobs: int = 1,
    on_progress: Progress | None = None,
) -> Run:
    """Score songs one by one; each is written as soon as it is done.

    Args:
        songs: What to score.
        score: Scores one song; with more than one job it must be picklable.
        out: Folder for one file a song, `<out>/tracks/<split>/<song>.json`.
        resume: Take a song from its file if that was made in the same way.
        fingerprint: What "the same way" means; stored with each song.
        jobs: Processes.
        on_progress: Called after each song.

    Returns:
        Scores in the order of `songs`; a song that failed is in `failed` instead.

    Raises:
        DataError: All songs failed.
        OutputError: The folder cannot be written.
    """
    fingerprint = plain(fingerprint or {})
    results = _resumed(songs, out, fingerprint) if resume and out is not None else {}
    run = Run(resumed=len(results))
    waiting = [index for index in range(len(songs)) if index not in results]
    for index, outcome in _outcomes(songs, waiting, score, jobs):
        song = songs[index]
        if isinstance(outcome, str):
            run.failed.append({"song": song.name, "error": outcome})
        else:
            results[index] = outcome
            if out is not None:
                write_json(track_path(out, song), {**outcome, "made_by": fingerprint})
        if on_progress is not None:
            on_progress(len(results) + len(run.failed), len(songs), song.name)
    if run.failed and not results:
        first = run.failed[0]
        raise DataError(f"no song could be scored; {first['song']}: {first['error']}")
    run.songs = [results[index] for index in sorted(results)]
    return run


def track_path(out: Path, song: SongSource) -> Path:
    """Return the file of one song's scores."""
    return out / "tracks" / song.split / f"{song.name}.json"


def _resumed(
    songs: Sequence[SongSource], out: Path, fingerprint: dict[str, Any]
) -> dict[int, SongScores]:
    stored = {
        index: _stored(track_path(out, song), fingerprint) for index, song in enumerate(songs)
    }
    return {index: scores for index, scores in stored.items() if scores is not None}


def _stored(path: Path, fingerprint: dict[str, Any]) -> SongScores | None:
    """Read an earlier run's scores, None where there are none of this kind."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(data, dict) or data.pop("made_by", None) != fingerprint:
        return None
    return data


def _outcomes(
    songs: Sequence[SongSource], waiting: Sequence[int], score: ScoreSong, jobs: int
) -> Any:
    """Yield (index, scores or the one line of an error) as they come."""
    if jobs <= 1 or len(waiting) <= 1:
        for index in waiting:
            yield index, _guarded(score, songs[index])
        return
    context = multiprocessing.get_context("spawn")
    workers = min(jobs, len(waiting))
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_end_quietly) as pool:
        futures: dict[Future[SongScores | str], int] = {
            pool.submit(_guarded, score, songs[index]): index for index in waiting
        }
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BrokenProcessPool as error:
            raise DataError(
                "a process was ended from outside, as a rule for want of memory: give fewer --jobs;"
                " --resume keeps what is scored"
            ) from error
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _end_quietly() -> None:
    """Let Ctrl-C end a worker without a word: the process that started it says it once."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def _guarded(score: ScoreSong, song: SongSource) -> SongScores | str:
    """Score a song; a damaged one gives its error's line instead."""
    try:
        return score(song)
    except (SeparateError, ValueError, OSError, RuntimeError) as error:
        return " ".join(str(error).split()) or type(error).__name__
