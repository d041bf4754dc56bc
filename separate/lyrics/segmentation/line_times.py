"""Line times that somebody has: JSON, LRC or SRT.

In: a file. Out: timed lines; their texts, where there are any, serve as the reference of scores.
"""

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from separate.errors import InputError
from separate.lyrics.segmentation.vad import Span

EXTENSIONS = (".json", ".lrc", ".srt")
_LRC_TIME = re.compile(r"\[(\d+):(\d{1,2}(?:[.:]\d{1,3})?)\]")
_LRC_WORD = re.compile(r"<\d+:\d{1,2}(?:[.:]\d{1,3})?>")
_SRT_TIME = re.compile(r"(\d+):(\d\d):(\d\d)[,.](\d{1,3})")
_LARGEST_BYTES = 50_000_000


@dataclass(frozen=True)
class TimedLine:
    """One line with its times in seconds."""

    span: Span
    text: str


def read_line_times(path: Path, open_line: float = 10.0) -> list[TimedLine]:
    """Read a file of timed lines.

    Args:
        path: `.lrc`, `.srt`, or `.json`: `{"lines": [{"start": s, "end": s, "text": t}]}`, the
            list alone, or Whisper's `{"segments": [...]}`.
        open_line: Seconds of a line without an end (LRC has none), if nothing follows sooner.

    Raises:
        InputError: It is missing, of another kind, or without timed lines.
    """
    path = Path(path)
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise InputError(f"{path}: too large to be lyrics")
        text = path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    readers = {".json": _json_lines, ".lrc": _lrc_lines, ".srt": _srt_lines}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise InputError(f"{path}: line times are read from .json, .lrc or .srt")
    try:
        lines = reader(text, open_line)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: not readable as timed lines ({error})") from error
    if not lines:
        raise InputError(f"{path}: holds no timed lines")
    return sorted(lines, key=lambda line: line.span.start)


def _json_lines(text: str, open_line: float) -> list[TimedLine]:
    data: Any = json.loads(text)
    if isinstance(data, dict):
        data = data["lines"] if "lines" in data else data["segments"]
    lines = []
    for item in data:
        start, end = float(item["start"]), float(item["end"])
        if not (math.isfinite(start) and math.isfinite(end) and 0 <= start <= end):
            raise ValueError(f"start {start}, end {end}")
        lines.append(TimedLine(Span(start, end), " ".join(str(item.get("text", "")).split())))
    return lines


def _lrc_lines(text: str, open_line: float) -> list[TimedLine]:
    """Read LRC; a line may have several times, and one without words ends the line before."""
    found: list[tuple[float, str]] = []
    for row in text.splitlines():
        times = []
        while (match := _LRC_TIME.match(row)) is not None:
            times.append(60 * int(match[1]) + float(match[2].replace(":", ".")))
            row = row[match.end() :].lstrip()
        words = " ".join(_LRC_WORD.sub(" ", row).split())
        found += [(time, words) for time in times]
    found.sort()
    lines = []
    for index, (start, words) in enumerate(found):
        following = found[index + 1][0] if index + 1 < len(found) else math.inf
        if words:
            lines.append(TimedLine(Span(start, min(following, start + open_line)), words))
    return lines


def _srt_lines(text: str, open_line: float) -> list[TimedLine]:
    lines = []
    for block in re.split(r"\n\s*\n", text.replace("\r\n", "\n")):
        rows = block.strip().splitlines()
        at = next((i for i, row in enumerate(rows) if "-->" in row), None)
        if at is None:
            continue
        times = [
            3600 * int(h) + 60 * int(m) + int(s) + int(ms.ljust(3, "0")) / 1000
            for h, m, s, ms in _SRT_TIME.findall(rows[at])
        ]
        if len(times) != 2 or times[1] < times[0]:
            raise ValueError(f"times {rows[at]!r}")
        lines.append(TimedLine(Span(*times), " ".join(" ".join(rows[at + 1 :]).split())))
    return lines
