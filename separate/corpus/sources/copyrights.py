"""Find the licence of a file of a Debian package in the package's copyright file.

The result is the licence's name, its class and the author, or the reason why it is unclear.

A machine-readable copyright file
(https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/) names the files of the source
package, whose folders differ from the installed ones. So a pattern is compared with every ending of
the installed path; where only endings of patterns match, all matches count and the narrowest class
decides. Free-form copyright files, and licences that only one game has, were read by a person;
`licences.json` holds the result.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path

from separate.corpus.sources.licences import licence_class, narrowest

READINGS_PATH = Path(__file__).parent / "licences.json"
_OF_CODE = {"debian", "src", "lib", "cmake"}  # folders of a source package without recordings


@dataclass(frozen=True)
class Licence:
    """What a file may be used under."""

    name: str
    licence_class: str  # free, sharealike, nc, research; empty where it is unclear
    credit: str = ""  # copyright holders
    reason: str = ""  # why it is unclear


@dataclass(frozen=True)
class _Stanza:
    patterns: tuple[str, ...]
    licence: str
    credit: str


def licence_of(path: str, text: str, package: str = "") -> Licence:
    """Return the licence of one file of a package.

    Args:
        path: As it is installed, below the package's root: `usr/share/game/music/song.ogg`.
        text: The package's copyright file.
        package: Its name, for the readings of free-form copyright files.
    """
    reading = _readings()["packages"].get(package)
    if reading:
        return Licence(reading["licence"], reading["class"], reading["credit"])
    stanzas = _stanzas(text)
    if not stanzas:
        return Licence("", "", reason="the copyright file is free text; read it and name --licence")
    found = _matching(path, stanzas)
    if not found:
        return Licence("", "", reason="no stanza of the copyright file names it")
    classes = [class_of(stanza.licence) for stanza in found]
    if "" in classes:
        name = found[classes.index("")].licence or "none"
        return Licence("", "", reason=f"its licence is unclear ({name})")
    name = " / ".join(dict.fromkeys(stanza.licence for stanza in found))
    credit = "; ".join(dict.fromkeys(stanza.credit for stanza in found if stanza.credit))
    return Licence(name, narrowest(classes), credit)


def class_of(name: str) -> str:
    """Return the class of a licence's short name; empty where it is not known.

    Of alternatives (`or`) the freest counts, of several (`and`) the narrowest.
    """
    options = []
    for option in re.split(r"(?i)\s+or\s+|\s*\|\s*", name.strip()):
        parts = [_class_of_one(part) for part in re.split(r"(?i)\s+and\s+|,\s*", option) if part]
        if parts and "" not in parts:
            options.append(narrowest(parts))
    return min(options, key=("free", "sharealike", "nc", "research").index, default="")


def _class_of_one(name: str) -> str:
    known = _readings()["licences"].get(name.strip().casefold())
    if known:
        return str(known["class"])
    found = licence_class(name)
    return "" if found == "research" else found


def _matching(path: str, stanzas: Sequence[_Stanza]) -> list[_Stanza]:
    """Return the last stanza that names the path, or all that may name it."""
    parts = path.removeprefix("./").split("/")
    endings = ["/".join(parts[start:]) for start in range(len(parts))]
    whole = [
        s for s in stanzas if any(_fits(e, p) for p in s.patterns if p != "*" for e in endings)
    ]
    if whole:
        return whole[-1:]
    loose = [s for s in stanzas if any(_fits_loosely(endings, p) for p in s.patterns)]
    return loose or [s for s in stanzas if "*" in s.patterns][-1:]


def _fits(ending: str, pattern: str) -> bool:
    return fnmatchcase(ending, pattern) and pattern.split("/")[0] not in _OF_CODE


def _fits_loosely(endings: Sequence[str], pattern: str) -> bool:
    """Compare endings of a pattern that still name a folder or the whole file."""
    parts = pattern.split("/")
    if parts[0] in _OF_CODE:
        return False
    tails = ["/".join(parts[start:]) for start in range(1, len(parts))]
    named = [tail for tail in tails if not tail.startswith("*")]
    return any(fnmatchcase(ending, tail) for tail in named for ending in endings)


@lru_cache(maxsize=64)
def _stanzas(text: str) -> tuple[_Stanza, ...]:
    """Read the `Files` stanzas of a machine-readable copyright file."""
    if not re.match(r"\s*Format(-Specification)?:", text):
        return ()
    stanzas = []
    for block in re.split(r"\n[ \t]*\n", text):
        fields = _fields(block)
        if "files" in fields:
            patterns = fields["files"].replace(",", " ").split()
            joined = _with_spaces(fields["files"].splitlines())
            licence = fields.get("license", "").split("\n")[0].strip()
            credit = "; ".join(line.strip() for line in fields.get("copyright", "").splitlines())
            wanted = (pattern.removeprefix("./") for pattern in (*patterns, *joined))
            stanzas.append(_Stanza(tuple(dict.fromkeys(wanted)), licence, credit.strip("; ")))
    return tuple(stanzas)


def _with_spaces(lines: Sequence[str]) -> list[str]:
    """Return lines that are one path with spaces in it, against the format's rules."""
    stripped = (line.strip() for line in lines)
    return [line for line in stripped if " " in line and line.count(".") == 1]


def _fields(block: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    name = ""
    for line in block.splitlines():
        if line[:1] in (" ", "\t"):
            if name:
                fields[name] += "\n" + line
        elif ":" in line:
            name, _, value = line.partition(":")
            name = name.strip().casefold()
            fields[name] = value.strip()
    return fields


@lru_cache(maxsize=1)
def _readings() -> dict[str, dict[str, dict[str, str]]]:
    content: dict[str, dict[str, dict[str, str]]] = json.loads(READINGS_PATH.read_text())
    return content
