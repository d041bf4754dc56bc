"""Sound through the ffmpeg program."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
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


@needs_ffmpeg
@pytest.mark.parametrize("name", ["a.mkv", "a.mp4", "a.ts"])
def test_sound_that_starts_late_keeps_the_clock_of_the_video(tmp_path: Path, name: str) -> None:
    wav = audio.write_audio(tmp_path / "a.wav", tone(RATE), RATE)
    video = ["-f", "lavfi", "-i", "color=s=32x32:r=10:d=3"]
    ffmpeg(*video, "-itsoffset", "1.5", "-i", wav, "-c:v", "mpeg4", "-c:a", "ac3", tmp_path / name)
    back, rate = audio.read_audio(tmp_path / name)
    begins = int(np.argmax(np.abs(back).max(axis=0) > 0.05)) / rate
    assert begins == pytest.approx(1.5, abs=0.05)
    assert back.shape[1] / rate == pytest.approx(2.5, abs=0.05)
    span = read_in_blocks(tmp_path / name, 1_000, start_seconds=1.4)
    assert np.array_equal(span, back[:, round(1.4 * rate) :])


@needs_ffmpeg
def test_a_second_audio_track_is_chosen(tmp_path: Path) -> None:
    sines = [["-f", "lavfi", "-i", f"sine={hz}:d=1"] for hz in (300, 900)]
    maps = ["-map", "0:a", "-map", "1:a", "-c:a", "flac"]
    ffmpeg(*sines[0], *sines[1], *maps, tmp_path / "a.mkv")
    for stream, hz in enumerate((300, 900)):
        row = read_in_blocks(tmp_path / "a.mkv", 1_000, stream=stream)[0]
        assert np.abs(np.fft.rfft(row)).argmax() == hz
    with pytest.raises(InputError) as error:
        audio.probe(tmp_path / "a.mkv", stream=2)
    check_error(error, "no audio stream 2", "--stream 0 to 1")


@needs_ffmpeg
def test_estimated_length_of_raw_aac_is_no_limit(tmp_path: Path) -> None:
    # Noise after silence: the bit rate of the beginning promises another length.
    source = "aevalsrc=gt(t\\,10)*(random(0)-0.5):d=20:s=44100"
    ffmpeg("-f", "lavfi", "-i", source, "-c:a", "aac", tmp_path / "loud.aac")
    source = "aevalsrc=lt(t\\,10)*(random(0)-0.5):d=20:s=44100"
    ffmpeg("-f", "lavfi", "-i", source, "-c:a", "aac", tmp_path / "silent.aac")
    for name in ("loud.aac", "silent.aac"):
        path = tmp_path / name
        whole = audio.read_audio(path)[0]
        assert whole.shape[1] == pytest.approx(20 * 44_100, abs=4_096)
        late = read_in_blocks(path, 100_000, start_seconds=19.0)
        assert np.array_equal(late, whole[:, 19 * 44_100 :])
    assert any(audio.probe(tmp_path / n).seconds < 19 for n in ("loud.aac", "silent.aac"))
    with pytest.raises(InputError) as error:
        read_in_blocks(tmp_path / "loud.aac", 1_000, start_seconds=90.0)
    check_error(error, "no sound from 90.000 s")


@needs_ffmpeg
@pytest.mark.parametrize(
    ("name", "coding", "rate"),
    [
        ("a.wav", "gsm_ms", 8_000),
        ("a.w64", "gsm_ms", 8_000),
        ("a.au", "adpcm_g726le", 8_000),
        ("a.wav", "libmp3lame", 44_100),
    ],
)
def test_codings_without_seek_are_read(tmp_path: Path, name: str, coding: str, rate: int) -> None:
    path = tmp_path / name
    ffmpeg("-f", "lavfi", "-i", f"sine=440:d=3:r={rate}", "-c:a", coding, path)
    whole = audio.read_audio(path)[0]
    assert np.abs(np.fft.rfft(whole[0, :rate])).argmax() == 440
    part = read_in_blocks(path, 1_000, start_seconds=1.0, end_seconds=2.0)
    assert np.array_equal(part, whole[:, rate : 2 * rate])


@pytest.mark.parametrize(
    ("format", "subtype"), [("WAV", "GSM610"), ("WAV", "G721_32"), ("AU", "G723_24")]
)
def test_they_are_read_without_ffmpeg(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str, subtype: str
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    path = tmp_path / "a.bin"
    sound = 0.3 * np.sin(np.arange(24_000) * 2 * np.pi * 440 / 8_000)
    soundfile.write(path, sound, 8_000, subtype=subtype, format=format)
    whole = audio.read_audio(path)[0]
    assert 24_000 <= whole.shape[1] < 24_000 + 640
    assert np.array_equal(read_in_blocks(path, 999, start_seconds=2.0), whole[:, 16_000:])
