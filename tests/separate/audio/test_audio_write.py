"""A file is written whole or not at all."""

import resource
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from audio_helpers import RATE, check_error, tone

from separate import audio
from separate.audio import AudioWriter
from separate.audio import write as audio_write
from separate.errors import OutputError


def test_leaving_without_commit_leaves_nothing(tmp_path: Path) -> None:
    target = tmp_path / "a.wav"
    target.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), AudioWriter(target, RATE, 2) as writer:
        writer.write(tone(1_000))
        assert len(list(tmp_path.iterdir())) == 2
        raise KeyboardInterrupt
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [b"old"]


def limited(limit_bytes: int) -> tuple[int, int]:
    """Let no file of this process grow beyond a size; returns the limits before."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, before[1]))
    return before


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3"])
def test_full_disk_leaves_nothing(tmp_path: Path, name: str) -> None:
    """Also where only the last bytes, written on closing, find no room."""
    mixture = tone(20_000)
    size = audio.write_audio(tmp_path / name, mixture, RATE).stat().st_size
    (tmp_path / name).unlink()
    for limit in (0, 100, size // 2, size - 700, size - 100, size - 1):
        before = limited(limit)
        try:
            with pytest.raises(OutputError) as error:
                audio.write_audio(tmp_path / name, mixture, RATE)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        check_error(error, name, "cannot be written")
        assert list(tmp_path.iterdir()) == []


def test_full_tmpfs_is_named(tmp_path: Path) -> None:
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(tmp_path)]
    if not shutil.which("mount") or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("a tmpfs can only be mounted as root")
    try:
        with pytest.raises(OutputError) as error:
            audio.write_audio(tmp_path / "a.wav", tone(5 * RATE), RATE)
        check_error(error, "disk is full")
        assert list(tmp_path.iterdir()) == []
        with pytest.raises(OutputError) as error:
            audio.check_writable(tmp_path, needed_bytes=10**9)
        check_error(error, "GB free")
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_unwritable_output_is_told_before(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError):
        audio.check_writable(tmp_path / "file" / "sub")
    with pytest.raises(OutputError):
        AudioWriter(tmp_path / "file" / "a.wav", RATE, 2)
    with pytest.raises(OutputError):
        AudioWriter(tmp_path, RATE, 2)
    with pytest.raises(OutputError) as error:
        AudioWriter(tmp_path / ("é" * 200 + ".wav"), RATE, 2)
    check_error(error, "too long")
    audio.check_writable(tmp_path / "new" / "deep")
    assert (tmp_path / "new" / "deep").is_dir()
    assert list((tmp_path / "new" / "deep").iterdir()) == []


def test_empty_and_nan_results_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(OutputError), AudioWriter(tmp_path / "a.wav", RATE, 2) as writer:
        writer.commit()
    with pytest.raises(OutputError):
        audio.write_audio(tmp_path / "a.wav", np.full((1, 5), np.nan, np.float32), RATE)
    assert list(tmp_path.iterdir()) == []


def test_long_wav_becomes_rf64_without_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audio_write, "RIFF_LIMIT_BYTES", 100_000)
    for subtype in ("PCM_16", "PCM_24", "FLOAT"):
        mixture = tone(50_000)
        known = audio.write_audio(tmp_path / "known.wav", mixture, RATE, subtype=subtype)
        with AudioWriter(tmp_path / "unknown.wav", RATE, 2, subtype=subtype) as writer:
            for start in range(0, 50_000, 7_000):
                writer.write(mixture[:, start : start + 7_000])
            unknown = writer.commit()
        for path in (known, unknown):
            assert path.read_bytes()[:4] == b"RF64"
            assert audio.probe(path).samples == 50_000
        assert np.array_equal(audio.read_audio(known)[0], audio.read_audio(unknown)[0])
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    ("format", "rate", "channels"),
    [
        ("mp3", 96_000, 2),
        ("mp3", RATE, 3),
        ("flac", RATE, 9),
        ("ogg", 200_001, 2),
        ("aac", RATE, 2),
    ],
)
def test_what_a_format_cannot_hold_is_told(
    tmp_path: Path, format: str, rate: int, channels: int
) -> None:
    with pytest.raises(OutputError) as error:
        AudioWriter(tmp_path / "a", rate, channels, format=format)
    check_error(error, format)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("format", "subtype", "expected"),
    [
        ("wav", None, "PCM_16"), ("wav", "PCM_24", "PCM_24"), ("wav", "FLOAT", "FLOAT"),
        ("wav", "VORBIS", "PCM_16"), ("wav", "ULAW", "PCM_16"), ("wav", "PCM_S8", "PCM_U8"),
        ("flac", "FLOAT", "PCM_24"), ("flac", "PCM_U8", "PCM_S8"), ("flac", "PCM_32", "PCM_24"),
        ("ogg", "PCM_24", "VORBIS"), ("mp3", "FLOAT", "MPEG_LAYER_III"),
    ],
)  # fmt: skip
def test_bit_depth_is_kept_or_raised(format: str, subtype: str | None, expected: str) -> None:
    assert audio.output_subtype(format, subtype, RATE) == expected
