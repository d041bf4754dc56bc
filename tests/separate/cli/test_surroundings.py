"""The command line where the machine is not as usual: no folder for temporary files."""

import tempfile
from pathlib import Path

import pytest
from batch_helpers import make_fake, run_batch, sound, task


def test_no_temporary_folder_is_needed_for_local_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", none)
    job = task(tmp_path / "out", "drums")
    result = run_batch([sound(tmp_path / "song.wav")], job, separator_factory=make_fake)
    assert not result.failed and (tmp_path / "out/song/drums.wav").is_file()
