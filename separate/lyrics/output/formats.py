"""Lyrics as text: plain, LRC (lines or words), SRT, VTT, JSON, TSV and karaoke ASS.

Without lines a file is empty, except for the header that a format requires.
"""

import json
from collections.abc import Callable

from separate.lyrics.output.subtitles import reshaped
from separate.lyrics.result import Line, Lyrics
from separate.lyrics.settings import SubtitleSettings

ENDINGS = {
    "txt": ".txt", "lrc": ".lrc", "elrc": ".words.lrc", "srt": ".srt", "vtt": ".vtt",
    "json": ".json", "tsv": ".tsv", "ass": ".ass",
}  # fmt: skip
_CLEAR_SECONDS = 2.0  # a pause after which a player shows nothing
_ASS_HEADER = """[Script Info]
ScriptType: v4.00+
PlayResX: 1280
PlayResY: 720
WrapStyle: 0
ScaledBorderAndShadow: yes

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, \
Italic, Underline, StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, \
Alignment, MarginL, MarginR, MarginV, Encoding
Style: Karaoke,Arial,54,&H0000D7FF,&H00FFFFFF,&H00202020,&H80000000,-1,0,0,0,100,100,0,0,1,3,1,2,\
60,60,60,1

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""


def render(lyrics: Lyrics, format: str, subtitles: SubtitleSettings | None = None) -> str:
    """Return the lyrics as text.

    Args:
        lyrics: With the times of words, if subtitles get another shape.
        format: One of `ENDINGS`.
        subtitles: The shape of SRT and VTT; None: one line a subtitle.
    """
    if subtitles is not None and subtitles.is_set and format in ("srt", "vtt"):
        return reshaped(lyrics, format, subtitles)
    return _WRITERS[format](lyrics)


def _txt(lyrics: Lyrics) -> str:
    return "".join(f"{line.text}\n" for line in lyrics.lines)


def _lrc(lyrics: Lyrics) -> str:
    return _lrc_file(lyrics, lambda line: line.text)


def _elrc(lyrics: Lyrics) -> str:
    """Enhanced LRC: `<time>` before each word and after the last."""

    def words(line: Line) -> str:
        if not line.words:
            return line.text
        timed = " ".join(f"<{_lrc_time(word.start)}> {word.text}" for word in line.words)
        return f"{timed} <{_lrc_time(line.words[-1].end)}>"

    return _lrc_file(lyrics, words)


def _lrc_file(lyrics: Lyrics, content: Callable[[Line], str]) -> str:
    if not lyrics.lines:
        return ""
    rows = [f"[length:{_lrc_time(lyrics.duration).partition('.')[0]}]"]
    for index, line in enumerate(lyrics.lines):
        rows.append(f"[{_lrc_time(line.start)}]{content(line)}")
        is_last = index + 1 == len(lyrics.lines)
        if is_last or lyrics.lines[index + 1].start - line.end >= _CLEAR_SECONDS:
            rows.append(f"[{_lrc_time(line.end)}]")
    return "\n".join(rows) + "\n"


def _lrc_time(seconds: float) -> str:
    hundredths = round(seconds * 100)
    return f"{hundredths // 6000:02d}:{hundredths // 100 % 60:02d}.{hundredths % 100:02d}"


def _srt(lyrics: Lyrics) -> str:
    return "".join(
        f"{number}\n{_clock(line.start, ',')} --> {_clock(line.end, ',')}\n"
        f"{line.text.replace('-->', '->')}\n\n"
        for number, line in enumerate(lyrics.lines, 1)
    )


def _vtt(lyrics: Lyrics) -> str:
    cues = "".join(
        f"{_clock(line.start, '.')} --> {_clock(line.end, '.')}\n{_vtt_text(line.text)}\n\n"
        for line in lyrics.lines
    )
    return f"WEBVTT\n\n{cues}"


def _vtt_text(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _clock(seconds: float, point: str) -> str:
    thousandths = round(seconds * 1000)
    whole, rest = divmod(thousandths, 1000)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}{point}{rest:03d}"


def _json(lyrics: Lyrics) -> str:
    return json.dumps(lyrics.as_dict(), ensure_ascii=False, indent=1) + "\n"


def _tsv(lyrics: Lyrics) -> str:
    """Whisper's own columns: milliseconds and the text."""
    rows = (
        f"{round(line.start * 1000)}\t{round(line.end * 1000)}\t{line.text}"
        for line in lyrics.lines
    )
    return "\n".join(["start\tend\ttext", *rows]) + "\n"


def _ass(lyrics: Lyrics) -> str:
    events = "".join(
        f"Dialogue: 0,{_ass_time(line.start)},{_ass_time(line.end)},Karaoke,,0,0,0,,"
        f"{_karaoke(line)}\n"
        for line in lyrics.lines
    )
    return _ASS_HEADER + events


def _karaoke(line: Line) -> str:
    r"""Text with `\kf`: each word fills while it is sung; rests are filled with nothing.

    Ends are rounded, not durations, so that errors don't add up.
    """
    if not line.words:
        return f"{{\\kf{round((line.end - line.start) * 100)}}}{_ass_text(line.text)}"
    at = round(line.start * 100)
    pieces = []
    for index, word in enumerate(line.words):
        start, end = max(at, round(word.start * 100)), max(at, round(word.end * 100))
        rest = f"{{\\k{start - at}}}" if start > at else ""
        space = " " if index + 1 < len(line.words) else ""
        pieces.append(f"{rest}{{\\kf{end - start}}}{_ass_text(word.text)}{space}")
        at = end
    return "".join(pieces)


def _ass_text(text: str) -> str:
    return text.replace("\\", "/").replace("{", "(").replace("}", ")")


def _ass_time(seconds: float) -> str:
    hundredths = round(seconds * 100)
    minutes, rest = hundredths // 6000, hundredths % 6000
    return f"{minutes // 60}:{minutes % 60:02d}:{rest // 100:02d}.{rest % 100:02d}"


_WRITERS: dict[str, Callable[[Lyrics], str]] = {
    "txt": _txt, "lrc": _lrc, "elrc": _elrc, "srt": _srt, "vtt": _vtt, "json": _json,
    "tsv": _tsv, "ass": _ass,
}  # fmt: skip
