"""Read and write whole files as arrays `(channels, time)`, resample, clip, and list files."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import soxr

from separate.audio.info import AUDIO_EXTENSIONS
from separate.audio.read import AudioReader
from separate.audio.write import FORMATS, AudioWriter
from separate.errors import InputError

CLIP_MODES = ("clamp", "rescale", "none")
_BLOCK_SAMPLES = 262_144


def resampled_length(samples: int, from_rate: int, to_rate: int) -> int:
    """Return the length after resampling, rounded (halves up); at least 1 for any sound."""
    if samples <= 0:
        return 0
    return max(1, (2 * samples * to_rate + from_rate) // (2 * from_rate))


class Resampler:
    """Changes the sample rate of a stream; the result doesn't depend on the blocks."""

    def __init__(self, channels: int, from_rate: int, to_rate: int) -> None:
        """Begin a stream.

        Args:
            channels: 1 or more.
            from_rate: Hz of what comes in.
            to_rate: Hz of what goes out; equal rates pass everything through unchanged.
        """
        self._channels, self._from_rate, self._to_rate = channels, from_rate, to_rate
        self._in_samples = self._out_samples = 0
        self._finished = False
        self._stream: soxr.ResampleStream | None = None
        if from_rate != to_rate:
            self._stream = soxr.ResampleStream(
                from_rate, to_rate, channels, dtype="float32", quality="HQ"
            )

    def process(
        self, block: np.ndarray, last: bool = False, *, total_samples: int | None = None
    ) -> np.ndarray:
        """Append samples, and return the resampled ones that are complete.

        Args:
            block: float32 `(channels, time)`, time may be 0.
            last: This is the last block: return all that is left, cut or padded with zeros so
                that the whole output is `resampled_length` of the whole input.
            total_samples: With `last`, the length of the whole output instead (to restore the
                length of a stream that was resampled before).

        Returns:
            float32 `(channels, time)`; without `last` it may be empty.
        """
        if block.ndim != 2 or block.shape[0] != self._channels:
            raise ValueError(f"block must be ({self._channels}, time), got {block.shape}")
        if self._finished:
            raise ValueError("the stream has ended; make a new Resampler")
        self._in_samples += block.shape[1]
        self._finished = last
        out = block.astype(np.float32, copy=False)
        if self._stream is not None:
            frames = np.ascontiguousarray(out.T)
            out = np.ascontiguousarray(self._stream.resample_chunk(frames, last=last).T)
        if last:
            total = total_samples
            if total is None:
                total = resampled_length(self._in_samples, self._from_rate, self._to_rate)
            out = _fit(out, max(0, total - self._out_samples))
        self._out_samples += out.shape[1]
        return out


def _fit(block: np.ndarray, samples: int) -> np.ndarray:
    """Cut or pad `(channels, time)` at its end."""
    missing = samples - block.shape[1]
    return block[:, :samples] if missing <= 0 else np.pad(block, ((0, 0), (0, missing)))


def resample(array: np.ndarray, from_rate: int, to_rate: int) -> np.ndarray:
    """Change the sample rate of an array.

    Args:
        array: Float `(channels, time)`.
        from_rate: Hz.
        to_rate: Hz.

    Returns:
        A new float32 `(channels, resampled_length(time, from_rate, to_rate))`.
    """
    if array.ndim != 2:
        raise ValueError(f"array must be (channels, time), got {array.shape}")
    return Resampler(array.shape[0], from_rate, to_rate).process(array, last=True)


def read_audio(path: str | Path) -> tuple[np.ndarray, int]:
    """Read a whole file.

    Returns:
        float32 `(channels, time)` and the sample rate in Hz.

    Raises:
        InputError: There is no file, it is no audio, or it is damaged.
    """
    with AudioReader(path) as reader:
        blocks = list(reader.blocks(_BLOCK_SAMPLES))
        return np.concatenate(blocks, axis=1), reader.info.sample_rate


def write_audio(path: str | Path, array: Any, sample_rate: int, **options: Any) -> Path:
    """Write a whole file, or none.

    Args:
        path: The target.
        array: Float `(channels, time)`, an array or a tensor on the CPU.
        sample_rate: Hz.
        **options: Those of `AudioWriter`: format (else that of the extension, else wav), subtype,
            mp3_bitrate, sync, channel_mask.

    Returns:
        The path.

    Raises:
        OutputError: It can't be written.
    """
    array = np.asarray(array)
    if array.ndim != 2:
        raise ValueError(f"array must be (channels, time), got {array.shape}")
    extension = Path(path).suffix.lower().removeprefix(".")
    options = {"format": extension if extension in FORMATS else "wav", **options}
    total = array.shape[1]
    with AudioWriter(path, sample_rate, array.shape[0], total_samples=total, **options) as writer:
        writer.write(array)
        return writer.commit()


def apply_clip(block: np.ndarray, mode: str, gain: float = 1.0) -> tuple[np.ndarray, int]:
    """Limit samples beyond full scale.

    Args:
        block: Float `(channels, time)`.
        mode: "clamp" cuts them to ±1; "rescale" multiplies by `gain`, which the caller has found
            for all outputs together (see `rescale_gain`); "none" changes nothing.
        gain: Only for "rescale".

    Returns:
        The block to write, and how many samples of `block` were beyond ±1 before.
    """
    if mode not in CLIP_MODES:
        raise ValueError(f"mode must be one of {CLIP_MODES}, got {mode!r}")
    beyond = int(np.count_nonzero(np.abs(block) > 1.0))
    if mode == "clamp" and beyond:
        return np.clip(block, -1.0, 1.0), beyond
    if mode == "rescale" and gain != 1.0:
        return block * np.float32(gain), beyond
    return block, beyond


def rescale_gain(peak: float) -> float:
    """Return the gain that brings a peak, the largest of all outputs, below full scale."""
    return 1.0 if peak <= 1.0 else 0.999 / peak


def find_audio(path: str | Path) -> list[Path]:
    """List the sound files of a folder and of all folders in it; of a file, the file.

    Returns:
        Sorted paths. In folders only the extensions of `AUDIO_EXTENSIONS` count; hidden files
        and folders are passed over, and so are links to folders.

    Raises:
        InputError: There is nothing at `path`, or no sound file in the folder.
    """
    path = Path(path)
    if not path.is_dir():
        if not path.exists():
            raise InputError(f"{path}: no such file or folder; check the spelling")
        return [path]
    found = []
    for folder, folders, names in os.walk(path):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            candidate = Path(folder, name)
            known = candidate.suffix.lower() in AUDIO_EXTENSIONS and not name.startswith(".")
            if known and candidate.is_file():
                found.append(candidate)
    if not found:
        raise InputError(f"{path}: holds no audio files; name a file or another folder")
    return sorted(found)
