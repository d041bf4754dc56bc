"""The signal that speed and memory are measured on: tones and beats of any length, in stereo."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from separate.evals.bench.systems import SAMPLE_RATE


def music_like(seconds: float) -> np.ndarray:
    """Return a deterministic stereo signal with tones and beats, float32 `(2, time)`."""
    return np.concatenate(list(music_blocks(seconds)), axis=1)


def music_blocks(seconds: float) -> Iterator[np.ndarray]:
    """Yield a deterministic stereo signal second by second."""
    generator = np.random.default_rng(0)
    time_axis = np.arange(SAMPLE_RATE, dtype=np.float32) / SAMPLE_RATE
    burst = np.exp(-8 * (time_axis % 0.5)) * generator.standard_normal(SAMPLE_RATE) * 0.1
    left = round(seconds * SAMPLE_RATE)
    second = 0
    while left > 0:
        pitch = 110.0 * 2 ** ((second * 5 % 12) / 12)
        tone = sum(np.sin(2 * np.pi * pitch * k * time_axis) * (0.2 / k) for k in range(1, 6))
        block = np.stack([tone + burst, 0.8 * tone - 0.9 * burst]).astype(np.float32)
        yield block[:, :left]
        left -= SAMPLE_RATE
        second += 1


def write_clip(path: Path, seconds: float) -> Path:
    """Write the signal of `music_like` as a 16-bit file, second by second."""
    from separate.audio import AudioWriter

    extension = path.suffix.removeprefix(".")
    with AudioWriter(path, SAMPLE_RATE, 2, format=extension, subtype="PCM_16") as writer:
        for block in music_blocks(seconds):
            writer.write(block)
        writer.commit()
    return path
