"""The command line, with real models on real singing."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from lyrics_helpers import clip_of, shared_words, tiny_en
from typer.testing import CliRunner, Result

from separate.audio import read_audio, write_audio
from separate.cli.main import app

RATE = 16_000


def separate(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def lyrics(*arguments: object) -> Result:
    return separate("lyrics", "--whisper", tiny_en(), "--threads", 1, *arguments)


def check_line(result: Result, *words: str) -> None:
    assert result.exit_code == 1 and isinstance(result.exception, SystemExit), result.output
    line = next(x for x in result.stderr.splitlines() if x.startswith("error: "))
    assert all(word in line for word in words), line


@pytest.fixture(scope="module")
def verse(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = shared_data / "lyrics/Jonathan Coulton - Better.ogg"
    return clip_of(source, tmp_path_factory.mktemp("verse") / "süß verse.wav", 7, 22.3)


def stems_of(song: Path, folder: Path) -> Path:
    """Let a song stand for its own vocals."""
    clip_of(song, folder / song.stem / "vocals.wav", 0, 60)
    return folder


def test_separated_and_written_in_all_formats(verse: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = lyrics(verse, "-o", out, "--output_format", "all")
    assert result.exit_code == 0, result.output
    endings = ("txt", "lrc", "words.lrc", "srt", "vtt", "json", "tsv", "ass")
    assert result.stdout.splitlines() == [str(out / f"süß verse.{e}") for e in endings]
    assert shared_words((out / "süß verse.txt").read_text()) > 0.6
    data = json.loads((out / "süß verse.json").read_text())
    assert data["model"] == "default" and data["presence"] > 0.2
    assert all(line["words"] for line in data["lines"])
    assert data["timings"]["separation"] > 0
    (record,) = map(json.loads, (out / "separate.jsonl").read_text().splitlines())
    assert record["command"] == "lyrics" and len(record["outputs"]) == 8
    again = lyrics(verse, "-o", out, "-f", "all", "--resume")
    assert again.stdout == "" and "1 complete already" in again.stderr


def test_stems_that_were_written_are_reused(verse: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert separate("run", verse, "-q", "vocals", "-o", out, "--threads", 1).exit_code == 0
    result = lyrics(verse, "-o", out, "-f", "json", "--language", "english")
    assert result.exit_code == 0, result.output
    data = json.loads((out / "süß verse.json").read_text())
    assert data["model"].endswith("süß verse/vocals.wav") and data["presence"] is not None
    assert shared_words(data["text"]) > 0.6


def test_a_folder_with_bad_files(verse: Path, tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    stems = tmp_path / "stems"
    clip_of(verse, folder / "a.wav", 0, 15)
    stems_of(folder / "a.wav", stems)
    for name, array in (("silence", np.zeros((2, RATE))), ("one", np.zeros((1, 1)))):
        write_audio(folder / f"sub/{name}.wav", array.astype(np.float32), RATE)
        write_audio(stems / f"sub/{name}/vocals.wav", array.astype(np.float32), RATE)
    (folder / "broken.wav").write_bytes(b"RIFF")
    options = ("-o", out, "--stems", stems, "--output-format", "txt,lrc", "-f", "json")
    result = lyrics(folder, *options, "--word-timestamps", "False")
    check_line(result, "broken.wav")
    assert "1 of 4 failed" in result.stderr and "no vocals found" in result.stderr
    assert "go" in (out / "a.txt").read_text()
    assert (out / "sub/silence.lrc").read_text() == "" == (out / "sub/one.txt").read_text()
    assert json.loads((out / "sub/silence.json").read_text())["note"].startswith("no vocals")
    again = lyrics(folder, *options, "--word-timestamps", "False", "--resume")
    assert "3 complete already" in again.stderr and again.exit_code == 1
    assert "broken" not in [path.stem for path in out.iterdir()]


def test_line_times_of_a_file(verse: Path, tmp_path: Path) -> None:
    times = tmp_path / "times.lrc"
    times.write_text("[00:01.2]x\n[00:03]\n[00:04.7]y\n[00:08]\n")
    result = lyrics(
        verse, "-o", tmp_path, "--stems", stems_of(verse, tmp_path / "stems"), "--lines", times,
        "--initial_prompt", "Where did we go?", "--beam_size", 2, "-f", "json",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    data = json.loads((tmp_path / "süß verse.json").read_text())
    assert data["segmentation"] == "line times" and "moment" in data["text"]
    assert "sure" not in data["text"]


def test_an_instrumental_says_so(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "songs/train/MusicDelta Shadows"
    (bass, rate), (drums, _) = (read_audio(folder / f"{n}.ogg") for n in ("bass", "drums"))
    count = min(20 * rate, bass.shape[1], drums.shape[1])
    write_audio(tmp_path / "groove.wav", bass[:, :count] + drums[:, :count], rate)
    result = lyrics(tmp_path / "groove.wav", "-o", tmp_path)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "groove.txt").read_text() == ""
    data = json.loads((tmp_path / "groove.json").read_text())
    assert "presence" in data["note"] and data["lines"] == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--language", "klingon"], ["klingon", "no such language"]),
        (["--language", "de"], ["only English"]),
        (["--audio", "drums"], ["--audio", "mixture, vocals"]),
        (["-f", "doc"], ["--output_format", "'doc'", "lrc"]),
        (["--word_timestamps", "maybe"], ["True or False"]),
        (["--lines", "missing.lrc"], ["missing.lrc", "no such file"]),
        (["--end", "x"], ["--end"]),
        (["--jobs", "0"], ["--jobs"]),
        (["-n", "unknown-model"], ["unknown-model"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_wrong_options_are_one_line(verse: Path, tmp_path: Path, options: list, words: list):
    result = lyrics(verse, "-o", tmp_path / "out", *options)
    check_line(result, *words)
    assert len(result.stderr.strip().splitlines()) == 1


def test_what_cannot_be_read_or_written(verse: Path, tmp_path: Path) -> None:
    (tmp_path / "no.pt").write_bytes(b"no model")
    check_line(separate("lyrics", verse, "-o", tmp_path, "--whisper", tmp_path / "no.pt"), "no.pt")
    check_line(separate("lyrics"), "no input")
    (tmp_path / "file").touch()
    check_line(lyrics(verse, "-o", tmp_path / "file"), "file")
    check_line(lyrics(tmp_path / "gone.wav", "-o", tmp_path / "o"), "gone.wav", "no such file")
    check_line(lyrics(verse, "-o", tmp_path / "o", "--stems", tmp_path), "holds no vocals")
    if os.geteuid() != 0:
        locked = tmp_path / "locked"
        locked.mkdir(mode=0o500)
        check_line(lyrics(verse, "-o", locked), "locked")
