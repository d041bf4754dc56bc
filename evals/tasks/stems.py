"""`separate eval stems`: any folder of songs with stems, scored without filters.

In: songs, a method, stems. Out: a result with each song's scores, their means over unseen songs
with bootstrap intervals, the metric and the mask rule in words.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from separate.errors import DataError
from separate.evals.data.songs import ACCOMPANIMENT, Song, SongSource, sum_parts
from separate.evals.metrics.sdr import FRAME_SECONDS, global_sdr, median_of_frames, si_sdr
from separate.evals.tasks.methods import Estimates, Method, Separate, open_method, open_separator
from separate.evals.tasks.results import SongScores, is_seen, summarise
from separate.evals.tasks.runner import Progress, Run, ScoreSong, score_songs
from separate.sdr import SOUNDING_DBFS, frame_sdr

if TYPE_CHECKING:
    from separate.separator import Separator


class Task(Protocol):
    """What any evaluation of songs says of itself."""

    @property
    def dataset(self) -> str:
        """Name of the data set."""

    @property
    def trained_on(self) -> tuple[Mapping[str, Any], ...] | None:
        """What the model's card says; None: unknown."""

    def fingerprint(self) -> dict[str, Any]:
        """What a song's scores depend on."""


@dataclass(frozen=True)
class StemsTask:
    """What is scored and how."""

    method: Method
    stems: tuple[str, ...]
    dataset: str  # its name, for the result and the list of seen songs
    split: str | None = None
    sounding_dbfs: float = SOUNDING_DBFS  # a reference sounds in a frame above this mean power
    trained_on: tuple[Mapping[str, Any], ...] | None = None  # of the model's card; None: unknown
    accompaniment: bool = False  # score the accompaniment too, made of the estimates if need be
    fine: bool = False  # stems are labels: each song is asked for its own alone

    @property
    def metric(self) -> str:
        """The metric in words."""
        return (
            f"SDR = 10 log10(|ref|^2 / |ref - est|^2) of each {FRAME_SECONDS:g} s frame whose"
            f" reference sounds (mean power above {self.sounding_dbfs:g} dBFS), no filters;"
            " median over a song's frames, mean over songs"
        )

    def fingerprint(self) -> dict[str, Any]:
        """What a song's scores depend on."""
        return {
            "method": self.method.describe(),
            "stems": list(self.stems),
            "sounding_dbfs": self.sounding_dbfs,
            "accompaniment": self.accompaniment,
            "fine": self.fine,
        }


def evaluate_stems(
    songs: Sequence[SongSource],
    task: StemsTask,
    *,
    out: Path | None = None,
    resume: bool = False,
    jobs: int = 1,
    on_progress: Progress | None = None,
) -> dict[str, Any]:
    """Score songs and average.

    Args:
        songs: What to score.
        task: How.
        out: Folder for one file a song; None writes nothing.
        resume: Take songs that an earlier run in `out` scored in the same way.
        jobs: Processes.
        on_progress: Called after each song.

    Returns:
        The result.

    Raises:
        DataError: All songs failed, or none has a stem to score.
        OutputError: `out` cannot be written.
    """
    score = partial(score_song, task=task)
    run = run_task(songs, task, score, out=out, resume=resume, jobs=jobs, on_progress=on_progress)
    if not any(song["stems"] for song in run.songs):
        raise DataError(f"no song and estimate have {' or '.join(task.stems)}; see --stems")
    return _result(task, run.songs, run.failed)


def run_task(
    songs: Sequence[SongSource],
    task: "Task",
    score: ScoreSong,
    *,
    out: Path | None,
    resume: bool,
    jobs: int,
    on_progress: Progress | None,
) -> Run:
    """Score songs and mark those that the model has seen; arguments as `evaluate_stems`."""
    if out is not None:
        from separate.audio import check_writable

        check_writable(out)
    run = score_songs(
        songs,
        score,
        out=out,
        resume=resume,
        fingerprint=task.fingerprint(),
        jobs=jobs,
        on_progress=on_progress,
    )
    run.songs = [_with_seen(song, task) for song in run.songs]
    return run


def _result(
    task: StemsTask, songs: list[SongScores], failed: list[dict[str, str]]
) -> dict[str, Any]:
    return {
        "kind": "labels" if task.fine else "stems",
        "dataset": task.dataset,
        "split": task.split,
        "method": task.method.describe(),
        "mask_rule": task.method.mask_rule,
        "metric": task.metric,
        "sounding_dbfs": task.sounding_dbfs,
        "stems": list(task.stems),
        "summary": summarise(songs, task.stems),
        "failed": failed,
        "songs": songs,
    }


