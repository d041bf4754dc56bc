"""An evaluation of songs: what is scored, how a song is scored, and the result of all songs.

Each kind of evaluation is a frozen dataclass that is pickled to the processes; `evaluate` runs any
of them and returns a result as `separate.evals.tasks.results` describes it.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from separate.evals.data.songs import ACCOMPANIMENT, Song, SongReader, sum_parts
from separate.evals.tasks.methods import Estimates, Method, Separate, open_method, open_separator
from separate.evals.tasks.results import SongScores, is_seen, write_json
from separate.evals.tasks.runner import DEFAULT_RUN, RunOptions, score_songs
from separate.sdr import SOUNDING_DBFS

if TYPE_CHECKING:
    from separate.separator import Separator


@dataclass(frozen=True)
class Evaluation(ABC):
    """What is scored and how."""

    method: Method
    stems: tuple[str, ...]
    dataset: str  # its name, for the result and the list of seen songs
    split: str | None = None
    sounding_dbfs: float = SOUNDING_DBFS  # a frame counts if the reference's power is above this
    trained_on: tuple[Mapping[str, Any], ...] | None = None  # of the model's card; None: unknown
    accompaniment: bool = False  # score the accompaniment too, computed from the other estimates
    fine: bool = False  # stems are labels: of each song, only its own labels are queried

    @property
    @abstractmethod
    def kind(self) -> str:
        """Kind of the result."""

    @property
    @abstractmethod
    def metric(self) -> str:
        """The metric in words."""

    @abstractmethod
    def score(self, reader: SongReader) -> SongScores:
        """Read a song, separate it, and score it."""

    @abstractmethod
    def outcome(self, songs: Sequence[SongScores]) -> dict[str, Any]:
        """Return the fields of the result that this kind has: stems, summary and others."""

    def further_files(self, songs: Sequence[SongScores]) -> dict[Path, Any]:
        """Return further JSON files that are written below the folder; most kinds have none."""
        return {}

    def fingerprint(self) -> dict[str, Any]:
        """Return all that a song's scores depend on."""
        return {
            "method": self.method.describe(),
            "stems": list(self.stems),
            "sounding_dbfs": self.sounding_dbfs,
            "accompaniment": self.accompaniment,
            "fine": self.fine,
        }

    def mark_seen(self, song: SongScores) -> SongScores:
        """Note whether the model was trained on a song; None where that is unknown."""
        if self.trained_on is None:
            return {**song, "seen": None}
        return {**song, "seen": is_seen(song["song"], self.dataset, song["split"], self.trained_on)}


def evaluate(
    readers: Sequence[SongReader], evaluation: Evaluation, options: RunOptions = DEFAULT_RUN
) -> dict[str, Any]:
    """Score songs and average.

    Args:
        readers: The songs.
        evaluation: What is scored and how.
        options: Folder, resuming, processes, progress.

    Returns:
        The result; `songs` holds each song's scores.

    Raises:
        DataError: All songs failed, or none has a stem to score.
        OutputError: The folder cannot be written.
    """
    if options.out is not None:
        from separate.audio import check_writable

        check_writable(options.out)
    run = score_songs(readers, evaluation.score, options, evaluation.fingerprint())
    songs = [evaluation.mark_seen(song) for song in run.songs]
    if options.out is not None:
        for path, data in evaluation.further_files(songs).items():
            write_json(options.out / path, data, allow_nan=True)
    return {
        "kind": evaluation.kind,
        "dataset": evaluation.dataset,
        "split": evaluation.split,
        "method": evaluation.method.describe(),
        "mask_rule": evaluation.method.mask_rule,
        "metric": evaluation.metric,
        **evaluation.outcome(songs),
        "failed": run.failed,
        "songs": songs,
    }


@lru_cache(maxsize=1)
def opened(method: Method) -> Separate:
    """Open a method, once a process."""
    return open_method(method)


@lru_cache(maxsize=1)
def opened_separator(method: Method) -> "Separator":
    """Load a method's model, once a process."""
    return open_separator(method)


def read_and_separate(
    reader: SongReader, evaluation: Evaluation
) -> tuple[Song, Estimates, dict[str, Any]]:
    """Read a song and separate it.

    With `accompaniment`, the accompaniment is added to references and estimates: the method's own
    estimate, else the sum of the other stems if all are estimated, else mixture minus vocals.

    Returns:
        The song, estimates by stem, and the first fields of its scores: name, split, seconds of
        audio and of separation (the time to load a model is not counted).
    """
    opened(evaluation.method)
    song = reader.load()
    if ACCOMPANIMENT in evaluation.stems or evaluation.accompaniment:
        song = song.with_accompaniment()
    started = time.perf_counter()
    estimates = separate_loaded(song, evaluation)
    seconds = time.perf_counter() - started
    head = {"song": song.name, "split": reader.split, "seconds": song.seconds}
    return song, estimates, {**head, "separation_seconds": seconds}


def separate_loaded(song: Song, evaluation: Evaluation) -> Estimates:
    """Separate a song that is in memory; see `read_and_separate`."""
    method = evaluation.method
    asked = [s for s in evaluation.stems if s in song.references or not evaluation.fine]
    estimates = opened(method)(song, asked)
    if evaluation.accompaniment and "vocals" in estimates and ACCOMPANIMENT not in estimates:
        others = [stem for stem in song.references if stem not in ("vocals", ACCOMPANIMENT)]
        if method.kind == "mixture":
            estimates[ACCOMPANIMENT] = song.mixture
        elif others and all(stem in estimates for stem in others):
            estimates[ACCOMPANIMENT] = sum_parts([estimates[stem] for stem in others])
        else:
            estimates[ACCOMPANIMENT] = song.mixture - estimates["vocals"]
    return estimates
