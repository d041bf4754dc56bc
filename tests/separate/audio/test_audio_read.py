"""What is broken, absurd or no audio says so in one line."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from audio_helpers import RATE, check_error, cut, read_in_blocks, tone

from separate import audio
from separate.errors import InputError


def test_missing_empty_folder_and_text_are_told(tmp_path: Path) -> None:
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.wav").write_text("not audio at all\n" * 100)
    for name, word in [("none.wav", "no such"), ("empty.wav", "empty"), ("text.wav", "not audio")]:
        with pytest.raises(InputError) as error:
            audio.read_audio(tmp_path / name)
        check_error(error, name, word)
    with pytest.raises(InputError) as error:
        audio.read_audio(tmp_path)
    check_error(error, "folder")


def test_file_without_samples_is_told(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros((0, 2)), RATE)
    with pytest.raises(InputError) as error:
        audio.read_audio(tmp_path / "a.wav")
    check_error(error, "no sound")


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.mp3", "a.ogg"])
def test_cut_off_files_are_told(tmp_path: Path, name: str) -> None:
    path = cut(audio.write_audio(tmp_path / name, tone(4 * RATE), RATE))
    with pytest.raises(InputError) as error:
        audio.read_audio(path)
    check_error(error, path.name, "cut off")


def test_broken_ogg_pages_are_told(tmp_path: Path) -> None:
    path = audio.write_audio(tmp_path / "a.ogg", tone(10 * RATE), RATE)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3_000] = bytes(3_000)
    path.write_bytes(data)
    with pytest.raises(InputError) as error:
        audio.read_audio(path)
    check_error(error, "broken")


def test_wav_from_a_pipe_has_no_length_and_is_read(tmp_path: Path) -> None:
    path = audio.write_audio(tmp_path / "a.wav", tone(1_000), RATE)
    data = bytearray(path.read_bytes())
    data[4:8] = data[40:44] = b"\xff\xff\xff\xff"
    path.write_bytes(data)
    assert audio.read_audio(path)[0].shape == (2, 1_000)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_is_told_with_its_second(tmp_path: Path, value: float) -> None:
    mixture = tone(3 * RATE)
    mixture[1, 2 * RATE] = value
    soundfile.write(tmp_path / "a.wav", mixture.T, RATE, subtype="FLOAT")
    with pytest.raises(InputError) as error:
        read_in_blocks(tmp_path / "a.wav", 1_000)
    check_error(error, "a.wav", "NaN", "2.000 s")


@pytest.mark.parametrize(("rate", "channels"), [(1_000_000, 2), (RATE, 65)])
def test_absurd_headers_are_refused(tmp_path: Path, rate: int, channels: int) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros((10, channels)), rate)
    with pytest.raises(InputError):
        audio.probe(tmp_path / "a.wav")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.m3u8", "#EXTM3U\n#EXTINF:1,\n/etc/passwd\n"),
        ("a.mp4", "#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n"),
        ("a.wav", "ffconcat version 1.0\nfile /etc/passwd\n"),
        ("a.mp3", "[playlist]\nFile1=http://localhost/x\n"),
        ("a.mkv", '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"/>'),
        ("a.pls", "anything"),
    ],
)
def test_playlists_are_refused(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError) as error:
        audio.read_audio(tmp_path / name)
    check_error(error, "playlist")
