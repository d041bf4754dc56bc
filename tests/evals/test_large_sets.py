"""A set as large as MUSDB18: `SEPARATE_TRACKS=150 make test`. It takes hours, so only if asked."""

import os
from pathlib import Path

import numpy as np
import pytest

from separate.audio import write_audio
from separate.evals.bench.process import run_measured, separate_command
from separate.evals.tasks.results import read_json

TRACKS = int(os.environ.get("SEPARATE_TRACKS", "0"))
SECONDS, RATE = 240, 44100
STEMS = ("vocals", "drums", "bass", "other")


@pytest.mark.skipif(not TRACKS, reason="a minute a track; give SEPARATE_TRACKS=2")
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="memory is read from /proc")
def test_full_tracks_two_at_once_stay_below_3_gb(tmp_path):
    """By museval's protocol, files scored: references and estimates are in memory together."""
    generator = np.random.default_rng(0)
    base = tmp_path / "base"
    base.mkdir()
    for stem in (*STEMS, "mixture"):
        noise = generator.standard_normal((2, SECONDS * RATE), np.float32)
        write_audio(base / f"{stem}.wav", 0.1 * noise, RATE)
    for index in range(TRACKS):
        track = tmp_path / "set" / "test" / f"Track {index:03}"
        guess = tmp_path / "estimates" / track.name
        for folder, shift in ((track, 0), (guess, 1)):
            folder.mkdir(parents=True)
            for place, stem in enumerate(STEMS):
                source = base / f"{STEMS[(place + shift) % len(STEMS)]}.wav"
                os.link(source, folder / f"{stem}.wav")
        os.link(base / "mixture.wav", track / "mixture.wav")
    command = separate_command(
        "eval", "musdb", str(tmp_path / "set"), "--estimates", str(tmp_path / "estimates"),
        "-o", str(tmp_path / "out"), "--jobs", "2",
    )  # fmt: skip
    measured = run_measured(command, threads=1)
    print(f"{TRACKS} tracks: {measured.peak_bytes / 1e6:.0f} MB, {measured.seconds:.0f} s")
    assert len(read_json(tmp_path / "out" / "result.json")["songs"]) == TRACKS
    assert measured.peak_bytes < 3e9
