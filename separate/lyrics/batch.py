"""The lyrics job: transcribe what is sung in each track."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from separate.batch.guard import Guard
from separate.batch.job import Item, OnPart, Work, draft_record
from separate.batch.outputs import check_places
from separate.batch.record import Record
from separate.batch.tracks import Track
from separate.errors import InputError
from separate.files import sha256_of
from separate.lyrics.output.files import places_of, write_lyrics
from separate.lyrics.pipeline import Transcriber
from separate.lyrics.recognition.recogniser import check_language, find_whisper
from separate.lyrics.segmentation.line_times import EXTENSIONS, read_line_times
from separate.lyrics.settings import LyricsSettings
from separate.lyrics.vocals.prepare import Vocals
from separate.lyrics.vocals.stems import StemsIndex
from separate.open import cards_sha256


@dataclass(frozen=True)
class LyricsJob:
    """Transcribe what is sung in each track; see `separate.batch.job.Job`."""

    settings: LyricsSettings  # `whisper` is the path of a file
    folder: Path  # of the outputs
    stems: Path | None = None  # folder of vocals that were separated before
    line_times: Path | None = None  # a file, or a folder with one a recording

    @property
    def threads(self) -> int | None:
        """Processor threads of each process; None: the batch decides."""
        return self.settings.threads

    def items(self, tracks: Sequence[Track]) -> list[Item]:
        """List one item a track, with the paths of its outputs.

        Raises:
            InputError: One file of line times is given for many recordings.
        """
        given = self.line_times
        if given is not None and not given.is_dir() and len(tracks) > 1:
            raise InputError(f"{given}: is of one recording; for several give a folder to --lines")
        sha256 = f"{sha256_of(self._whisper())},{cards_sha256(self.settings.model)}"
        stems = None if self.stems is None else str(self.stems.absolute())
        settings = {**self.settings.fingerprint(), "whisper": None, "stems": stems}
        return [
            Item(
                track,
                draft_record(
                    track,
                    settings,
                    self._line_times_data(track),
                    sha256,
                    command="lyrics",
                    places=places_of(track.name, self.settings.formats),
                ),
                self._reads(track),
            )
            for track in tracks
        ]

    def _whisper(self) -> Path:
        settings = self.settings
        return find_whisper(settings.whisper, settings.language, settings.model_dir)

    def line_times_of(self, track: Track) -> Path | None:
        """Return the line times of a track: the file, or the one of its name in the folder."""
        given = self.line_times
        if given is None or not given.is_dir():
            return given
        paths = (given / f"{track.name}{extension}" for extension in EXTENSIONS)
        return next((path for path in paths if path.is_file()), given / f"{track.name}.lrc")

    def _reads(self, track: Track) -> tuple[Path, ...]:
        """Return the files that a track needs: its line times and Whisper's weights."""
        times = self.line_times_of(track)
        return (self._whisper(), *([] if times is None else [times]))

    def _line_times_data(self, track: Track) -> list[dict[str, Any]]:
        """Return the line times of a track as plain values for its record."""
        path = self.line_times_of(track)
        if path is None:
            return []
        return [{"lines": str(path), "sha256": sha256_of(path) if path.is_file() else None}]

    def load(self, threads: int | None, guard: Guard) -> Work:
        """Load Whisper; the separator is loaded when the first track needs it."""
        transcriber = Transcriber(replace(self.settings, threads=threads))
        return partial(transcribe_item, transcriber, self, guard)


def make_lyrics_job(
    settings: LyricsSettings,
    folder: Path,
    *,
    stems: Path | None = None,
    line_times: Path | None = None,
) -> LyricsJob:
    """Check what a user asks for, find Whisper's weights, and return the job.

    Args:
        settings: Of the transcription.
        folder: Of the outputs.
        stems: Folder of vocals that were separated before.
        line_times: A file, or a folder with one a recording.

    Raises:
        SettingsError: There is no such language.
        WeightsError: Whisper is not on this machine.
        InputError: The line times are missing.
    """
    check_language(settings.language)
    if line_times is not None and not line_times.exists():
        raise InputError(f"{line_times}: no such file; give line times as .json, .lrc or .srt")
    whisper = find_whisper(settings.whisper, settings.language, settings.model_dir)
    return LyricsJob(replace(settings, whisper=str(whisper)), folder, stems, line_times)


def transcribe_item(
    transcriber: Transcriber,
    job: LyricsJob,
    guard: Guard,
    item: Item,
    folder: Path,
    on_part: OnPart,
) -> Record:
    """Transcribe one track.

    Args:
        transcriber: Loaded.
        job: Settings, separated vocals and line times.
        guard: What the files must not replace.
        item: The track, with the path of each format's file.
        folder: The output folder.
        on_part: Called with the part done, 0..1; what it raises ends the transcription.

    Returns:
        The completed record.

    Raises:
        InputError: The track, its vocals or its line times can't be read.
        OutputError: A file can't be written.
    """
    path = item.track.path
    if path.is_dir():
        raise InputError(f"{path}: holds no audio files; name a file or another folder")
    check_places(folder, item.places, guard)
    times, spans = job.line_times_of(item.track), None
    if times is not None:
        open_line = job.settings.short_form.open_line
        spans = [line.span for line in read_line_times(times, open_line)]
    lyrics = transcriber.transcribe(
        path, vocals=_vocals(job, item, folder), line_times=spans, on_progress=on_part
    )
    note = lyrics.note()
    return replace(
        item.draft,
        outputs=write_lyrics(lyrics, folder, item.places, guard, job.settings.subtitles),
        presence={} if lyrics.presence is None else {"vocals": round(lyrics.presence, 4)},
        warnings=[note] if note else [],
        duration=lyrics.duration,
    )


def _vocals(job: LyricsJob, item: Item, folder: Path) -> Vocals | None:
    """Return vocals that are there already: as given, or of this model in the output folder.

    Raises:
        InputError: A folder of stems is given, and holds no vocals of this track.
    """
    if job.settings.start or job.settings.end is not None or job.settings.stream:
        return None
    if job.stems is None:
        sha256 = item.draft.model_sha256.partition(",")[2]
        return StemsIndex(folder).recorded(item.track, sha256)
    index = StemsIndex(job.stems)
    found = index.recorded(item.track) or index.by_place(item.track)
    if found is None:
        raise InputError(
            f"{job.stems}: holds no vocals of {item.track.path}; leave out --stems to separate anew"
        )
    return found
