"""docs/architecture.md is true: its files exist, its layers are those of the arrows' test."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def home(name: str) -> Path:
    """Where a file or folder is: the page writes paths below `separate/` without it."""
    return next((path for path in (ROOT / "separate" / name, ROOT / name) if path.exists()), ROOT)


def test_every_file_and_folder_of_the_page_exists() -> None:
    names = set(re.findall(r"[a-z_0-9/]+\.py|(?<=`)[a-z_0-9/]+/(?=`)", PAGE))
    assert len(names) > 20
    assert [name for name in sorted(names) if home(name) == ROOT] == []


def test_every_name_of_a_step_stands_in_its_files() -> None:
    steps = re.findall(r'\["(q?\d+) (.*?)<br/>(.*?)"\]', PAGE)
    assert [step for step, _, _ in steps] == [*map(str, range(1, 13)), "q1", "q2", "q3", "q4"]
    for step, text, files in steps:
        source = "\n".join(home(name).read_text(encoding="utf-8") for name in files.split(", "))
        for name in re.findall(r"[a-z]+_[a-z_]+|(?:[A-Z][a-z]+){2,}", text.split(":")[0]):
            assert re.search(rf"\b{name}\b", source), f"step {step}: no {name} in {files}"


def test_the_layers_are_those_of_the_arrows() -> None:
    rows = re.findall(r"^\| (\d+) \| (.*?) \|", PAGE, re.MULTILINE)
    found = tuple(tuple(re.findall(r"`(\w+)`", names)) for _, names in rows)
    arrows = (ROOT / "tests" / "test_arrows.py").read_text(encoding="utf-8")
    (text,) = re.findall(r"^LAYERS = (\(.*?^\))", arrows, re.MULTILINE | re.DOTALL)
    assert found == ast.literal_eval(text)
    assert [int(number) for number, _ in rows] == list(range(1, len(found) + 1))
