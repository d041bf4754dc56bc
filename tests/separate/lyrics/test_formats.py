import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from lyrics_helpers import example

from separate.errors import InputError
from separate.lyrics.output.formats import render
from separate.lyrics.segmentation.line_times import read_line_times
from separate.lyrics.settings import FORMATS


def test_lrc_in_lines_and_words() -> None:
    assert render(example(), "lrc").splitlines() == [
        "[length:66:40]",
        "[01:00.90]Wörds {&}",
        "[01:02.26]",
        "[62:05.00]a-->b <end>",
        "[62:06.00]",
    ]
    assert render(example(), "elrc").splitlines()[1] == (
        "[01:00.90]<01:01.00> Wörds <01:01.75> {&} <01:02.26>"
    )


def test_subtitles() -> None:
    srt = render(example(), "srt")
    assert srt.startswith("1\n00:01:00,900 --> 00:01:02,255\nWörds {&}\n\n2\n01:02:05,000 --> ")
    assert "a->b" in srt
    vtt = render(example(), "vtt")
    assert vtt.startswith("WEBVTT\n\n00:01:00.900 --> 00:01:02.255\nWörds {&amp;}\n")
    assert "a--&gt;b &lt;end&gt;" in vtt
    assert render(example(), "tsv").splitlines()[1] == "60900\t62255\tWörds {&}"
    assert render(example(), "txt") == "Wörds {&}\na-->b <end>\n"


def test_karaoke_adds_up_to_the_line() -> None:
    ass = render(example(), "ass")
    (first, second) = [row for row in ass.splitlines() if row.startswith("Dialogue")]
    assert first.endswith(r",,{\k10}{\kf50}Wörds {\k25}{\kf51}(&)")
    assert first.startswith("Dialogue: 0,0:01:00.90,0:01:02.26,")
    assert "1:02:05.00" in second
    assert sum(map(int, re.findall(r"\\kf?(\d+)", second))) == 100


def test_ass_is_drawn(tmp_path: Path) -> None:
    if shutil.which("ffmpeg") is None:
        pytest.skip("ffmpeg is not installed")
    filters = subprocess.run(["ffmpeg", "-filters"], capture_output=True, text=True).stdout
    if " ass " not in filters:
        pytest.skip("this ffmpeg draws no ASS")
    (tmp_path / "a.ass").write_text(render(example(), "ass"), encoding="utf-8")
    command = (
        "ffmpeg -nostdin -v error -f lavfi -i color=black:s=320x180:d=1"
        " -vf setpts=PTS+61.4/TB,ass=a.ass -frames:v 1 -f rawvideo -pix_fmt gray -"
    )
    done = subprocess.run(command.split(), cwd=tmp_path, capture_output=True)
    assert done.returncode == 0 and max(done.stdout) > 150, done.stderr


def test_json_tells_all() -> None:
    data = json.loads(render(example(), "json"))
    assert data["text"] == "Wörds {&}\na-->b <end>"
    assert data["lines"][0]["words"][1] == {
        "start": 61.75, "end": 62.255, "text": "{&}", "probability": 0.8,
    }  # fmt: skip
    assert data["segments"][1] == {"start": 3720.0, "end": 3730.0}
    assert "note" not in data


@pytest.mark.parametrize("presence", [0.01, None])
def test_an_instrumental_is_an_empty_file_that_says_so(presence: float | None) -> None:
    empty = replace(example(), lines=(), is_instrumental=True, presence=presence, vocals_db=-48.2)
    assert all(render(empty, name) == "" for name in ("txt", "lrc", "elrc", "srt"))
    assert render(empty, "vtt") == "WEBVTT\n\n" and "Dialogue" not in render(empty, "ass")
    note = json.loads(render(empty, "json"))["note"]
    assert note.startswith("no vocals found") and "-48 dB" in note
    assert ("presence 0.01" in note) == (presence is not None)


@pytest.mark.parametrize("format", ["lrc", "elrc", "srt", "json"])
def test_what_is_written_is_read_as_line_times(tmp_path: Path, format: str) -> None:
    path = tmp_path / f"x.{format.removeprefix('e')}"
    path.write_text(render(example(), format), encoding="utf-8")
    lines = read_line_times(path)
    assert [line.text.replace("->", "").replace("-", "") for line in lines] == [
        "Wörds {&}", "ab <end>",
    ]  # fmt: skip
    for line, wanted in zip(lines, example().lines, strict=True):
        assert line.span.start == pytest.approx(wanted.start, abs=0.01)
        assert line.span.end == pytest.approx(wanted.end, abs=0.01)


def test_lrc_of_others(tmp_path: Path) -> None:
    path = tmp_path / "x.lrc"
    path.write_text("\ufeff[ar:X]\n[00:10.5][00:40]twice\n[00:20:50]once\nno time\n")
    lines = read_line_times(path)
    assert [(line.span.start, line.span.end, line.text) for line in lines] == [
        (10.5, 20.5, "twice"), (20.5, 30.5, "once"), (40.0, 50.0, "twice"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "content", "word"),
    [
        ("a.json", "{", "timed lines"),
        ("a.json", '{"lines": [{"start": 3, "end": 2}]}', "start 3"),
        ("a.json", '{"lines": [{"start": 1, "end": NaN}]}', "nan"),
        ("a.json", '{"x": 1}', "segments"),
        ("a.json", '{"lines": 7}', "timed"),
        ("a.lrc", "only text", "no timed lines"),
        ("a.srt", "1\n00:00:01,000 --> x\nhello", "times"),
        ("a.docx", "", ".json, .lrc or .srt"),
    ],
)
def test_bad_line_times_are_one_line(tmp_path: Path, name: str, content: str, word: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError) as error:
        read_line_times(tmp_path / name)
    assert word in str(error.value) and "\n" not in str(error.value)
    with pytest.raises(InputError, match="cannot be read"):
        read_line_times(tmp_path / "missing.lrc")


def test_all_formats_are_written() -> None:
    for name in FORMATS:
        assert render(example(), name).endswith("\n")
