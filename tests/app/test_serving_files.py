"""The Dockerfile is linted; the systemd unit starts a command with options that exist."""

import configparser
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from separate.app.commands import app_app

SERVING = Path(__file__).parents[2] / "docs" / "serving"


def options() -> set[str]:
    return set(re.findall(r"--[a-z-]+", CliRunner().invoke(app_app, ["--help"]).output))


def test_the_dockerfile_passes_hadolint():
    beside = Path(sys.executable).parent / "hadolint"
    program = str(beside) if beside.exists() else shutil.which("hadolint")
    if program is None:
        pytest.skip("hadolint is not installed; it comes with the extra `dev`")
    done = subprocess.run([program, SERVING / "Dockerfile"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_container_runs_as_nobody_special_and_is_watched():
    text = (SERVING / "Dockerfile").read_text(encoding="utf-8")
    users = re.findall(r"^USER (.+)$", text, re.MULTILINE)
    assert users and users[-1] not in ("root", "0")
    assert "HEALTHCHECK" in text and "/health" in text
    assert set(re.findall(r"--(?:host|port)\b", text)) <= options()
    for copied in re.findall(r"^COPY (.+) \S+$", text, re.MULTILINE):
        assert all((SERVING.parents[1] / name).exists() for name in copied.split())


def test_the_unit_starts_what_exists():
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(SERVING / "separate-app.service", encoding="utf-8")
    command = unit["Service"]["ExecStart"]
    assert set(re.findall(r"--[a-z-]+", command)) <= options()
    assert unit["Service"]["User"] != "root" and unit["Service"]["NoNewPrivileges"] == "yes"


def test_help_imports_nothing_heavy():
    code = (
        "import sys; import separate.app.commands;"
        " print([m for m in ('torch', 'numpy', 'gradio', 'fastapi') if m in sys.modules])"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=SERVING)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--auth", "/nowhere/accounts"], "name:password"),
        (["--root-path", "music"], "--root-path"),
        (["--port", "99999"], "--port"),
        (["--model", "no-such-model"], "no-such-model"),
        (["--host", "192.0.2.1"], "--host 192.0.2.1"),
    ],
)
def test_a_wrong_option_is_one_line(arguments, word):
    result = CliRunner().invoke(app_app, arguments)
    assert result.exit_code == 1 and word in str(result.exception)
