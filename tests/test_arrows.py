"""The arrows between the packages: app -> separate, evals -> separate, separate -> models."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ALLOWED = {
    "models": {"models"},
    "separate": {"separate", "models"},
    "evals": {"evals", "separate"},
    "app": {"app", "separate"},
}


def imported(path: Path) -> set[str]:
    """Names of the modules of ours that a file imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.add(node.module or "")
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in names if name.split(".")[0] == "separate"}


def package_of(module: str) -> str:
    """The top-level folder that a module lies in."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in ("models", "evals", "app") else "separate"


@pytest.mark.parametrize("package", sorted(ALLOWED))
def test_no_other_arrow(package: str) -> None:
    for path in (ROOT / package).rglob("*.py"):
        for module in imported(path):
            if module == "separate":
                continue
            assert package_of(module) in ALLOWED[package], f"{path.relative_to(ROOT)}: {module}"


def test_one_module_imports_torchaudio() -> None:
    importers = []
    for package in ALLOWED:
        for path in (ROOT / package).rglob("*.py"):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            for node in ast.walk(tree):
                names = (
                    [alias.name for alias in node.names]
                    if isinstance(node, ast.Import)
                    else [node.module or ""]
                    if isinstance(node, ast.ImportFrom)
                    else []
                )
                if any(name.split(".")[0] == "torchaudio" for name in names):
                    importers.append(path.name)
    assert set(importers) <= {"torchaudio_compat.py"}
