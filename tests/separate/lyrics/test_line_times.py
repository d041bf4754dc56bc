"""Files of timed lines as players and editors write them."""

import codecs
from pathlib import Path

import pytest

from separate.lyrics.segmentation.line_times import read_line_times

LRC = "[ti:Señor]\n[00:10.00]Größer\n[00:12.50]日本\n[00:14.00]\n"
SRT = "1\n00:00:10,000 --> 00:00:12,500\nGrößer\n\n2\n00:00:12,500 --> 00:00:14,000\n日本\n"
JSON = (
    '{"lines": [{"start": 10, "end": 12.5, "text": "Größer"},'
    ' {"start": 12.5, "end": 14, "text": "日本"}]}'
)
FILES = {"lrc": LRC, "srt": SRT, "json": JSON}
ENCODED = {
    "utf-8": str.encode,
    "utf-8 with mark": lambda text: text.encode("utf-8-sig"),
    "utf-16 le": lambda text: codecs.BOM_UTF16_LE + text.encode("utf-16-le"),
    "utf-16 be": lambda text: codecs.BOM_UTF16_BE + text.encode("utf-16-be"),
    "utf-16 le without mark": lambda text: text.encode("utf-16-le"),
    "utf-16 be without mark": lambda text: text.encode("utf-16-be"),
    "utf-32": lambda text: text.encode("utf-32"),
}


@pytest.mark.parametrize("encoding", ENCODED)
@pytest.mark.parametrize("kind", FILES)
def test_encodings(tmp_path: Path, kind: str, encoding: str) -> None:
    path = tmp_path / f"song.{kind}"
    path.write_bytes(ENCODED[encoding](FILES[kind]))
    found = [(line.span.start, line.span.end, line.text) for line in read_line_times(path)]
    assert found == [(10.0, 12.5, "Größer"), (12.5, 14.0, "日本")]


@pytest.mark.parametrize(
    ("tag", "start"),
    [
        ("[offset:500]", 9.5),
        ("[OFFSET: +500]", 9.5),
        ("[offset:-2000]", 12.0),
        ("[offset:99999]", 0),
    ],
)
def test_a_positive_offset_shows_lines_earlier(tmp_path: Path, tag: str, start: float) -> None:
    path = tmp_path / "song.lrc"
    path.write_text(f"{tag}\n[00:10.00]one\n[00:11.00]\n")
    (line,) = read_line_times(path)
    assert line.span.start == start
