"""Read times of lines from JSON, LRC or SRT; their texts, if any, are the reference of scores."""

import codecs
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
_LRC_OFFSET = re.compile(r"^\s*\[offset:\s*([+-]?\d+)\s*\]", re.IGNORECASE | re.MULTILINE)
_MARKS = (  # the longer ones first: that of UTF-32 begins with that of UTF-16
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
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
        text = decoded(path.read_bytes())
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


def decoded(data: bytes) -> str:
    """Decode a text file by its byte order mark; without one it is UTF-8, or UTF-16 by its zeros.

    Args:
        data: The whole file.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return data.decode(encoding, errors="replace")
    head = data[:200]
    if len(head) > 1 and b"\0" in head:  # every second byte of Latin text in UTF-16 is zero
        encoding = "utf-16-be" if head[0::2].count(0) > head[1::2].count(0) else "utf-16-le"
        return data.decode(encoding, errors="replace")
    return data.decode("utf-8", errors="replace")


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
    """Read LRC; a line may have several times, and one without words ends the line before.

    A positive `[offset:]`, in milliseconds, shows the lines earlier.
    """
    given = _LRC_OFFSET.search(text)
    offset = int(given[1]) / 1000 if given else 0.0
    found: list[tuple[float, str]] = []
    for row in text.splitlines():
        times = []
        while (match := _LRC_TIME.match(row)) is not None:
            times.append(60 * int(match[1]) + float(match[2].replace(":", ".")))
            row = row[match.end() :].lstrip()
        words = " ".join(_LRC_WORD.sub(" ", row).split())
        found += [(max(0.0, time - offset), words) for time in times]
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
