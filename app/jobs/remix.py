"""Write downloads: a remix of stems, and a zip of all results."""

import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, cast

import numpy as np

from separate.audio import AudioReader, AudioWriter, apply_clip, rescale_gain
from separate.errors import InputError

LOUDEST = 4.0  # times as loud as it was (12 dB)
_BLOCK_SAMPLES = 262_144
_BLOCK_BYTES = 1_048_576


def parse_gains(text: str, count: int) -> list[float]:
    """Read one number a stem, with commas between.

    Raises:
        InputError: It is not so, or all are silent.
    """
    try:
        gains = [float(part) for part in text.split(",")]
    except ValueError as error:
        raise InputError("gains: give a number for each stem, with commas between") from error
    if len(gains) != count or not all(0 <= gain <= LOUDEST for gain in gains):
        raise InputError(f"gains: give {count} numbers from 0 to {LOUDEST:g}")
    if not any(gains):
        raise InputError("all stems are muted: there is nothing to save")
    return gains


def remix(paths: Sequence[Path], gains: Sequence[float], target: Path, format: str = "wav") -> Path:
    """Sum stems, each with a gain; what would clip is turned down as a whole.

    Args:
        paths: Stems of one recording.
        gains: One for each.
        target: The file to write.
        format: wav, flac, ogg or mp3.

    Returns:
        The target.

    Raises:
        InputError: A stem cannot be read.
        OutputError: The file cannot be written.
    """
    sounding = [(path, gain) for path, gain in zip(paths, gains, strict=True) if gain]
    with AudioReader(sounding[0][0]) as reader:
        info = reader.info
    peak = max((float(np.abs(block).max(initial=0)) for block in _sums(sounding)), default=0.0)
    gain = rescale_gain(peak)
    with AudioWriter(
        target, info.sample_rate, info.channels, format=format, channel_mask=info.channel_mask
    ) as writer:
        for block in _sums(sounding):
            writer.write(apply_clip(block, "rescale", gain)[0])
        return writer.commit()


def _sums(sounding: Sequence[tuple[Path, float]]) -> Iterator[np.ndarray]:
    """Yield blocks `(channels, time)` of the sum."""
    streams = [AudioReader(path).blocks(_BLOCK_SAMPLES) for path, _ in sounding]
    gains = [np.float32(gain) for _, gain in sounding]
    for blocks in zip(*streams, strict=True):
        yield sum(  # type: ignore[misc]
            (block * gain for block, gain in zip(blocks, gains, strict=True)),
            np.zeros_like(blocks[0]),
        )


def zip_blocks(files: Sequence[tuple[str, Path]]) -> Iterator[bytes]:
    """Yield a zip as it is made: it takes no room. Audio gains little by compression.

    Args:
        files: Name in the zip, and path.
    """
    sink = _Sink()
    with zipfile.ZipFile(cast(IO[bytes], sink), "w") as archive:
        for name, path in files:
            entry = zipfile.ZipInfo.from_file(path, name)
            with path.open("rb") as source, archive.open(entry, "w") as target:
                while block := source.read(_BLOCK_BYTES):
                    target.write(block)
                    yield sink.taken()
    yield sink.taken()


class _Sink:
    """A file that is written only: what was written is taken out in between."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> int:
        """Keep bytes."""
        self._parts.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Do nothing: there is nothing behind."""

    def taken(self) -> bytes:
        """Return what was written since the last time."""
        parts, self._parts = self._parts, []
        return b"".join(parts)
