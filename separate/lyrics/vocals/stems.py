"""Find vocals that were separated before, by the record of `separate run` or by their path."""

from pathlib import Path

from separate.audio import AUDIO_EXTENSIONS
from separate.batch.record import Record, RecordFile
from separate.batch.tracks import Track
from separate.files import sha256_of
from separate.lyrics.vocals.prepare import VOCALS, Vocals

_NAMES = ("vocals", "voice", "singer", "singing")  # queries whose estimate serves as the vocals


class StemsIndex:
    """The stems of one folder."""

    def __init__(self, folder: Path) -> None:
        """Read the folder's record, where it has one."""
        self.folder = Path(folder)
        records = (record for record in RecordFile(self.folder) if _has_vocals(record))
        self._records = {record.input: record for record in records}

    def recorded(self, track: Track, model_sha256: str | None = None) -> Vocals | None:
        """Return vocals that `separate run` wrote of this very file.

        Args:
            track: The recording.
            model_sha256: Of the separator that must have made them; None: any.
        """
        record = self._records.get(str(track.path.absolute()))
        if record is None or (model_sha256 is not None and record.model_sha256 != model_sha256):
            return None
        try:
            status = track.path.stat()
            output = next(o for o in record.outputs if o.stem.casefold() in _NAMES)
            path = self.folder / output.path
            fresh = (status.st_size, status.st_mtime) == (record.size, record.mtime)
            if not fresh or sha256_of(path) != output.sha256:
                return None
        except OSError:
            return None
        return Vocals(path=path, presence=record.presence.get(output.stem), name=str(path))

    def by_place(self, track: Track) -> Vocals | None:
        """Return `<folder>/<track>/vocals.<any>`, as other programs write it."""
        place = self.folder / track.name
        if not place.is_dir():
            return None
        for path in sorted(place.iterdir()):
            if path.stem.casefold() == VOCALS and path.suffix.lower() in AUDIO_EXTENSIONS:
                return Vocals(path=path, name=str(path))
        return None


def _has_vocals(record: Record) -> bool:
    """Whether a record has the vocals of the whole file, at their own level."""
    settings = record.settings
    part = settings.get("start") or settings.get("stream")
    is_whole = not part and settings.get("end") is None
    is_level = settings.get("clip_mode") != "rescale"
    named = any(output.stem.casefold() in _NAMES for output in record.outputs)
    return record.command == "run" and not record.error and is_whole and is_level and named
