"""Songs with their lyrics as reference text, found in a folder of one of two layouts.

Either each audio file has its lyrics beside it under the same name (`.json`, `.lrc` or `.srt` with
times, or `.txt`), or each song is a folder of stems with a `lyrics.txt`.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from separate.audio import read_audio
from separate.errors import DataError, InputError
from separate.evals.data.layouts import audio_files
from separate.evals.data.songs import Song, SongFolder, find_songs
from separate.lyrics.segmentation.line_times import EXTENSIONS, read_line_times

LYRICS_NAME = "lyrics.txt"
_LANGUAGES = {"english": "en", "german": "de", "french": "fr", "spanish": "es"}


@dataclass(frozen=True)
class LyricsSong:
    """A song and its lyrics on disk, not read yet."""

    path: Path  # of the audio file, or of the folder of stems
    reference: Path  # of the lyrics
    split: str = ""

    @property
    def name(self) -> str:
        """Title."""
        return self.path.name if self.path.is_dir() else self.path.stem

    def load(self) -> Song:
        """Read the audio; `references` are empty where only a mixture is known.

        Raises:
            SeparateError: The file is damaged.
        """
        if self.path.is_dir():
            return SongFolder(self.path, self.split).load()
        mixture, sample_rate = read_audio(self.path)
        return Song(self.name, sample_rate, mixture, {})

    def text(self) -> str:
        """Read the reference, one line for each line of the song.

        Raises:
            DataError: The file is unreadable, or holds no words.
        """
        try:
            if self.reference.suffix.lower() in EXTENSIONS:
                text = "\n".join(line.text for line in read_line_times(self.reference))
            else:
                text = self.reference.read_text(encoding="utf-8-sig")
        except (OSError, ValueError, InputError) as error:
            raise DataError(f"{self.reference}: not readable as lyrics ({error})") from error
        if not any(character.isalnum() for character in text):
            raise DataError(f"{self.reference}: holds no words to compare with")
        return text.strip()

    def language(self) -> str | None:
        """Return the code of the language that a JSON file names, if any."""
        if self.reference.suffix.lower() != ".json":
            return None
        data = json.loads(self.reference.read_text(encoding="utf-8-sig"))
        named = data.get("language") if isinstance(data, dict) else None
        return _LANGUAGES.get(named.lower(), named.lower()) if isinstance(named, str) else None


def find_lyrics_songs(path: Path, split: str | None = None) -> list[LyricsSong]:
    """List the songs of a folder that have lyrics, without reading them.

    Raises:
        DataError: There is no such song.
    """
    path = Path(path)
    if not path.is_dir():
        raise DataError(f"{path}: no such folder; give a folder of songs with their lyrics")
    if not (path / LYRICS_NAME).is_file():
        beside = [
            LyricsSong(audio, reference, path.name)
            for audio in audio_files(path)
            if (reference := _reference_of(audio)) is not None
        ]
        if beside:
            return beside
    try:
        folders = find_songs(path, split)
    except DataError:
        folders = []
    songs = [
        LyricsSong(song.folder, song.folder / LYRICS_NAME, song.split)
        for song in folders
        if (song.folder / LYRICS_NAME).is_file()
    ]
    if not songs:
        raise DataError(
            f"{path}: holds no song with lyrics; put SONG.json, .lrc, .srt or .txt beside each"
            f" audio file, or {LYRICS_NAME} into each folder of stems"
        )
    return songs


def _reference_of(audio: Path) -> Path | None:
    candidates = (audio.with_suffix(extension) for extension in (*EXTENSIONS, ".txt"))
    return next((path for path in candidates if path.is_file()), None)
