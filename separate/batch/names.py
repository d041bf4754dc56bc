"""Safe file names for any text, and names that differ from each other."""

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Sequence

_LONGEST_BYTES = 100  # of a name in UTF-8; file systems take 255, and a pattern may join two
_UNSAFE = re.compile(r'[\\/:*?"<>|\s]')
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)  # on Windows
_JOINER = "\u200d"  # holds emoji together


def safe_name(text: str) -> str:
    """Make any text the name of a file or folder on any system.

    Returns:
        At most 100 bytes of UTF-8, without separators, control characters and leading dots or
        dashes; a longer text ends in a hash of the whole, so that it stays distinct.
    """
    text = unicodedata.normalize("NFC", text)
    name = _UNSAFE.sub(lambda match: " " if match.group() == " " else "_", text)
    kept = (c for c in name if c == _JOINER or unicodedata.category(c)[0] != "C")
    name = "".join(kept).strip(" .").lstrip("-")
    if not name.strip("_. "):
        name = f"_{_digest(text)}" if text.strip() else "_"
    if _RESERVED.match(name):
        name = f"_{name}"
    if len(name.encode()) > _LONGEST_BYTES:
        room = _LONGEST_BYTES - 9
        name = f"{name.encode()[:room].decode(errors='ignore').rstrip(' .')}-{_digest(text)}"
    return name


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:8]


def distinct(names: Iterable[str], taken: Iterable[str] = ()) -> list[str]:
    """Number names that are already taken, also where only upper and lower case differ."""
    used = {name.casefold() for name in taken}
    results = []
    for name in names:
        candidate, number = name, 1
        while candidate.casefold() in used:
            number += 1
            candidate = f"{name} ({number})"
        used.add(candidate.casefold())
        results.append(candidate)
    return results


def stem_names(stems: Sequence[str]) -> dict[str, str]:
    """Map names of queries and of the residual to file names that differ."""
    return dict(zip(stems, distinct(map(safe_name, stems)), strict=True))
