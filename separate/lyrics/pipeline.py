"""Transcription: recording -> vocals -> segments -> Whisper -> guards -> `Lyrics`."""

import logging
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from separate.audio import probe
from separate.lyrics.recognition.guards import guard
from separate.lyrics.recognition.recogniser import LONGEST_SECONDS, Recogniser, find_whisper
from separate.lyrics.result import Dropped, Line, Lyrics, Word
from separate.lyrics.segmentation.segments import line_spans_of, segments_of
from separate.lyrics.segmentation.vad import Span
from separate.lyrics.settings import LyricsSettings
from separate.lyrics.vocals.prepare import Prepared, Vocals, prepare_array, prepare_file

if TYPE_CHECKING:
    from separate.separator import Separator

Progress = Callable[[float], None]  # part done, 0..1
_log = logging.getLogger(__name__)
_LANGUAGE_PIECES = 3  # loudest segments that tell the language
_SEPARATION_PART = 0.3  # of the progress


@dataclass(frozen=True)
class Recognised:
    """What Whisper gave, before the guards; in seconds from the first sample."""

    lines: list[Line]
    spans: list[Span]
    left_out: list[Dropped]  # line times that are too long
    language: str | None
    audio: str
    segmentation: str
    seconds_spent: float


class Transcriber:
    """Loaded models, ready for any number of recordings."""

    def __init__(
        self,
        settings: LyricsSettings | None = None,
        *,
        recogniser: Recogniser | None = None,
        separator: "Separator | None" = None,
    ) -> None:
        """Load Whisper; the separator is loaded when the first recording needs it.

        Args:
            settings: The defaults suit most.
            recogniser: A Whisper model that is loaded already.
            separator: One that is loaded already.

        Raises:
            WeightsError: Whisper is not on this machine.
            CheckpointError: It is damaged, or no Whisper model.
            SettingsError: It can't do what the settings ask for.
        """
        self.settings = settings or LyricsSettings()
        if self.settings.threads:
            import torch

            torch.set_num_threads(self.settings.threads)
        self.recogniser = recogniser or Recogniser(
            find_whisper(self.settings.whisper, self.settings.language, self.settings.model_dir),
            self.settings,
        )
        self.settings = self.recogniser.settled(self.settings)
        self._separator = separator

    def transcribe(
        self,
        source: str | Path | np.ndarray,
        sample_rate: int | None = None,
        *,
        vocals: str | Path | Vocals | None = None,
        line_times: str | Path | Sequence[Span] | None = None,
        on_progress: Progress | None = None,
    ) -> Lyrics:
        """Transcribe one recording.

        Args:
            source: A file, or an array `(channels, time)` or `(time,)`.
            sample_rate: Of an array, in Hz.
            vocals: A stem of the same recording that was written before; else it is separated.
            line_times: Times of the lines, a file or spans in seconds: then the short form is used.
            on_progress: Called with the part that is done; what it raises ends the work.

        Raises:
            SeparateError: A file can't be read, or a model not loaded.
        """
        settings, began = self.settings, time.perf_counter()
        given = _as_vocals(vocals)
        spans = line_spans_of(line_times, settings)
        report = on_progress or (lambda part: None)
        with tempfile.TemporaryDirectory(prefix="separate-lyrics-") as folder:
            prepared = self.prepare(
                source, Path(folder), sample_rate, given, lambda p: report(_SEPARATION_PART * p)
            )
            lyrics = self.lyrics_of(
                prepared,
                spans,
                lambda p: report(_SEPARATION_PART + (1 - _SEPARATION_PART) * p),
            )
        timings = {**lyrics.timings, "total": time.perf_counter() - began}
        return replace(lyrics, timings=timings)

    def prepare(
        self,
        source: str | Path | np.ndarray,
        folder: Path,
        sample_rate: int | None = None,
        vocals: Vocals | None = None,
        on_progress: Progress | None = None,
    ) -> Prepared:
        """Prepare a recording for Whisper; separate it if the settings need vocals."""
        settings = self.settings
        if not isinstance(source, np.ndarray):
            probe(source, stream=settings.stream)  # fails before models are loaded
        if vocals is None and needs_vocals(settings):
            vocals = Vocals(separator=self._load_separator(), name=settings.model)
        if isinstance(source, np.ndarray):
            if sample_rate is None:
                raise ValueError("an array needs its sample_rate")
            return prepare_array(source, sample_rate, folder, settings.vad, vocals, on_progress)
        return prepare_file(
            Path(source),
            folder,
            settings.vad,
            vocals,
            start=settings.start,
            end=settings.end,
            stream=settings.stream,
            on_progress=on_progress,
        )

    def _load_separator(self) -> "Separator":
        if self._separator is None:
            from separate.open import open_separator
            from separate.settings import Settings

            settings = self.settings
            self._separator = open_separator(
                Settings(model=settings.model, device=settings.device, threads=settings.threads)
            )
        return self._separator

    def lyrics_of(
        self,
        prepared: Prepared,
        line_spans: Sequence[Span] | None = None,
        on_progress: Progress | None = None,
    ) -> Lyrics:
        """Transcribe a prepared recording and apply the guards."""
        if self._is_instrumental(prepared):
            empty = Recognised(
                [], [], [], None, self._audio(prepared), self._segmentation(None), 0.0
            )
            return self._result(prepared, empty, [], [], is_instrumental=True)
        found = self.recognise(prepared, line_spans, on_progress)
        if not self.settings.guards.is_on:
            return self._result(prepared, found, found.lines, found.left_out)
        kept, dropped = self.guarded(prepared, found)
        return self._result(prepared, found, kept, [*found.left_out, *dropped])

    def guarded(self, prepared: Prepared, found: Recognised) -> tuple[list[Line], list[Dropped]]:
        """Part what was recognised in what is kept and what is dropped."""
        vocals = prepared.signals.vocals
        level = vocals.level if vocals is not None else None
        return guard(found.lines, level, self.settings.guards)

    def recognise(
        self,
        prepared: Prepared,
        line_spans: Sequence[Span] | None = None,
        on_progress: Progress | None = None,
    ) -> Recognised:
        """Let Whisper transcribe all segments, without guards."""
        began = time.perf_counter()
        spans, left_out = segments_of(prepared, line_spans, self.settings)
        spans = _within(spans, self.settings.clips, prepared.offset)
        audio = self._audio(prepared)
        segmentation = self._segmentation(line_spans)
        if not spans:
            return Recognised([], [], left_out, None, audio, segmentation, 0.0)
        language = self._language(prepared, spans, audio)
        total = sum(span.seconds for span in spans)
        lines: list[Line] = []
        done = 0.0
        for index, span in enumerate(spans):
            samples = prepared.signals.read(audio, span.start, span.end, self.settings.blend_db)
            before = _text_before(lines, index, self.settings)
            found = self.recogniser.transcribe(samples, self.settings, language, span.start, before)
            for line in found:
                times = (_clock(time + prepared.offset) for time in (line.start, line.end))
                _log.info("[%s --> %s] %s", *times, line.text)
            lines += [replace(line, segment=index) for line in found]
            done += span.seconds
            if on_progress is not None:
                on_progress(done / total)
        spent = time.perf_counter() - began
        return Recognised(lines, spans, left_out, language, audio, segmentation, spent)

    def _segmentation(self, line_spans: Sequence[Span] | None) -> str:
        return "line times" if line_spans is not None else self.settings.segmentation

    def _audio(self, prepared: Prepared) -> str:
        return self.settings.audio if prepared.signals.vocals is not None else "mixture"

    def _language(self, prepared: Prepared, spans: Sequence[Span], audio: str) -> str:
        """The code that was given, or what the loudest segments are in."""
        from separate.lyrics.recognition.recogniser import check_language

        given = check_language(self.settings.language)
        if given is not None:
            return given
        signals = prepared.signals
        signal = signals.vocals or signals.mixture
        windows = [
            Span(at, min(at + LONGEST_SECONDS, span.end))
            for span in spans
            for at in np.arange(span.start, span.end, LONGEST_SECONDS).tolist()
        ]
        windows.sort(key=lambda window: -signal.energy(window.start, window.end))
        loudest = windows[:_LANGUAGE_PIECES]
        return self.recogniser.detect_language(
            [signals.read(audio, w.start, w.end, self.settings.blend_db) for w in loudest]
        )

    def _is_instrumental(self, prepared: Prepared) -> bool:
        guards, level = self.settings.guards, prepared.signals.vocals_db()
        if not guards.is_on or level is None:
            return False
        presence = 1.0 if prepared.presence is None else prepared.presence
        return (
            presence < guards.no_vocals_presence
            or level < guards.no_vocals_db
            or (presence < guards.unlikely_presence and level < guards.unlikely_db)
        )

    def _result(
        self,
        prepared: Prepared,
        found: Recognised,
        lines: Sequence[Line],
        dropped: Sequence[Dropped],
        *,
        is_instrumental: bool = False,
    ) -> Lyrics:
        by = prepared.offset
        timings = {"separation": prepared.seconds_spent, "whisper": found.seconds_spent}
        timings["total"] = sum(timings.values())
        return Lyrics(
            lines=tuple(_later(line, by) for line in lines),
            dropped=tuple(
                sorted(
                    (replace(d, start=d.start + by, end=d.end + by) for d in dropped),
                    key=lambda piece: piece.start,
                )
            ),
            language=found.language,
            whisper=self.recogniser.name,
            whisper_sha256=self.recogniser.sha256,
            model=prepared.vocals_from,
            audio=found.audio if found.audio != "blend" else _blend_name(self.settings.blend_db),
            segmentation=found.segmentation,
            segments=tuple(Span(span.start + by, span.end + by) for span in found.spans),
            presence=prepared.presence,
            vocals_db=prepared.signals.vocals_db(),
            duration=prepared.signals.seconds + by,
            is_instrumental=is_instrumental,
            timings=timings,
        )


