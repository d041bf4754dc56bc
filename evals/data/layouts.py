"""Which files of a song's folder are stems, and which one is the mixture.

The mixture is recognised by its name in any case ("Mixture", "song - full mix", "master") and has
to resemble the sum of the stems. MoisesDB's layout is known: a folder a stem beside `data.json`, a
file a track in it. MedleyDB's is refused, because its stems are named in YAML alone.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from separate.audio import AUDIO_EXTENSIONS
from separate.errors import DataError
from separate.queries.vocabulary import label_of

_NAMES = ("mixture", "full mix", "fullmix", "mixdown", "mix", "master")
_ENDS_IN_MIXTURE = re.compile(rf"(?:^|[\s_.()\[\]-])({'|'.join(_NAMES)})$")
_LEAST_CORRELATION = 0.5
_MOISES_OWN = ("vocals", "drums", "bass")  # MoisesDB's four stems; its others are "other"
_MOISES_STEMS = frozenset({
    *_MOISES_OWN, "guitar", "piano", "other_keys", "other_plucked", "percussion", "bowed_strings",
    "wind", "other",
})  # fmt: skip

Files = dict[str, list[Path]]  # the files of each stem, by its label


def stem_files(folder: Path) -> Files:
    """Return the files of a song by their names; of MoisesDB's by their folders.

    Raises:
        DataError: The folder has MedleyDB's layout.
    """
    if moises := _moises_files(folder):
        return moises
    own = audio_files(folder)
    if any(path.is_dir() and path.name.endswith("_STEMS") for path in folder.iterdir()):
        raise DataError(
            f"{folder}: MedleyDB's layout is not read; copy the files of *_STEMS into one folder a"
            ' song, with a song.json {"stems": {"<file>": "vocals, drums, bass or other"}}'
        )
    arrays = sorted(folder.glob("*.npy")) if (folder / "song.json").is_file() else []
    return {path.stem: [path] for path in own + arrays}


def audio_files(folder: Path) -> list[Path]:
    """Return the sound files of a folder itself, sorted."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in AUDIO_EXTENSIONS
        and not path.name.startswith(".")
        and path.is_file()
    )


def _moises_files(folder: Path) -> Files:
    path = folder / "data.json"
    if not path.is_file():
        return {}
    try:
        names = {str(stem["stemName"]) for stem in json.loads(path.read_text("utf-8"))["stems"]}
    except (OSError, ValueError, KeyError, TypeError):
        return {}  # some other data.json
    if unknown := sorted(names - _MOISES_STEMS):
        raise DataError(f"{path}: names the stem {unknown[0]!r}, which MoisesDB doesn't have")
    missing = [name for name in sorted(names) if not (folder / name).is_dir()]
    if missing or not names:
        raise DataError(f"{folder}: has no folder of the stem {missing or 'any'!r}")
    return {name: audio_files(folder / name) for name in sorted(names)}


def moises_parents(folder: Path, files: Files) -> Mapping[str, str] | None:
    """Return the parent of each stem of a song of MoisesDB; None for another song."""
    if not any(len(paths) != 1 or paths[0].parent != folder for paths in files.values()):
        return None
    return {name: name if name in _MOISES_OWN else "other" for name in files}


def take_mixtures(files: Files) -> list[Path]:
    """Remove the files that are named as the mixture from the stems, and return them.

    A name with a known source in it ("drums mix") is a stem's. The likeliest name comes first.
    """
    found: list[tuple[int, str]] = []
    for label in files:
        match = _ENDS_IN_MIXTURE.search(label.casefold().replace("_", " "))
        if match and not _is_source(label[: match.start()].strip(" _.-([")):
            found.append((_NAMES.index(match[1]), label))
    return [path for _, label in sorted(found) for path in files.pop(label)]


def _is_source(name: str) -> bool:
    try:
        label_of(name.casefold().replace("_", " "))
    except KeyError:
        return False
    return bool(name)


def check_mixture(path: Path, mixture: np.ndarray, total: np.ndarray) -> None:
    """Check that a mixture resembles the sum of the stems.

    Args:
        path: Its file.
        mixture: `(channels, time)`.
        total: The sum, of the same shape.

    Raises:
        DataError: It doesn't.
    """
    norm = float(np.linalg.norm(mixture) * np.linalg.norm(total))
    correlation = float(np.vdot(mixture, total)) / norm if norm else 1.0
    if correlation < _LEAST_CORRELATION:
        raise DataError(
            f"{path}: is named as the mixture and is not the sum of the stems (correlation"
            f" {correlation:.2f}); rename it, or take it away"
        )
