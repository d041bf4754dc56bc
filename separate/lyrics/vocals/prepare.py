"""Read a recording, separate its vocals, and keep both at 16 kHz for Whisper, block by block.

Memory does not grow with the length of the recording.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from separate.audio import AudioInfo, AudioReader
from separate.errors import InputError
from separate.lyrics.settings import SAMPLE_RATE, VadSettings
from separate.lyrics.vocals.signals import Signal, Signals, in_blocks

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
    presence: float | None = None  # of vocals in a given stem, where it is known
    name: str | None = None  # of the separator or the file, for the record


@dataclass(frozen=True)
class Prepared:
    """A recording, ready to be transcribed."""

    signals: Signals
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
    stream: int = 0,
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
        stream: Which audio stream of the file, from 0.
        on_progress: Called with the part that is done.

    Raises:
        InputError: A file is damaged, or a stem does not belong to it.
    """
    began = time.perf_counter()
    with AudioReader(path, start_seconds=start, end_seconds=end, stream=stream) as reader:
        total = reader.samples or 0

        def report(done_samples: int) -> None:
            if on_progress is not None and total:
                on_progress(min(1.0, done_samples / total))

        blocks = reader.blocks(_BLOCK_SAMPLES)
        info = reader.info
        signals, presence = _fill(blocks, info, folder, vad, vocals, report)
    if vocals is not None and vocals.path is not None:
        _check_length(path, vocals.path, signals)
    name = vocals.name if vocals is not None else None
    return Prepared(signals, presence, name, start, time.perf_counter() - began)


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

    info = AudioInfo(sample_rate, array.shape[0], array.shape[1], "FLOAT", "array")
    signals, presence = _fill(in_blocks(array), info, folder, vad, vocals, report)
    name = vocals.name if vocals is not None else None
    return Prepared(signals, presence, name, 0.0, time.perf_counter() - began)


def _fill(
    blocks: Iterable[np.ndarray],
    info: AudioInfo,
    folder: Path,
    vad: VadSettings,
    vocals: Vocals | None,
    report: Callable[[int], None],
) -> tuple[Signals, float | None]:
    """Write the signals; return them and the presence of vocals."""
    mixture = Signal(folder / "mixture.f32", info.sample_rate, vad)

    def through() -> Iterator[np.ndarray]:
        for block in blocks:
            mixture.append(block)
            yield block
        mixture.finish()

    if vocals is None or vocals.separator is None:
        done = 0
        for block in through():
            done += block.shape[1]
            report(done)
        signal = None if vocals is None else _given(vocals, info.sample_rate, folder, vad)
        return Signals(mixture, signal), vocals.presence if vocals else None
    stream = vocals.separator.stream(
        through(),
        info.sample_rate,
        info.channels,
        [VOCALS],
        report,
        channel_mask=info.channel_mask,
    )
    separated = (block.estimates[0] for block in stream)
    signal = Signal(folder / "vocals.f32", info.sample_rate, vad).fill(separated)
    return Signals(mixture, signal), float(stream.presence[VOCALS])


def _given(vocals: Vocals, sample_rate: int, folder: Path, vad: VadSettings) -> Signal | None:
    """Read vocals that exist already, from a file or an array."""
    target = folder / "vocals.f32"
    if vocals.path is not None:
        with AudioReader(vocals.path) as reader:
            signal = Signal(target, reader.info.sample_rate, vad)
            return signal.fill(reader.blocks(_BLOCK_SAMPLES))
    if vocals.array is not None:
        return Signal(target, sample_rate, vad).fill(in_blocks(np.atleast_2d(vocals.array)))
    return None


def _check_length(path: Path, stem: Path, signals: Signals) -> None:
    assert signals.vocals is not None
    difference = abs(signals.vocals.samples - signals.mixture.samples) / SAMPLE_RATE
    if difference > _LENGTH_TOLERANCE_SECONDS:
        raise InputError(
            f"{stem}: differs from {path} by {difference:.1f} s, so it is no stem of it;"
            " leave out --stems to separate anew"
        )
