import json
from pathlib import Path

import pytest
from batch_helpers import make_fake, run_batch, sound, task
from typer.testing import CliRunner

from separate.batch.record import RecordFile
from separate.batch.verify import Finding, verify
from separate.cli.main import app
from separate.errors import InputError


@pytest.fixture
def out(tmp_path: Path) -> Path:
    for name in "abcd":
        sound(tmp_path / f"in/{name}.wav")
    (tmp_path / "in/broken.wav").write_text("no sound")
    result = run_batch(
        [tmp_path / "in"], task(tmp_path / "out", "drums"), separator_factory=make_fake
    )
    assert len(result.failed) == 1
    return tmp_path / "out"


def test_a_whole_folder(out: Path) -> None:
    report = verify(out)
    assert (report.files, report.whole, report.findings) == (8, 8, ())
    assert [Path(name).name for name in report.failed] == ["broken.wav"]
    done = CliRunner().invoke(app, ["verify", str(out)])
    assert done.exit_code == 0 and "8 of 8 files are as recorded" in done.stderr
    assert "broken.wav" in done.stderr and done.stdout == ""


def test_each_damage_is_named(out: Path) -> None:
    (out / "a/drums.wav").unlink()
    data = bytearray((out / "b/drums.wav").read_bytes())
    data[-1] ^= 1
    (out / "b/drums.wav").write_bytes(data)
    (out / "c/drums.wav").write_bytes((out / "c/drums.wav").read_bytes()[:-7])
    (out / "d/drums.wav").write_bytes((out / "d/drums.wav").read_bytes() + b"x")
    (out / "d/extra.wav").write_bytes(b"x")
    found = [
        Finding("a/drums.wav", "missing"), Finding("b/drums.wav", "changed"),
        Finding("c/drums.wav", "partial"), Finding("d/drums.wav", "changed"),
        Finding("d/extra.wav", "unknown"),
    ]  # fmt: skip
    assert list(verify(out).findings) == found
    done = CliRunner().invoke(app, ["verify", str(out), "--json"])
    assert done.exit_code == 1
    data = json.loads(done.stdout)
    assert data["findings"] == [vars(finding) for finding in found]
    assert (data["files"], data["whole"]) == (8, 4)


def test_the_last_word_counts(out: Path) -> None:
    again = sound(out.parent / "in/a.wav", seconds=0.7)
    assert not run_batch([again], task(out, "drums"), separator_factory=make_fake).failed
    assert verify(out).findings == ()
    assert len(list(RecordFile(out))) == 6


def test_no_record(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no record"):
        verify(tmp_path)
    done = CliRunner().invoke(app, ["verify", str(tmp_path / "nowhere")])
    assert done.exit_code == 1 and "no record" in done.stderr and "Traceback" not in done.output
    done = CliRunner().invoke(app, ["verify", "zip://x::s3://y/z"])
    assert done.exit_code == 1 and "chained" in done.stderr
