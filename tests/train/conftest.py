"""Small corpora that several tests of training use."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

SECONDS = 6


def _write_song(folder: Path, stems: dict[str, str], licence: str = "free", seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    for label in stems:
        audio = rng.integers(-3000, 3000, size=(SECONDS * 44100, 2)).astype(np.int16)
        np.save(folder / f"{label}.npy", audio)
    info = {"stems": stems, "licence_class": licence, "rendered": False}
    (folder / "song.json").write_text(json.dumps(info))


def _write_clips(folder: Path, labels: tuple[str, ...]) -> None:
    """Two seconds of noise a label, as two clips, each label in a band of its own."""
    folder.mkdir(parents=True)
    index = {}
    for number, label in enumerate(labels):
        rng = np.random.default_rng(2 + number)
        spectrum = np.zeros(44101, np.complex128)
        low = 200 * 3**number
        spectrum[2 * low : 4 * low] = np.exp(2j * np.pi * rng.random(2 * low))
        wave = np.fft.irfft(spectrum, 88200)
        audio = np.repeat((wave / np.abs(wave).max() * 9000)[:, None], 2, axis=1)
        np.save(folder / f"{number}.npy", audio.astype(np.int16))
        items = [
            {"name": "001", "start": 0, "stop": 44100},
            {"name": "002", "start": 44100, "stop": 88200},
        ]
        index[label] = {"licence_class": "free", "file": f"{number}.npy", "clips": items}
    (folder / "clips.json").write_text(json.dumps(index))


@pytest.fixture(scope="session")
def write_song() -> Callable[..., None]:
    """Writes a cached song of noise: folder, stems by label with their parents, licence, seed."""
    return _write_song


@pytest.fixture(scope="session")
def write_clips() -> Callable[..., None]:
    """Writes cached clips: folder, labels."""
    return _write_clips


@pytest.fixture
def write_pairs() -> Callable[[Path, tuple[str, ...]], None]:
    """Writes MIR-1K's layout: a second of tone and of noise by name of the clip."""

    def write(folder: Path, names: tuple[str, ...]) -> None:
        time = np.arange(16_000) / 16_000
        for number, name in enumerate(names):
            noise = np.random.default_rng(number).normal(0, 0.1, len(time))
            for part, audio in (
                ("vocals", 0.3 * np.sin(440 * 2 * np.pi * time)), ("accompaniment", noise)
            ):  # fmt: skip
                (folder / part).mkdir(parents=True, exist_ok=True)
                soundfile.write(folder / part / f"{name}.wav", audio, 16_000)

    return write


@pytest.fixture
def corpus_folder(tmp_path: Path) -> Path:
    """Two songs and clips of two labels."""
    stems = {"lead_vocals": "vocals", "kick": "drums", "snare": "drums", "bass": "bass"}
    _write_song(tmp_path / "songs" / "one", {**stems, "piano": "other"})
    _write_song(tmp_path / "songs" / "two", {**stems, "rest": "rest"}, "nc", seed=1)
    _write_clips(tmp_path / "clips", ("dog_bark", "rain"))
    return tmp_path
