"""Names: from inputs to tracks, and from tracks and queries to safe file names.

In: files and folders, query names, the pattern of `--filename`. Out: tracks whose names differ, and
a path inside the output folder for each output, however a query or a file is called.
"""

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from separate.audio import find_audio
from separate.errors import InputError, SettingsError
from separate.settings import Settings

_LONGEST_BYTES = 100  # of a name in UTF-8; file systems take 255, and a pattern may join two
_UNSAFE = re.compile(r'[\\/:*?"<>|\s]')
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)  # on Windows
_JOINER = "\u200d"  # holds emoji together


@dataclass(frozen=True)
class Track:
    """One input file and what its results are called."""

    path: Path
    name: str  # safe; with forward slashes where sub-folders are kept


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


def find_tracks(
    inputs: Sequence[Path], made: Iterable[Path] = (), folder: Path | None = None
) -> list[Track]:
    """List the sound files of some files and folders, each once, under names that differ.

    Args:
        inputs: Files and folders; folders are searched with all that is in them, and the
            sub-folders are kept in the tracks' names.
        made: Files that are results of earlier runs, passed over in folders.
        folder: The output folder, passed over where it lies in an input folder.

    Returns:
        Tracks in the order of the inputs. What is missing, and a folder without sound, stays in as
        it is: it fails when it is opened, and the others go on.
    """
    found: dict[Path, tuple[Path, Path]] = {}  # by real path: the path as given, its name
    results = {path.resolve() for path in made}
    for given in inputs:
        if not given.is_dir():
            found.setdefault(given.resolve(), (given, Path(given.name)))
            continue
        fresh = [
            path
            for path in _search(given)
            if path.resolve() not in results
            and not (folder is not None and _holds(folder.resolve(), path, given.resolve()))
        ]
        for path in fresh:
            found.setdefault(path.resolve(), (path, path.relative_to(given)))
        if not fresh:
            found.setdefault(given.resolve(), (given, Path(given.name or "folder")))
    paths = [path for path, _ in found.values()]
    names = _track_names([(real, name) for real, (_, name) in found.items()])
    return [Track(path, name) for path, name in zip(paths, names, strict=True)]


def _holds(folder: Path, path: Path, searched: Path) -> bool:
    """Whether a path lies in an output folder that itself lies within the searched one."""
    within = folder != searched and folder.is_relative_to(searched)
    return within and path.resolve().is_relative_to(folder)


def _search(folder: Path) -> list[Path]:
    try:
        return find_audio(folder)
    except InputError:
        return []


def _track_names(files: Sequence[tuple[Path, Path]]) -> list[str]:
    """Name files `(real path, relative path)`; where names meet, by extension or parent folder."""

    def with_parent(real: Path, name: Path) -> Path:
        return Path(real.parents[len(name.parts) - 1].name, name)

    levels: list[Callable[[Path, Path], Path]] = [
        lambda real, name: name.with_suffix(""),
        lambda real, name: name,
        lambda real, name: with_parent(real, name).with_suffix(""),
        with_parent,
    ]
    names = [""] * len(files)
    open_files = list(range(len(files)))
    for level in levels:
        for index in open_files:
            names[index] = "/".join(map(safe_name, level(*files[index]).parts))
        counts = Counter(name.casefold() for name in names)
        open_files = [index for index in open_files if counts[names[index].casefold()] > 1]
    return distinct(names)


def plan_outputs(
    tracks: Sequence[Track], stems: dict[str, str], settings: Settings
) -> list[dict[str, str]]:
    """Lay out a batch.

    Args:
        tracks: What is separated.
        stems: File names by stem, see `stem_names`.
        settings: The pattern and the format.

    Returns:
        For each track, paths relative to the output folder by stem.

    Raises:
        SettingsError: With this pattern two outputs would have one path.
    """
    plans = []
    used: set[str] = set()
    for track in tracks:
        plan = {}
        for stem, name in stems.items():
            path = settings.filename.format(track=track.name, stem=name, ext=settings.format)
            plan[stem] = str(PurePosixPath(path.replace("\\", "/")))
            if plan[stem].casefold() in used:
                raise SettingsError(
                    f"--filename {settings.filename!r}: several outputs would be called"
                    f" {plan[stem]!r}; put {{track}} into it"
                )
            used.add(plan[stem].casefold())
        plans.append(plan)
    return plans
