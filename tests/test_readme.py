"""The README's Python runs as it stands, and its commands are commands."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from separate import example_path

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
PAGES = (README, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))


def blocks(language: str, page: Path = README) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("code", blocks("python"))
def test_python_blocks_run(code: str, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, timeout=300)
    assert (tmp_path / "drums.wav").stat().st_size > 100_000


def test_the_first_command_makes_the_files_it_names(tmp_path: Path) -> None:
    command = next(b for b in blocks("sh") if b.startswith("separate run")).split("\n")[0]
    shutil.copy(example_path(), tmp_path / "song.wav")
    words = ["-q", "drums", "-q", "no vocals", "-o", "out"]
    assert command == 'separate run song.wav -q drums -q "no vocals" -o out'
    run = [
        sys.executable,
        "-c",
        "from separate.cli.main import main; main()",
        "run",
        "song.wav",
        *words,
    ]
    subprocess.run(run, cwd=tmp_path, check=True, timeout=300)
    made = {path.name for path in (tmp_path / "out" / "song").iterdir()}
    assert made == {"drums.wav", "no vocals.wav", "residual.wav"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_exist(page: Path) -> None:
    lines = [line for block in blocks("sh", page) for line in block.splitlines()]
    names = {line.split()[1] for line in lines if line.startswith("separate ")}
    known = {"run", "tags", "lyrics", "app", "models", "train", "data", "eval", "bench", "verify"}
    assert names <= known


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_and_headings(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)", page.read_text(encoding="utf-8"))
    for path, heading in links:
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), path
        if heading:
            titles = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            assert heading in {re.sub(r"[^\w -]", "", t).lower().replace(" ", "-") for t in titles}


def test_the_readme_stays_short() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 200
