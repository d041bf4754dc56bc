from pathlib import Path

import pytest

from separate.audio import find_audio

ENDINGS = (
    "mts", "m2ts", "vob", "mpga", "mpa", "weba", "m4r", "3g2", "3ga", "snd", "bwf", "awb", "spx",
    "qt", "f4v", "M4R", "wav", "opus",
)  # fmt: skip


@pytest.mark.parametrize("ending", ENDINGS)
def test_files_that_ffmpeg_decodes_are_found_in_folders(tmp_path: Path, ending: str) -> None:
    (tmp_path / f"song.{ending}").write_bytes(b"x")
    (tmp_path / "notes.txt").write_bytes(b"x")
    assert find_audio(tmp_path) == [tmp_path / f"song.{ending}"]
