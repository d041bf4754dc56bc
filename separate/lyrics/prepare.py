"""From a recording to what Whisper hears: mixture and vocals, block by block.

In: a file or an array, a separator or stems that were written before. Out: `Prepared`, whose
16 kHz copies lie in a folder of the caller's. Memory does not grow with length.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from separate.audio import AudioReader
from separate.errors import InputError
from separate.lyrics.settings import SAMPLE_RATE, VadSettings
from separate.lyrics.tracks import Track, Tracks, in_blocks

if TYPE_CHECKING:
    from separate.separator import Separator

VOCALS = "vocals"
_BLOCK_SAMPLES = 262_144
_LENGTH_TOLERANCE_SECONDS = 0.25  # of stems made by other programs (mp3 adds some)
Progress = Callable[[float], None]  # part done, 0..1


@dataclass(frozen=True)
class Vocals:
    """Where the vocals come from."""

    separator: "Separator | None" = None
    path: Path | None = None  # of a stem that was written before
    array: np.ndarray | None = None  # `(channels, time)`, of the mixture's rate
    presence: float | None = None  # that is known of a stem
    name: str | None = None  # of the separator or the file, to tell


@dataclass(frozen=True)
class Prepared:
    """A recording, ready to be transcribed."""

    tracks: Tracks
    presence: float | None  # how likely vocals are in it at all; None: not known
    vocals_from: str | None
    offset: float  # seconds of the file before the first sample
    seconds_spent: float


def prepare_file(
    path: Path,
    folder: Path,
    vad: VadSettings,
    vocals: Vocals | None,
    *,
    start: float = 0.0,
    end: float | None = None,
    on_progress: Progress | None = None,
) -> Prepared:
    """Read a file, separate it where needed, and keep what Whisper needs.

    Args:
        path: Of the recording.
        folder: An empty one, for the 16 kHz copies.
        vad: Frames of the loudness.
        vocals: Their source; None: the mixture alone.
        start: Seconds into the file.
        end: Seconds into the file; None: its end.
        on_progress: Called with the part that is done.

    Raises:
        InputError: A file is damaged, or a stem does not belong to it.
    """
    began = time.perf_counter()
    with AudioReader(path, start_seconds=start, end_seconds=end) as reader:
        total = reader.samples or 0

        def report(done_samples: int) -> None:
            if on_progress is not None and total:
                on_progress(min(1.0, done_samples / total))

        blocks = reader.blocks(_BLOCK_SAMPLES)
        info = reader.info
        tracks, presence = _fill(
            blocks, info.sample_rate, info.channels, folder, vad, vocals, report
        )
    if vocals is not None and vocals.path is not None:
        _check_length(path, vocals.path, tracks)
    name = vocals.name if vocals is not None else None
    return Prepared(tracks, presence, name, start, time.perf_counter() - began)


def prepare_array(
    mixture: np.ndarray,
    sample_rate: int,
    folder: Path,
    vad: VadSettings,
    vocals: Vocals | None,
    on_progress: Progress | None = None,
) -> Prepared:
    """The same of a mixture in memory, `(channels, time)` or `(time,)`."""
    began = time.perf_counter()
    array = np.atleast_2d(np.asarray(mixture, dtype=np.float32))
    if array.ndim != 2 or array.shape[1] == 0 or not np.isfinite(array).all():
        raise InputError("the mixture must be (channels, time), not empty, without NaN or infinity")

    def report(done_samples: int) -> None:
        if on_progress is not None:
            on_progress(min(1.0, done_samples / array.shape[1]))

    tracks, presence = _fill(
        in_blocks(array), sample_rate, array.shape[0], folder, vad, vocals, report
    )
    name = vocals.name if vocals is not None else None
    return Prepared(tracks, presence, name, 0.0, time.perf_counter() - began)


def _fill(
    blocks: Iterable[np.ndarray],
    sample_rate: int,
    channels: int,
    folder: Path,
    vad: VadSettings,
    vocals: Vocals | None,
    report: Callable[[int], None],
) -> tuple[Tracks, float | None]:
    """Write the tracks; returns them and the presence of vocals."""
    mixture = Track(folder / "mixture.f32", sample_rate, vad)

    def through() -> Iterator[np.ndarray]:
        for block in blocks:
            mixture.append(block)
            yield block
        mixture.append(np.zeros((channels, 0), np.float32), last=True)

    if vocals is None or vocals.separator is None:
        done = 0
        for block in through():
            done += block.shape[1]
            report(done)
        track = None if vocals is None else _given(vocals, sample_rate, folder, vad)
        return Tracks(mixture, track), vocals.presence if vocals else None
    track = Track(folder / "vocals.f32", sample_rate, vad)
    stream = vocals.separator.stream(through(), sample_rate, channels, [VOCALS], report)
    for separated in stream:
        track.append(separated.estimates[0])
    track.append(np.zeros((channels, 0), np.float32), last=True)
    return Tracks(mixture, track), float(stream.presence[VOCALS])


def _given(vocals: Vocals, sample_rate: int, folder: Path, vad: VadSettings) -> Track | None:
    """Take vocals that are there already: a file or an array."""
    target = folder / "vocals.f32"
    if vocals.path is not None:
        with AudioReader(vocals.path) as reader:
            track = Track(target, reader.info.sample_rate, vad)
            for block in reader.blocks(_BLOCK_SAMPLES):
                track.append(block)
            track.append(np.zeros((reader.info.channels, 0), np.float32), last=True)
        return track
    if vocals.array is not None:
        array = np.atleast_2d(vocals.array)
        track = Track(target, sample_rate, vad)
        for block in in_blocks(array):
            track.append(block)
        track.append(np.zeros((array.shape[0], 0), np.float32), last=True)
        return track
    return None


def _check_length(path: Path, stem: Path, tracks: Tracks) -> None:
    assert tracks.vocals is not None
    difference = abs(tracks.vocals.samples - tracks.mixture.samples) / SAMPLE_RATE
    if difference > _LENGTH_TOLERANCE_SECONDS:
        raise InputError(
            f"{stem}: differs from {path} by {difference:.1f} s, so it is no stem of it;"
            " leave out --stems to separate anew"
        )
