"""Small songs on disk for the tests of `evals`."""

import json
from pathlib import Path

import numpy as np

from separate.audio import write_audio

RATE = 8000


def tone(hertz: float, seconds: float = 3.0, level: float = 0.3, channels: int = 2) -> np.ndarray:
    time = np.arange(round(seconds * RATE)) / RATE
    wave = level * np.sin(2 * np.pi * hertz * time)
    return np.stack([wave * (1 - 0.3 * c) for c in range(channels)]).astype(np.float32)


def noise(seed: int, seconds: float = 3.0, level: float = 0.1, channels: int = 2) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return (level * generator.standard_normal((channels, round(seconds * RATE)))).astype(np.float32)


def four_stems(seconds: float = 3.0) -> dict[str, np.ndarray]:
    return {
        "vocals": tone(440, seconds),
        "drums": noise(1, seconds),
        "bass": tone(60, seconds),
        "other": tone(1500, seconds, 0.2),
    }


def write_song(folder: Path, stems: dict[str, np.ndarray], parents: dict | None = None) -> Path:
    folder.mkdir(parents=True)
    for name, audio in stems.items():
        write_audio(folder / f"{name}.wav", audio, RATE, subtype="FLOAT")
    if parents is not None:
        (folder / "song.json").write_text(json.dumps({"stems": parents}), encoding="utf-8")
    return folder
