"""The lyrics job of the page: transcribe a recording, and write edited lines as files.

Whisper models are looked for at each request, so one that is installed while the server runs is
found.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from separate.app.jobs.media import prepare
from separate.app.jobs.orders import LyricsOrder
from separate.errors import InputError, WeightsError
from separate.lyrics import Line, Lyrics, LyricsSettings, Transcriber, Word
from separate.lyrics.output import formats

FORMATS = ("lrc", "srt", "ass", "txt")
LONGEST_LINE = 500  # characters of an edited line
_MISSING = "Lyrics need a Whisper model. On the server, run: separate models get whisper-base"


def missing() -> str:
    """Return in one line what is missing for lyrics; empty where nothing is."""
    from separate.lyrics.recognition.recogniser import find_whisper

    try:
        find_whisper(None)
    except WeightsError:
        return _MISSING
    return ""


def write_down(
    order: LyricsOrder, separator: Any, report: Callable[[float, str], None]
) -> dict[str, Any]:
    """Transcribe, and prepare the recording for the player.

    Args:
        order: What and how.
        separator: A loaded separator, for the vocals.
        report: Called with the part done, 0..1, and the step.

    Raises:
        SeparateError: There is no Whisper model, or the recording can't be read.
    """
    settings = LyricsSettings(
        model=order.settings.model,
        device=order.settings.device,
        threads=order.settings.threads,
        language=order.language,
        word_timestamps=True,
        end=order.max_seconds,
    )
    if problem := missing():
        raise WeightsError(problem)
    lyrics = Transcriber(settings, separator=separator).transcribe(
        order.source, on_progress=lambda part: report(0.95 * part, "transcribing")
    )
    report(0.95, "drawing")
    mixture = prepare(
        order.source,
        order.folder,
        "mixture",
        end_seconds=order.max_seconds,
        on_block=lambda: report(0.95, "drawing"),
    )
    return {
        "lyrics": asdict(lyrics),
        "note": lyrics.note(),
        "mixture": mixture,
        "duration": lyrics.duration,
        "track": order.source.stem,
    }


def render(result: Mapping[str, Any], texts: Sequence[Any], format: str) -> str:
    """Write lyrics with the visitor's corrections.

    Args:
        result: What `write_down` returned.
        texts: The text of each line; an empty one leaves the line out.
        format: One of `FORMATS`.

    Raises:
        InputError: The format is none of ours, or the lines don't fit.
    """
    if format not in FORMATS:
        raise InputError(f"format: take one of {', '.join(FORMATS)}")
    found = result["lyrics"]
    lines = [_line(line) for line in found["lines"]]
    fits = len(texts) == len(lines) and all(
        isinstance(text, str) and len(text) <= LONGEST_LINE for text in texts
    )
    if not fits:
        raise InputError(f"lines: give {len(lines)} texts of at most {LONGEST_LINE} characters")
    kept = [_edited(line, " ".join(text.split())) for line, text in zip(lines, texts, strict=True)]
    lyrics = Lyrics(**{**found, "lines": tuple(line for line in kept if line.text)})
    return formats.render(lyrics, format)


def _line(data: Mapping[str, Any]) -> Line:
    return Line(**{**data, "words": tuple(Word(**word) for word in data["words"])})


def _edited(line: Line, text: str) -> Line:
    """Change a line's text; words keep their times where their number stays."""
    if text == line.text:
        return line
    parts = text.split()
    if len(parts) == len(line.words):
        words = zip(line.words, parts, strict=True)
        return replace(line, text=text, words=tuple(replace(w, text=part) for w, part in words))
    return replace(line, text=text, words=())
