"""The text files of one recording: all there, or none.

In: `Lyrics` and formats. Out: files under their final names, with their SHA-256.
"""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from separate.batch.record import Output
from separate.errors import OutputError
from separate.files import sha256_of
from separate.lyrics.formats import ENDINGS, render
from separate.lyrics.result import Lyrics


def places_of(track_name: str, formats: tuple[str, ...]) -> dict[str, str]:
    """Return the path of each format's file, relative to the output folder."""
    return {name: f"{track_name}{ENDINGS[name]}" for name in formats}


def check_places(folder: Path, places: Mapping[str, str]) -> None:
    """Do nothing where the files can be written.

    Raises:
        OutputError: A folder is in the way, or one that can't be written to.
    """
    for place in places.values():
        path = Path(folder) / place
        if path.is_dir():
            raise OutputError(f"{path}: is a folder; choose another -o")
        parent = next(p for p in path.parents if p.exists())
        if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
            raise OutputError(f"{parent}: cannot be written to; choose another -o")


def write_lyrics(lyrics: Lyrics, folder: Path, places: Mapping[str, str]) -> list[Output]:
    """Write all formats; where one fails, none of them stays.

    Raises:
        OutputError: The disk is full or a place can't be written.
    """
    temporary: dict[str, Path] = {}
    try:
        for format, place in places.items():
            path = Path(folder) / place
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary[format] = path.with_name(f".{path.name}.{os.getpid()}.tmp")
            temporary[format].write_text(render(lyrics, format), encoding="utf-8", newline="\n")
        outputs = []
        for format, place in places.items():
            size = temporary[format].stat().st_size
            outputs.append(Output(format, place, sha256_of(temporary[format]), size))
        for format, place in places.items():
            temporary[format].replace(Path(folder) / place)
        return outputs
    except OSError as error:
        raise OutputError(
            f"{folder}: cannot be written to ({error.strerror or error}); make room or choose"
            " another -o"
        ) from error
    finally:
        for path in temporary.values():
            with suppress(OSError):
                path.unlink()
