"""Which module may import which: the table of layers, no circles, and one home of torchaudio."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("separate", "models", "evals", "app")

# From the command line down to numbers. A module imports from its own row and the rows below it.
LAYERS = (
    ("app", "evals"),
    ("cli", "__main__"),
    ("train",),
    ("corpus",),
    ("auto", "lyrics"),
    ("batch",),
    ("open", "insides"),
    ("separator",),
    ("backends",),
    ("queries",),
    ("weights",),
    ("stream",),
    ("audio",),
    ("settings", "renamed", "sdr", "memory", "files"),
    ("errors",),
    ("models",),
)
# `app` and `evals` use the library and never each other; renderer and library know no training.
FORBIDDEN = {("app", "evals"), ("evals", "app"), ("auto", "lyrics"), ("lyrics", "auto")}


def modules() -> dict[str, Path]:
    """All modules by their dotted name."""
    found = {}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            parts = list(path.relative_to(ROOT).with_suffix("").parts)
            parts = parts if package == "separate" else ["separate", *parts]
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def imported(path: Path) -> Iterator[str]:
    """Names of all modules that a file imports, at its top, in functions and for types."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                yield name if name in MODULES else str(node.module)


ARROWS = {
    name: {other for other in imported(path) if other in MODULES and other != name}
    for name, path in MODULES.items()
}


def layer(module: str) -> int | None:
    """The row of a module; None for `separate/__init__.py`, whose names are loaded when asked."""
    parts = module.split(".")
    if len(parts) == 1:
        return None
    rows = [row for row, names in enumerate(LAYERS) if parts[1] in names]
    assert rows, f"{module} stands in no layer of tests/test_arrows.py"
    return rows[0]


@pytest.mark.parametrize("module", sorted(MODULES))
def test_no_arrow_runs_upward(module: str) -> None:
    own = layer(module)
    for other in ARROWS[module]:
        below = layer(other)
        if own is None or below is None:
            continue
        assert below >= own, f"{module} imports {other}, which stands above it"
        pair = module.split(".")[1], other.split(".")[1]
        assert pair not in FORBIDDEN, f"{module} imports {other}"
        if pair[0] in ("app", "evals"):
            assert pair[1] != "models", f"{module} imports {other}: `separate` publishes it"


def test_no_circles() -> None:
    done: set[str] = set()

    def visit(module: str, way: tuple[str, ...]) -> None:
        assert module not in way, f"a circle: {' -> '.join((*way[way.index(module) :], module))}"
        if module not in done:
            for other in ARROWS[module] - {"separate"}:
                visit(other, (*way, module))
            done.add(module)

    for module in MODULES:
        visit(module, ())


def test_one_module_imports_torchaudio() -> None:
    importers = {
        path.name
        for path in MODULES.values()
        if any(name.split(".")[0] == "torchaudio" for name in imported(path))
    }
    assert importers <= {"torchaudio_compat.py"}


def test_all_folders_are_installed() -> None:
    tomllib = pytest.importorskip("tomllib")  # from Python 3.11 on
    data = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    installed = set(data["tool"]["setuptools"]["packages"])
    folders = {name for name, path in MODULES.items() if path.name == "__init__.py"}
    assert installed == folders
