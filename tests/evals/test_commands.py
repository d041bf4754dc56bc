import shutil
import subprocess
import sys

import pytest
from song_helpers import four_stems, write_song
from typer.testing import CliRunner

from separate.errors import DataError, OutputError, SettingsError
from separate.evals.cli.commands import bench_app, eval_app
from separate.evals.tasks.results import read_json

runner = CliRunner()


def invoke(*arguments):
    return runner.invoke(eval_app, [str(argument) for argument in arguments])


def test_help_imports_nothing_heavy():
    code = (
        "import sys; import separate.evals.cli.commands;"
        " print([m for m in ('torch', 'numpy', 'museval', 'soundfile') if m in sys.modules])"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert output.stdout.strip() == "[]"
    for app in (eval_app, bench_app):
        assert runner.invoke(app, ["--help"]).exit_code == 0


def test_stems_to_result_to_readme(tmp_path):
    for name in ("A", "B"):
        write_song(tmp_path / "set" / "valid" / name, four_stems(1.5))
    out = tmp_path / "out"
    done = invoke(
        "stems", tmp_path / "set/valid", "--oracle", "irm", "--stems", "vocals", "-o", out
    )
    assert done.exit_code == 0 and "vocals" in done.output
    result = read_json(out / "result.json")
    assert (result["dataset"], result["split"]) == ("set", "valid")
    assert result["stems"] == ["vocals"] and len(result["songs"]) == 2
    page = tmp_path / "README.md"
    page.write_text("<!-- table:stems -->\n<!-- /table -->\n")
    assert invoke("tables", out / "result.json", "--into", page).exit_code == 0
    assert "oracle irm (all bins)" in page.read_text()
    assert "<!-- table:stems -->" in invoke("tables", out / "result.json").output
    same = invoke("compare", out / "result.json", out / "result.json")
    assert same.exit_code == 0 and "0.00" in same.output


def test_a_failed_song_makes_the_exit_code(tmp_path):
    for name in ("A", "B"):
        write_song(tmp_path / "set" / name, four_stems(1.5))
    (tmp_path / "set/A/bass.wav").write_bytes(b"RIFF")
    done = invoke("stems", tmp_path / "set", "--mixture")
    assert done.exit_code == 1 and "failed: A" in done.output


def test_what_cannot_work_is_refused_before_the_first_song(tmp_path, monkeypatch):
    write_song(tmp_path / "set" / "A", four_stems(0.5))
    (tmp_path / "file").write_text("")
    missing = invoke("stems", tmp_path / "set", "--estimates", tmp_path / "nowhere")
    assert isinstance(missing.exception, SettingsError) and "no such folder" in str(missing)
    report = invoke("stems", tmp_path / "set", "--mixture", "--report", tmp_path / "file" / "x")
    assert isinstance(report.exception, OutputError) and not report.output
    (tmp_path / "musdb" / "test").mkdir(parents=True)
    (tmp_path / "musdb" / "test" / "A.stem.mp4").write_bytes(b"")
    monkeypatch.setattr(shutil, "which", lambda program: None)
    no_ffmpeg = invoke("musdb", tmp_path / "musdb", "--mixture").exception
    assert isinstance(no_ffmpeg, DataError) and str(no_ffmpeg).startswith("musdb needs the program")


@pytest.mark.parametrize("options", [("--mixture", "--oracle", "irm"), ("--mixture", "--resume")])
def test_options_that_exclude_each_other(tmp_path, options):
    write_song(tmp_path / "A", {"vocals": four_stems(0.5)["vocals"]})
    assert isinstance(invoke("stems", tmp_path, *options).exception, SettingsError)
