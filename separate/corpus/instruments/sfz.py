"""Parse SFZ instruments into the regions that a sampler plays.

Headers, includes and macros are resolved. Supported: key and velocity ranges, round robins, random
choices, tuning, gain, velocity curves, attack and release, offsets, loops, attack and release
triggers, and controllers at their preset positions. Filters, LFOs and keyswitches are ignored: the
instruments in use need none, and amplifiers and rooms are applied later.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from separate.errors import DataError

_NOTES = {"c": 0, "d": 2, "e": 4, "f": 5, "g": 7, "a": 9, "b": 11}
_OPCODE = re.compile(r"(\w+)=(.*?)(?=\s+\w+=|\s*$)")
_SCOPES = ("control", "global", "master", "group", "region")


@dataclass(frozen=True)
class Region:
    """One sample and when and how it sounds."""

    sample: Path
    keys: tuple[int, int]  # lowest and highest key
    velocities: tuple[int, int]
    sequence: tuple[int, int]  # position and length of the round robin, from 1
    chance: tuple[float, float]  # sounds where a random number lies in this interval
    keycenter: float  # key, with fractions for the tuning, at which the sample plays at its rate
    keytrack: float  # semitones a key
    gain: float  # linear
    velocity_curve: tuple[tuple[int, float], ...]  # (velocity, gain) points, rising
    attack: float  # seconds
    release: float  # seconds
    offset: int  # samples skipped at the start
    loop: tuple[int, int] | None  # samples
    trigger: str  # attack or release


def read_sfz(path: Path) -> list[Region]:
    """Return the regions of an instrument that can sound with its controllers as preset.

    Raises:
        DataError: The file is missing, or no region has its sample.
    """
    try:
        lines = list(_lines(path, {}, path.parent))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error}); fetch this instrument again") from error
    scopes: dict[str, dict[str, str]] = {name: {} for name in _SCOPES}
    controls: dict[int, float] = {}
    regions: list[Region] = []
    for header, opcodes in _blocks(lines):
        if header not in scopes:
            continue
        for inner in _SCOPES[_SCOPES.index(header) :]:
            if inner != "control" or header == "control":
                scopes[inner] = {} if inner != "control" else scopes["control"]
        scopes[header].update(opcodes)
        if header == "control":
            controls.update(_presets(opcodes))
        elif header == "region":
            merged = {key: value for scope in scopes.values() for key, value in scope.items()}
            region = _region(merged, controls, path.parent)
            if region:
                regions.append(region)
    if not regions:
        raise DataError(f"{path}: none of its samples was found; fetch this instrument again")
    return regions


def _lines(path: Path, macros: dict[str, str], root: Path) -> Iterator[str]:
    text = path.read_text(errors="replace")
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    for raw in text.splitlines():
        line = raw.split("//")[0].strip()
        for name in sorted(macros, key=len, reverse=True):
            line = line.replace(name, macros[name])
        defined = re.match(r"#define\s+(\$\w+)\s+(\S*)", raw.strip())
        if defined:
            macros[defined[1]] = defined[2]
            continue
        included = re.search(r'#include\s+"([^"]+)"', line)
        if included:
            yield from _lines(root / included[1].replace("\\", "/"), macros, root)
        elif line:
            yield line


def _blocks(lines: list[str]) -> Iterator[tuple[str, dict[str, str]]]:
    header, opcodes = "", dict[str, str]()
    for line in lines:
        for piece in re.split(r"(<\w+>)", line):
            if piece.startswith("<"):
                if header:
                    yield header, opcodes
                header, opcodes = piece[1:-1], {}
            else:
                opcodes.update((key, value.strip()) for key, value in _OPCODE.findall(piece))
    if header:
        yield header, opcodes


def _presets(opcodes: dict[str, str]) -> dict[int, float]:
    found = {}
    for key, value in opcodes.items():
        if match := re.fullmatch(r"set_(hd)?cc(\d+)", key):
            found[int(match[2])] = float(value) * (127 if match[1] else 1)
    return found


def _key(value: str) -> int:
    match = re.fullmatch(r"([a-gA-G])([#b]?)(-?\d+)", value)
    if match:
        sharp = {"#": 1, "b": -1, "": 0}[match[2]]
        return _NOTES[match[1].lower()] + sharp + 12 * (int(match[3]) + 1)
    return int(float(value))


def _region(op: dict[str, str], controls: dict[int, float], root: Path) -> Region | None:
    trigger = op.get("trigger", "attack")
    gain = _control_gain(op, controls)
    if trigger not in ("attack", "release") or gain <= 1e-4 or "sample" not in op:
        return None
    sample = root / (op.get("default_path", "") + op["sample"]).replace("\\", "/")
    if not sample.exists():
        return None
    lowest, highest = _key(op.get("lokey", "0")), _key(op.get("hikey", "127"))
    center = op.get("pitch_keycenter", "60")
    if "key" in op:
        lowest = highest = _key(op["key"])
        center = op.get("pitch_keycenter", op["key"])
    tuning = float(op.get("tune", 0)) / 100 + float(op.get("transpose", 0))
    decibels = sum(float(op.get(key, 0)) for key in ("volume", "group_volume", "master_volume"))
    loop = None
    if op.get("loop_mode", "").startswith("loop") and "loop_end" in op:
        loop = (int(op.get("loop_start", 0)), int(op["loop_end"]))
    return Region(
        sample=sample,
        keys=(lowest, highest),
        velocities=(int(op.get("lovel", 0)), int(op.get("hivel", 127))),
        sequence=(int(op.get("seq_position", 1)), int(op.get("seq_length", 1))),
        chance=(float(op.get("lorand", 0)), float(op.get("hirand", 1))),
        keycenter=_key(center) - tuning,
        keytrack=float(op.get("pitch_keytrack", 100)) / 100,
        gain=gain * 10 ** (decibels / 20),
        velocity_curve=_velocity_curve(op),
        attack=min(float(op.get("ampeg_attack", 0)), 0.1),
        release=float(np.clip(float(op.get("ampeg_release", 0.05)), 0.03, 2.0)),
        offset=int(op.get("offset", 0)),
        loop=loop,
        trigger=trigger,
    )


def _control_gain(op: dict[str, str], controls: dict[int, float]) -> float:
    """Return what the controllers leave of a region; 0 where it does not sound at all."""
    gain = float(op.get("amplitude", 100)) / 100
    for key, value in op.items():
        match = re.fullmatch(r"(locc|hicc|amplitude_(?:on)?cc|xfin_hicc|xfout_locc)(\d+)", key)
        if not match:
            continue
        position = controls.get(int(match[2]), 0.0)
        if (match[1] == "locc" and position < float(value)) or (
            match[1] == "hicc" and position > float(value)
        ):
            return 0.0
        if match[1].startswith("amplitude") and match[2] != "7":
            gain *= float(value) / 100 * position / 127
        elif match[1] == "xfin_hicc":
            gain *= np.sqrt(min(1.0, position / max(float(value), 1)))
        elif match[1] == "xfout_locc":
            gain *= np.sqrt(1 - max(0.0, position - float(value)) / max(127 - float(value), 1))
    return float(gain)


def _velocity_curve(op: dict[str, str]) -> tuple[tuple[int, float], ...]:
    points = {
        int(match[1]): float(value)
        for key, value in op.items()
        if (match := re.fullmatch(r"amp_velcurve_(\d+)", key))
    }
    if points:
        return tuple(sorted({0: 0.0, 127: 1.0, **points}.items()))
    track = float(op.get("amp_veltrack", 100)) / 100
    velocities = (*range(0, 128, 8), 127)
    return tuple((velocity, 1 - track * (1 - (velocity / 127) ** 2)) for velocity in velocities)
