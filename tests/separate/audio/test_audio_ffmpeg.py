"""Sound through the ffmpeg program."""

from pathlib import Path

import numpy as np
import pytest
from audio_helpers import RATE, check_error, cut, ffmpeg, needs_ffmpeg, read_in_blocks, tone

from separate import audio
from separate.audio import AudioReader
from separate.errors import InputError


@needs_ffmpeg
def test_lossless_m4a_equals_its_source(tmp_path: Path) -> None:
    wav = audio.write_audio(tmp_path / "a.wav", tone(2 * RATE), RATE, subtype="PCM_16")
    path = tmp_path / "-音 %d é.m4a"
    ffmpeg("-i", wav, "-c:a", "alac", path.absolute())
    whole, _ = audio.read_audio(wav)
    info = audio.probe(path)
    assert (info.format, info.subtype, info.samples) == ("mov", "PCM_16", 2 * RATE)
    assert np.array_equal(audio.read_audio(path)[0], whole)
    span = read_in_blocks(path, 1_000, start_seconds=0.5, end_seconds=1.0)
    assert np.array_equal(span, whole[:, RATE // 2 : RATE])


@needs_ffmpeg
@pytest.mark.parametrize("name", ["a.mkv", "a.mp4", "a.avi", "a.ts"])
def test_sound_of_video_is_read(tmp_path: Path, name: str) -> None:
    wav = audio.write_audio(tmp_path / "a.wav", tone(RATE), RATE)
    video = ["-f", "lavfi", "-i", "color=s=32x32:r=5:d=1"]
    ffmpeg(*video, "-i", wav, "-c:v", "mpeg4", "-c:a", "mp2", tmp_path / name)
    back, rate = audio.read_audio(tmp_path / name)
    assert rate == RATE and back.shape[0] == 2 and abs(back.shape[1] - RATE) < 4 * 1152


@needs_ffmpeg
def test_broken_m4a_is_told(tmp_path: Path) -> None:
    wav = audio.write_audio(tmp_path / "a.wav", tone(5 * RATE), RATE)
    path = tmp_path / "a.m4a"
    ffmpeg("-i", wav, "-movflags", "+faststart", path)
    for broken in (cut(path), cut(path, 0.01)):
        with pytest.raises(InputError) as error:
            audio.read_audio(broken)
        check_error(error, broken.name)


@needs_ffmpeg
def test_leaving_early_ends_ffmpeg(tmp_path: Path) -> None:
    wav = audio.write_audio(tmp_path / "a.wav", tone(20 * RATE), RATE)
    ffmpeg("-i", wav, tmp_path / "a.m4a")
    with AudioReader(tmp_path / "a.m4a") as reader:
        process = reader._source._process  # type: ignore[union-attr]
        blocks = reader.blocks(100)
        next(blocks)
        assert process.poll() is None
    assert process.poll() is not None


@needs_ffmpeg
def test_chained_ogg_is_read_to_its_end(tmp_path: Path) -> None:
    parts = []
    for seed in (1, 2):
        wav = audio.write_audio(tmp_path / "a.wav", tone(RATE), RATE)
        ffmpeg("-i", wav, "-c:a", "libvorbis", "-serial_offset", str(seed), tmp_path / "a.ogg")
        parts.append((tmp_path / "a.ogg").read_bytes())
    (tmp_path / "both.ogg").write_bytes(b"".join(parts))
    assert audio.read_audio(tmp_path / "both.ogg")[0].shape[1] > 1.9 * RATE


def test_missing_ffmpeg_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.m4a").write_bytes(b"\0\0\0\x18ftypM4A \0\0\0\0" + bytes(100))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError) as error:
        audio.read_audio(tmp_path / "a.m4a")
    check_error(error, "install ffmpeg", "apt-get")
