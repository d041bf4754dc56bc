"""Hostile input: no traceback, no hang, no flood of memory, nothing half-written.

Forty cases by default; a thousand by `make hostile`.
"""

import json
import os
import pickle
import struct
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from audio_helpers import needs_ffmpeg
from damage import SOUNDFILE, Damage, damages, file_names, good_files, queries
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from separate.audio import read_audio
from separate.errors import SeparateError
from separate.models.registry import find
from separate.weights.store import models_dir

CASES = int(os.environ.get("SEPARATE_HOSTILE_CASES", "40"))
SECONDS = 20.0  # a case may take
PEAK_BYTES = 1_500_000_000  # and hold
thorough = settings(
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


class Program:
    """The command line, run case by case; see `forking`."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).parent / "forking.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"},
        )

    def run(self, arguments: list[str], folder: Path) -> dict[str, Any]:
        """Run one command line in a folder."""
        assert self._process.stdin is not None and self._process.stdout is not None
        order = {"arguments": arguments, "folder": str(folder), "seconds": SECONDS}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        result: dict[str, Any] = json.loads(self._process.stdout.readline())
        return result

    def close(self) -> None:
        """End the process."""
        self._process.communicate(timeout=30)


@pytest.fixture(scope="module")
def program() -> Iterator[Program]:
    program = Program()
    yield program
    program.close()


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return good_files(tmp_path_factory.mktemp("good"))


@contextmanager
def folder() -> Iterator[Path]:
    with TemporaryDirectory(prefix="hostile-") as name:
        yield Path(name)


def check(result: dict[str, Any], place: Path) -> None:
    """Nothing of what a user must never see."""
    told = f"{result['err'][-2000:]}\n{result['out'][-500:]}"
    assert "Traceback" not in told, told
    assert result["code"] in (0, 1, 2), (result["code"], told)
    assert result["seconds"] < SECONDS and result["peak"] < PEAK_BYTES, result
    if result["code"] == 1:
        errors = [line for line in result["err"].split("\n") if line.startswith("error: ")]
        assert len(errors) == 1, told
        check_printable(errors[0])
    left = [path for path in (place / "out").rglob("*") if path.is_file()]
    for path in left:
        assert ".part" not in path.name, left
        if path.suffix == ".wav":
            samples, _ = read_audio(path)  # whole and finite, or it raises
            assert samples.size


def check_printable(line: str) -> None:
    """A line of text neither moves the cursor nor turns the direction of reading."""
    bad = [
        c
        for c in line
        if unicodedata.category(c) == "Cc" or c in "\u202a\u202b\u202d\u202e\u2066\u2067"
    ]
    assert not bad, repr(line)


@needs_ffmpeg
@settings(thorough, max_examples=CASES * 6 // 10)
@given(data=st.data(), damage=damages(), stem=file_names())
def test_damaged_files(
    program: Program, good: dict[str, bytes], data: st.DataObject, damage: Damage, stem: str
) -> None:
    name = data.draw(st.sampled_from(sorted(good)), "format")
    if damage.kind in ("wav-header", "samples"):
        name = "pcm16.wav"
    with folder() as place:
        suffix = name[name.rindex(".") :]
        path = place / f"{stem[: 250 - len(suffix)]}{suffix}"
        try:
            path.write_bytes(damage.apply(good[name]))
        except OSError:  # a name that this file system refuses
            return
        arguments = ["run", "-q", "drums", "-o", "out", "--", path.name]
        check(program.run(arguments, place), place)


@settings(thorough, max_examples=CASES // 4)
@given(text=queries(), other=queries())
def test_query_texts(program: Program, good: dict[str, bytes], text: str, other: str) -> None:
    if any("\0" in part or _is_lone(part) for part in (text, other)):
        return  # no command line can carry it
    with folder() as place:
        (place / "a.wav").write_bytes(good["pcm16.wav"])
        arguments = ["run", "a.wav", "-q", text[:120_000], "--not", other[:120_000], "-o", "out"]
        result = program.run(arguments, place)
        check(result, place)
        for path in place.rglob("*"):
            assert path.resolve().is_relative_to(place.resolve())


def _is_lone(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


class Danger:
    """A pickle that makes a file when it is read."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self._path,)


@pytest.fixture(scope="module")
def model(program: Program) -> tuple[bytes, str]:
    """Weights and card of the smallest mask model: random, but whole."""
    path = find("default", [models_dir()])
    return path.read_bytes(), path.with_suffix(".json").read_text(encoding="utf-8")


@settings(thorough, max_examples=CASES * 15 // 100)
@given(data=st.data())
def test_model_files(
    program: Program, good: dict[str, bytes], model: tuple[bytes, str], data: st.DataObject
) -> None:
    weights, card = model
    with folder() as place:
        evil = data.draw(st.sampled_from(("cut", "header", "flip", "names", "pickle", "card")))
        broken = bytearray(weights)
        size = struct.unpack("<Q", weights[:8])[0]
        if evil == "cut":
            del broken[data.draw(st.integers(0, len(weights) - 1)) :]
        elif evil == "header":
            broken[:8] = struct.pack("<Q", data.draw(st.integers(0, 2**64 - 1)))
        elif evil == "flip":
            at = data.draw(st.integers(8, 7 + size))
            broken[at] ^= 1 << data.draw(st.integers(0, 7))
        elif evil == "names":
            head = weights[8 : 8 + size].replace(b'"shape":[', b'"shape":[1,', 3)
            broken[:] = struct.pack("<Q", len(head)) + head + weights[8 + size :]
        elif evil == "pickle":
            broken[:] = pickle.dumps(Danger(place / "ran"))
        else:
            text = data.draw(st.text(max_size=40))
            card = card[: data.draw(st.integers(0, len(card)))] + text
        (place / "bad.safetensors").write_bytes(bytes(broken))
        (place / "bad.json").write_text(card, encoding="utf-8", errors="replace")
        (place / "a.wav").write_bytes(good["pcm16.wav"])
        arguments = ["run", "a.wav", "-q", "drums", "-n", "bad.safetensors", "-o", "out"]
        result = program.run(arguments, place)
        check(result, place)
        assert result["code"] == 1, result
        assert not (place / "ran").exists()


def test_damage_is_refused_as_a_library_error(good: dict[str, bytes], tmp_path: Path) -> None:
    for name in SOUNDFILE:  # a stream without a declared length may end anywhere
        path = tmp_path / name
        path.write_bytes(good[name][: len(good[name]) // 3])
        with pytest.raises(SeparateError):
            read_audio(path)
