"""Sound and small tools for the tests of the audio modules."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from separate.audio import AudioReader

RATE = 44_100
needs_ffmpeg = pytest.mark.skipif(
    not (shutil.which("ffmpeg") and shutil.which("ffprobe")), reason="ffmpeg is not installed"
)


def tone(samples: int, channels: int = 2, rate: int = RATE) -> np.ndarray:
    """Noise over a tone, different in each channel, float32 `(channels, time)`."""
    rng = np.random.default_rng(samples + channels)
    time = np.arange(samples) / rate
    hz = 220.0 * (1 + np.arange(channels))[:, None]
    noise = rng.uniform(-0.1, 0.1, (channels, samples))
    return (0.4 * np.sin(2 * np.pi * hz * time) + noise).astype(np.float32)


def ffmpeg(*arguments: str | Path) -> None:
    command = ["ffmpeg", "-nostdin", "-v", "error", "-y", *map(str, arguments)]
    subprocess.run(command, check=True)


def cut(path: Path, share: float = 0.6) -> Path:
    target = path.with_name(f"cut_{path.name}")
    data = path.read_bytes()
    target.write_bytes(data[: int(len(data) * share)])
    return target


def read_in_blocks(path: Path, block_samples: int, **span: float) -> np.ndarray:
    with AudioReader(path, **span) as reader:
        return np.concatenate(list(reader.blocks(block_samples)), axis=1)


def check_error(error: pytest.ExceptionInfo[Exception], *words: str) -> None:
    message = str(error.value)
    assert "\n" not in message
    assert all(word in message for word in words), message
