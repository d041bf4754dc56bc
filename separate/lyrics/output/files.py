"""The text files of one recording."""

from collections.abc import Mapping
from pathlib import Path

from separate.batch.guard import Guard
from separate.batch.outputs import FREE, FileSet
from separate.batch.record import Output
from separate.lyrics.output.formats import ENDINGS, render
from separate.lyrics.result import Lyrics
from separate.lyrics.settings import SubtitleSettings


def places_of(track_name: str, formats: tuple[str, ...]) -> dict[str, str]:
    """Return the path of each format's file, relative to the output folder."""
    return {name: f"{track_name}{ENDINGS[name]}" for name in formats}


def write_lyrics(
    lyrics: Lyrics,
    folder: Path,
    places: Mapping[str, str],
    guard: Guard = FREE,
    subtitles: SubtitleSettings | None = None,
) -> list[Output]:
    """Write all formats; where one fails, none of them stays.

    Args:
        lyrics: The result.
        folder: The output folder.
        places: Path of each format's file relative to it.
        guard: What the files must not replace.
        subtitles: The shape of SRT and VTT; None: one line a subtitle.

    Raises:
        OutputError: The disk is full or a place can't be written.
    """
    with FileSet(folder, places, guard) as files:
        for format in places:
            files.write_text(format, render(lyrics, format, subtitles))
        return files.commit()
