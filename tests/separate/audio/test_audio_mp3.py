"""MP3: libsndfile's lengths and seeks can't be trusted, ours can."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from audio_helpers import RATE, ffmpeg, read_in_blocks, tone

from separate import audio


@pytest.fixture(scope="module")
def variable_mp3(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Variable bit rate, first half near silence: with and without a length header."""
    if not shutil.which("ffmpeg"):
        pytest.skip("ffmpeg is not installed")
    folder = tmp_path_factory.mktemp("mp3")
    mixture = tone(10 * RATE)
    mixture[:, : 5 * RATE] *= 1e-3
    wav = audio.write_audio(folder / "a.wav", mixture, RATE)
    ffmpeg("-i", wav, "-q:a", "4", folder / "header.mp3")
    ffmpeg("-i", wav, "-q:a", "4", "-write_xing", "0", folder / "none.mp3")
    return {"header": folder / "header.mp3", "none": folder / "none.mp3"}


def test_mp3_without_length_is_read_to_its_end(variable_mp3: dict[str, Path]) -> None:
    path = variable_mp3["none"]
    whole, _ = audio.read_audio(path)
    assert 10 * RATE <= whole.shape[1] <= 10 * RATE + 3 * 1152
    assert audio.probe(path).samples == whole.shape[1]
    assert np.abs(whole[:, -2 * RATE :]).max() > 0.3
    assert np.array_equal(read_in_blocks(path, 5_000), whole)


def test_variable_mp3_blocks_and_spans_equal_the_whole(variable_mp3: dict[str, Path]) -> None:
    path = variable_mp3["header"]
    whole = soundfile.read(path, dtype="float32")[0].T  # one read: no seeks in between
    assert whole.shape[1] == 10 * RATE
    assert np.array_equal(read_in_blocks(path, 4_410), whole)
    span = read_in_blocks(path, 4_410, start_seconds=7.0, end_seconds=8.0)
    assert np.array_equal(span, whole[:, 7 * RATE : 8 * RATE])


def test_joined_mp3s_are_read_to_their_end(tmp_path: Path) -> None:
    one = audio.write_audio(tmp_path / "one.mp3", tone(5 * RATE), RATE).read_bytes()
    (tmp_path / "two.mp3").write_bytes(one + one)
    assert audio.read_audio(tmp_path / "two.mp3")[0].shape[1] >= 10 * RATE


@pytest.mark.parametrize(
    ("rate", "bitrate", "expected"),
    [(RATE, None, 320), (RATE, 128, 128), (48_000, 192, 192), (RATE, 64, 64), (22_050, 320, 160)],
)
def test_mp3_bitrate_is_met(tmp_path: Path, rate: int, bitrate: int | None, expected: int) -> None:
    path = audio.write_audio(
        tmp_path / "a.mp3", tone(4 * rate, rate=rate), rate, mp3_bitrate=bitrate
    )
    assert path.stat().st_size * 8 / 4_000 == pytest.approx(expected, rel=0.06)
    assert audio.read_audio(path)[0].shape[1] == 4 * rate