def _with_seen(song: SongScores, task: Task) -> SongScores:
    """Mark whether the model was trained on the song; None where nobody knows."""
    if task.trained_on is None:
        return {**song, "seen": None}
    return {**song, "seen": is_seen(song["song"], task.dataset, song["split"], task.trained_on)}


@lru_cache(maxsize=1)
def opened(method: Method) -> Separate:
    """A process opens its method once."""
    return open_method(method)


@lru_cache(maxsize=1)
def opened_separator(method: Method) -> "Separator":
    """A process loads its model once."""
    return open_separator(method)


def separate_source(source: SongSource, task: StemsTask) -> tuple[Song, Estimates, float]:
    """Read a song and separate it.

    With `task.accompaniment`, the accompaniment is added to references and estimates: the method's
    own, else the sum of the other stems where all are estimated, else the mixture less the vocals.

    Returns:
        Song, estimates by stem, seconds that the separation took.
    """
    opened(task.method)  # the time to load a model is not that to separate
    song = source.load()
    if ACCOMPANIMENT in task.stems or task.accompaniment:
        song = song.with_accompaniment()
    started = time.perf_counter()
    estimates = separate_loaded(song, task)
    return song, estimates, time.perf_counter() - started


def separate_loaded(song: Song, task: StemsTask) -> Estimates:
    """Separate a song that is in memory; see `separate_source`."""
    asked = [stem for stem in task.stems if stem in song.references or not task.fine]
    estimates = opened(task.method)(song, asked)
    if task.accompaniment and "vocals" in estimates and ACCOMPANIMENT not in estimates:
        others = [stem for stem in song.references if stem not in ("vocals", ACCOMPANIMENT)]
        if task.method.kind == "mixture":
            estimates[ACCOMPANIMENT] = song.mixture
        elif others and all(stem in estimates for stem in others):
            estimates[ACCOMPANIMENT] = sum_parts([estimates[stem] for stem in others])
        else:
            estimates[ACCOMPANIMENT] = song.mixture - estimates["vocals"]
    return estimates


def score_song(source: SongSource, task: StemsTask) -> SongScores:
    """Read a song, separate it, score its stems.

    Returns:
        The song's name and split, seconds of audio and of separation, and for each stem that is
        in song and estimates: SDR (median of frames), uSDR, SI-SDR, the mixture's, improvements,
        and the frames themselves.
    """
    song, estimates, seconds = separate_source(source, task)
    stems = {
        stem: score_stem(song, stem, estimates[stem], task.sounding_dbfs)
        for stem in task.stems
        if stem in song.references and stem in estimates
    }
    return {
        "song": song.name,
        "split": source.split,
        "seconds": song.seconds,
        "separation_seconds": seconds,
        "missing": [stem for stem in task.stems if stem not in stems],
        "stems": stems,
    }


def score_stem(
    song: Song, stem: str, estimate: np.ndarray, sounding_dbfs: float = SOUNDING_DBFS
) -> dict[str, Any]:
    """Score one stem of a song.

    Args:
        song: References and mixture.
        stem: Which reference.
        estimate: `(channels, time)`.
        sounding_dbfs: See `frame_sdr`.
    """
    reference = song.references[stem]
    frame_samples = round(FRAME_SECONDS * song.sample_rate)
    frames = frame_sdr(reference, estimate, frame_samples, sounding_dbfs)
    scores = {
        "sdr": median_of_frames(frames),
        "usdr": global_sdr(reference, estimate),
        "si_sdr": si_sdr(reference, estimate),
    }
    baseline = {
        "sdr": median_of_frames(frame_sdr(reference, song.mixture, frame_samples, sounding_dbfs)),
        "usdr": global_sdr(reference, song.mixture),
        "si_sdr": si_sdr(reference, song.mixture),
    }
    return {
        **scores,
        **{f"{name}_mixture": value for name, value in baseline.items()},
        **{f"{name}_improvement": scores[name] - baseline[name] for name in scores},
        "sounding_frames": int(np.count_nonzero(~np.isnan(frames))),
        "frames": len(frames),
        "sdr_frames": frames,
    }
