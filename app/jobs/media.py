"""Prepare what the player needs of a file: 16-bit samples, a waveform and a spectrogram.

The player streams raw samples, so that any stem starts at once and all stay in step, whatever the
format of the download.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from separate.audio import AudioReader, Downmix, Resampler
from separate.audio.pictures import spectrogram_png

_BLOCK_SAMPLES = 262_144
_OUTLINE_POINTS = 900
_FINE_SAMPLES = 256  # an outline is first taken so finely
_BROWSER_RATES = (8_000, 96_000)  # what browsers play; Hz
_PLAY_RATE = 48_000  # of what they don't


def prepare(
    source: Path,
    folder: Path,
    stem: str,
    *,
    end_seconds: float | None = None,
    on_block: Callable[[], None] | None = None,
) -> dict[str, Any]:
    """Write `<stem>.pcm` and `<stem>.png` beside the results.

    Args:
        source: A sound file.
        folder: Where they go.
        stem: What they are called.
        end_seconds: Seconds into the file; the rest is not read.
        on_block: Called now and then; what it raises ends the work.

    Returns:
        sample_rate, channels and frames of the samples, the outline as peaks 0..1, and the names.

    Raises:
        InputError: The sound cannot be read.
    """
    play, picture = folder / f"{stem}.pcm", folder / f"{stem}.png"
    fine: list[np.ndarray] = []
    frames = 0
    with AudioReader(source, end_seconds=end_seconds) as reader, play.open("wb") as file:
        rate = reader.info.sample_rate
        play_rate = rate if _BROWSER_RATES[0] <= rate <= _BROWSER_RATES[1] else _PLAY_RATE
        channels = 1 if reader.info.channels == 1 else 2
        for block in _at_rate(reader, play_rate):
            if on_block is not None:
                on_block()
            samples = _to_pcm(block, channels)
            file.write(samples.tobytes())
            fine.append(_peaks(samples))
            frames += len(samples)
    if frames:
        mapped = np.memmap(play, dtype="<i2", mode="r", shape=(frames, channels))
        picture.write_bytes(spectrogram_png(mapped.T, play_rate))
    return {
        "sample_rate": play_rate,
        "channels": channels,
        "frames": frames,
        "outline": _outline(np.concatenate(fine) if fine else np.zeros(1)),
        "play": play.name,
        "picture": picture.name,
    }


def _at_rate(reader: AudioReader, rate: int) -> Iterator[np.ndarray]:
    """Yield blocks `(channels, time)` at a rate; more than two channels are folded into one."""
    info = reader.info
    if info.channels <= 2:
        resampler = Resampler(info.channels, info.sample_rate, rate)
        for block in reader.blocks(_BLOCK_SAMPLES):
            yield resampler.process(block)
        yield resampler.process(np.zeros((info.channels, 0), np.float32), last=True)
        return
    downmix, resampler = Downmix(info.channels), Resampler(1, info.sample_rate, rate)
    for block in reader.blocks(_BLOCK_SAMPLES):
        yield resampler.process(downmix.process(block)[None])
    yield resampler.process(downmix.end()[None], last=True)


def _to_pcm(block: np.ndarray, channels: int) -> np.ndarray:
    """Map float `(1 or channels, time)` to 16-bit `(time, channels)`."""
    scaled = np.clip(np.round(block * 32768.0), -32768, 32767)
    scaled = np.broadcast_to(scaled, (channels, scaled.shape[1]))
    return np.ascontiguousarray(scaled.T.astype("<i2"))


def _peaks(samples: np.ndarray) -> np.ndarray:
    """Largest level, 0..1, of each short stretch of `(time, channels)`."""
    if not len(samples):
        return np.zeros(0)
    loudest = np.abs(samples.astype(np.int32)).max(axis=1) / 32768
    starts = np.arange(0, len(loudest), _FINE_SAMPLES)
    return np.maximum.reduceat(loudest, starts)


def _outline(fine: np.ndarray) -> list[float]:
    """Reduce to the points that the page draws."""
    count = min(_OUTLINE_POINTS, len(fine))
    starts = np.linspace(0, len(fine), count, endpoint=False).astype(int)
    return [round(float(peak), 3) for peak in np.maximum.reduceat(fine, starts)]
