import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from batch_helpers import files, make_fake, sound
from typer.testing import CliRunner, Result

from separate import insides
from separate.batch import separation as batch
from separate.cli.main import app
from separate.models.registry import Card


@pytest.fixture(autouse=True)
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line, with a separator without weights behind it."""
    card = Card("default", "query-unet", "", {}, "MIT", sha256="abc")
    monkeypatch.setattr(batch, "open_separator", make_fake)
    monkeypatch.setattr(insides, "model_cards", lambda names: [card])


def separate(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def check_line(result: Result, *words: str) -> None:
    """One line on the error stream, non-zero, no traceback."""
    assert result.exit_code not in (0, None)
    assert isinstance(result.exception, SystemExit)
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: "), result.stderr
    assert all(word in lines[0] for word in words), lines[0]


def test_run_writes_and_prints_files(tmp_path: Path) -> None:
    song, out = sound(tmp_path / "süß 🎸.wav"), tmp_path / "out"
    result = separate("run", song, "-q", "drums", "-o", out)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [
        str(out / "süß 🎸/drums.wav"), str(out / "süß 🎸/residual.wav"),
    ]  # fmt: skip
    assert files(out) == ["süß 🎸/drums.wav", "süß 🎸/residual.wav"]


def test_a_broader_answer_is_said_once_and_recorded_of_each_file(tmp_path: Path) -> None:
    songs, out = [sound(tmp_path / name) for name in ("a.wav", "b.wav")], tmp_path / "out"
    result = separate("run", *songs, "-q", "female singer", "-q", "drums", "-o", out)
    assert result.stderr.count("'female singer' is answered as: vocals\n") == 1
    records = [json.loads(line) for line in (out / "separate.jsonl").read_text().splitlines()]
    assert [record["answered_as"] for record in records] == [{"female singer": "vocals"}] * 2


def test_json_is_the_record(tmp_path: Path) -> None:
    song, out = sound(tmp_path / "a.wav"), tmp_path / "out"
    arguments = ("run", song, tmp_path / "no.wav", "-q", "drums", "-o", out, "--json", "--resume")
    result = separate(*arguments)
    assert result.exit_code == 1
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["input"] for line in lines] == [str(song), str(tmp_path / "no.wav")]
    assert lines[0]["error"] is None and "no such file" in lines[1]["error"]
    assert result.stdout == (out / "separate.jsonl").read_text()
    again = separate(*arguments)
    assert again.stdout.splitlines()[0] == result.stdout.splitlines()[0]
    assert "1 complete already" in again.stderr


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--stems"], ["bass.wav", "drums.wav", "other.wav", "vocals.wav"]),
        (["--two-stems", "vocals"], ["no_vocals.wav", "vocals.wav"]),
        (["--two-stems=vocals", "--mp3", "--mp3-bitrate=96"], ["no_vocals.mp3", "vocals.mp3"]),
        (["-q", "a", "--no-residual", "--flac"], ["a.flac"]),
        (["-q", "a", "-n", "x,y", "-d", "cpu", "-j", "1"], ["a.wav", "residual.wav"]),
        (["-q", "a", "--int24", "--clip-mode", "rescale"], ["a.wav", "residual.wav"]),
        (["-q", "a", "--float32", "--shifts", "1"], ["a.wav", "residual.wav"]),
        (["-q", "a", "--start", "0:00.1", "--end", "0.4"], ["a.wav", "residual.wav"]),
        (["-q", "a", "--not", "b", "--overlap", "0.25"], ["a.wav", "residual.wav"]),
        (["-q", "a", "--format", "ogg", "--segment", "8"], ["a.ogg", "residual.ogg"]),
        (["-q", "-x", "--sum-to-mix", "--strength", "2"], ["residual.wav", "x.wav"]),
    ],
    ids=lambda value: " ".join(value),
)  # fmt: skip
def test_flags(tmp_path: Path, flags: list[str], expected: list[str]) -> None:
    sound(tmp_path / "a.wav")
    result = separate("run", tmp_path / "a.wav", "-o", tmp_path / "out", *flags)
    assert result.exit_code == 0, result.output
    assert files(tmp_path / "out") == [f"a/{name}" for name in expected]


def test_filename_pattern(tmp_path: Path) -> None:
    sound(tmp_path / "a.wav")
    pattern = "{stem} of {track}.{ext}"
    separate("run", tmp_path / "a.wav", "-q", "x", "-o", tmp_path / "out", "--filename", pattern)
    assert files(tmp_path / "out") == ["residual of a.wav", "x of a.wav"]


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        ([], "-q"), (["-q", ""], "empty"), (["-q", "x" * 2000], "longer"),
        (["-q", "a", "--start", "soon"], "--start"), (["-q", "a", "--overlap", "2"], "--overlap"),
        (["-q", "a", "--mp3", "--flac"], "--format"), (["-q", "a", "--format", "aac"], "--format"),
        (["-q", "a", "--int24", "--float32"], "--int24"), (["-q", "a", "-j", "0"], "--jobs"),
        (["--stems", "--two-stems", "a"], "--two-stems"), (["-q", "a", "-d", "tpu"], "--device"),
        (["-q", "a", "--filename", "../{stem}"], "--filename"),
        (["--like", "missing.wav"], "--like"), (["-q", "unanswerable"], "--model"),
    ],
    ids=str,
)  # fmt: skip
def test_wrong_arguments_are_one_line(tmp_path: Path, flags: list[str], word: str) -> None:
    sound(tmp_path / "a.wav")
    result = separate("run", tmp_path / "a.wav", "-o", tmp_path / "out", *flags)
    check_line(result, word)
    out = tmp_path / "out"
    assert not out.exists() or files(out) == []


def test_no_input_and_no_output(tmp_path: Path) -> None:
    check_line(separate("run", "-q", "a"), "input")
    sound(tmp_path / "a.wav")
    (tmp_path / "file").touch()
    check_line(separate("run", tmp_path / "a.wav", "-q", "a", "-o", tmp_path / "file"), "written")


def test_ctrl_c(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("separate.batch.run.run_batch", stop)
    result = separate("run", sound(tmp_path / "a.wav"), "-q", "a", "-o", tmp_path / "out")
    assert result.exit_code == 130
    assert "--resume" in result.stderr


def test_models_are_listed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SEPARATE_CACHE", str(tmp_path))
    listed = separate("models")
    assert listed.exit_code == 0
    assert "separate models get spleeter-2stems" in listed.stdout
    assert separate("run", "--list-models").stdout == listed.stdout
    assert isinstance(json.loads(separate("models", "--json").stdout), list)
    check_line(separate("models", "get", "nothing"), "spleeter-2stems")
    shown = separate("models", "show", "default")
    assert "licence:" in shown.stdout
    assert json.loads(separate("models", "show", "default", "--json").stdout)["sha256"] == "abc"


def test_commands_of_others_are_loaded_when_called(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.metadata import EntryPoint

    from separate.cli import main as cli

    entries = {
        "broken": EntryPoint("broken", "no_such_module:app", "separate.commands"),
        "added": EntryPoint("added", "separate.cli.models:models_app", "separate.commands"),
    }
    monkeypatch.setattr(cli, "_plugins", lambda: entries)
    assert separate("--help").exit_code == 0
    assert "broken" in separate("--help").stdout
    check_line(separate("broken"), "no_such_module")
    assert separate("added", "--help").exit_code == 0
    assert separate("unknown").exit_code == 2


def test_help_is_quick_and_imports_nothing_heavy() -> None:
    program = (
        "import sys, separate.cli.main\n"
        "try: separate.cli.main.app(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'soundfile', 'requests', 'gradio'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    for arguments in (["--help"], ["run", "--help"], ["models", "--help"]):
        before = processor_seconds()
        command = [sys.executable, "-c", program, *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        # Not by the clock: other processes of a busy machine are not this program's fault.
        assert processor_seconds() - before < 0.5, arguments


def processor_seconds() -> float:
    times = os.times()
    return times.children_user + times.children_system


def test_python_m_and_the_version() -> None:
    command = [sys.executable, "-m", "separate", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == f"separate {version('separate-audio')}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "-", "-q", "a"),
        ("lyrics", "-"),
        ("tags", "-"),
        ("run", "a.wav", "-q", "a", "-o", "-"),
    ],
    ids=" ".join,
)
def test_streams_are_refused(arguments: tuple[str, ...]) -> None:
    check_line(separate(*arguments), "'-'")
