"""Mutation testing: change the code in one place at a time, count the changes that tests notice.

In: source files (default: all of `TARGETS`). Out: each change that no test notices, and the part of
the changes that is noticed. Each runs in a fork of a process that has imported torch. (mutmut can't
import four folders as one package, and cosmic-ray starts Python and torch for each change.)
"""

import argparse
import ast
import contextlib
import difflib
import importlib.abc
import importlib.util
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import CodeType

import pytest

SWAPS: dict[type, type] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult, ast.Mod: ast.Add, ast.Pow: ast.Mult, ast.MatMult: ast.Add,
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
    ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip
TYPES = ("annotation", "returns", "decorator_list", "bases")
BACKENDS = "tests/separate/backends"
TARGETS = {
    "models/stft.py": ["tests/models/test_stft.py"],
    "models/bands.py": ["tests/models/test_bands.py"],
    "separate/stream.py": ["tests/separate/test_stream.py"],
    "separate/backends/exclusion.py": [f"{BACKENDS}/test_exclusion.py"],
    "separate/backends/voice_map.py": [f"{BACKENDS}/test_voice_map.py"],
    "separate/backends/stems.py": [f"{BACKENDS}/test_masking.py"],
    "separate/backends/cascade.py": [f"{BACKENDS}/test_routing.py"],
    "separate/backends/masking.py": [f"{BACKENDS}/test_masking.py"],
    "separate/backends/nets.py": [f"{BACKENDS}/test_masking.py"],
}


def variants(node: ast.AST) -> Iterator[tuple[str, object]]:
    """Yield (field, new value) for each change of one node."""
    if isinstance(node, ast.BinOp | ast.BoolOp | ast.AugAssign) and type(node.op) in SWAPS:
        yield "op", SWAPS[type(node.op)]()
    if isinstance(node, ast.Compare):
        yield "ops", [SWAPS[type(node.ops[0])](), *node.ops[1:]]
    if isinstance(node, ast.Constant) and isinstance(node.value, bool | int | float):
        yield "value", not node.value if isinstance(node.value, bool) else node.value + 1
    if isinstance(node, ast.If | ast.IfExp | ast.While):
        yield "test", ast.UnaryOp(ast.Not(), node.test)
    for field in ("body", "orelse", "finalbody"):
        block = getattr(node, field, None)
        for index, line in enumerate(block if isinstance(block, list) else []):
            is_call = isinstance(line, ast.Expr) and isinstance(line.value, ast.Call)
            if is_call or isinstance(line, ast.AugAssign | ast.Raise):
                yield field, [*block[:index], ast.Pass(), *block[index + 1 :]]


def behaving(node: ast.AST) -> Iterator[ast.AST]:
    """Walk a tree without its types, decorators and assertions (`strict=` of a zip is one)."""
    yield node
    for field, value in ast.iter_fields(node):
        children = value if isinstance(value, list) else [value]
        for child in children if field not in TYPES else []:
            is_check = isinstance(child, ast.Assert) or getattr(child, "arg", None) == "strict"
            if isinstance(child, ast.AST) and not is_check:
                yield from behaving(child)


def mutants(path: Path) -> Iterator[tuple[str, CodeType]]:
    """Yield each change as text, and the module's code with it."""
    tree = ast.parse(path.read_text())
    whole = ast.unparse(tree).splitlines()
    for node in behaving(tree):
        for field, value in variants(node):
            kept = getattr(node, field)
            setattr(node, field, value)
            changed = ast.unparse(tree).splitlines()
            lines = [line for line in difflib.ndiff(whole, changed) if line[0] in "-+"]
            code = compile(ast.fix_missing_locations(tree), str(path), "exec")
            yield f"{path}:{getattr(node, 'lineno', 0)}: {' | '.join(lines)[:200]}", code
            setattr(node, field, kept)


class Changed(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports one module from changed code."""

    def __init__(self, name: str, path: Path, code: CodeType) -> None:
        self.name, self.path, self.code = name, path, code

    def find_spec(self, name, path, target=None):  # type: ignore  # noqa: D102
        if name == self.name:
            return importlib.util.spec_from_file_location(name, self.path, loader=self)
        return None

    def exec_module(self, module):  # type: ignore  # noqa: D102
        exec(self.code, module.__dict__)


def passes(tests: list[str], finder: Changed | None, limit_seconds: float) -> bool:
    """Run tests in a fork; whether all pass within the limit."""
    if (child := os.fork()) == 0:
        os.setpgid(0, 0)
        for stream in (1, 2):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
        sys.meta_path[:0] = [finder] if finder else []
        code = 1
        with contextlib.suppress(BaseException):
            code = int(pytest.main(["-x", "--tb=no", "-p", "no:cacheprovider", *tests]))
        os._exit(code)
    end = time.monotonic() + limit_seconds
    while (done := os.waitpid(child, os.WNOHANG))[0] == 0:
        if time.monotonic() > end:
            os.killpg(child, signal.SIGKILL)
        time.sleep(0.02)
    return done[1] == 0


def main() -> None:
    """Change the files, run their tests, print what is not noticed."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("files", nargs="*", default=list(TARGETS))
    files = parser.parse_args().files
    os.environ |= {"OMP_NUM_THREADS": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    import safetensors.torch, soundfile, soxr, torch, typer  # noqa

    noticed = total = 0
    for file in files:
        name = "separate." * file.startswith("models/") + file.removesuffix(".py").replace("/", ".")
        begun = time.monotonic()
        if not passes(TARGETS[file], None, 600):
            sys.exit(f"{file}: its tests fail without a change; run pytest {TARGETS[file]}")
        limit = 10 * (time.monotonic() - begun) + 20
        found = list(mutants(Path(file)))
        for text, code in found:
            survives = passes(TARGETS[file], Changed(name, Path(file), code), limit)
            noticed += not survives
            if survives:
                print(text, flush=True)
        total += len(found)
        print(f"{file}: {len(found)} changes; so far {noticed} of {total} noticed", flush=True)
    print(f"{noticed / total:.0%} of {total} changes noticed")


if __name__ == "__main__":
    main()