def transcribe(
    source: str | Path | np.ndarray, settings: LyricsSettings | None = None, **options: Any
) -> Lyrics:
    """Transcribe one recording; see `Transcriber.transcribe` for the options.

    Args:
        source: A file, or an array `(channels, time)` with `sample_rate=`.
        settings: Models, input of Whisper, Whisper's options, guards.
        **options: sample_rate, vocals, line_times, on_progress.
    """
    return Transcriber(settings).transcribe(source, **options)


def needs_vocals(settings: LyricsSettings) -> bool:
    """Whether anything but Whisper alone on the mixture is asked for."""
    return (
        settings.guards.is_on or settings.segmentation == "rms-vad" or settings.audio != "mixture"
    )


def _as_vocals(vocals: str | Path | Vocals | None) -> Vocals | None:
    if isinstance(vocals, str | Path):
        return Vocals(path=Path(vocals), name=str(vocals))
    return vocals


def _within(spans: list[Span], clips: Sequence[tuple[float, float]], offset: float) -> list[Span]:
    """Return the parts of spans that lie in clips, whose times are `offset` seconds later."""
    if not clips:
        return spans
    parts = (
        Span(max(span.start, start - offset), min(span.end, end - offset))
        for span in spans
        for start, end in clips
    )
    return [part for part in parts if part.end > part.start]


def _clock(seconds: float) -> str:
    return f"{int(seconds // 60):02d}:{seconds % 60:06.3f}"


def _text_before(lines: Sequence[Line], index: int, settings: LyricsSettings) -> str:
    """The text of the segment before, as a prompt: if that is wanted, and it was no loop."""
    found = [line for line in lines if line.segment == index - 1]
    if not settings.is_conditioned or _is_loop(found, settings):
        return ""
    return " ".join(line.text for line in found)


def _is_loop(lines: Sequence[Line], settings: LyricsSettings) -> bool:
    """Whether any window of a segment is too repetitive."""
    return any(line.compression_ratio > settings.compression_ratio_threshold for line in lines)


def _blend_name(blend_db: float) -> str:
    return f"vocals plus the rest at {blend_db:g} dB"


def _later(line: Line, seconds: float) -> Line:
    """Shift a line into the recording's time."""
    words = tuple(
        Word(word.start + seconds, word.end + seconds, word.text, word.probability)
        for word in line.words
    )
    return replace(line, start=line.start + seconds, end=line.end + seconds, words=words)
