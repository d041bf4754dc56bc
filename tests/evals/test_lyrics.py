import json
from pathlib import Path

import numpy as np
import pytest
from lyrics_helpers import clip_of, tiny_en
from typer.testing import CliRunner

from separate.audio import write_audio
from separate.errors import DataError, SettingsError
from separate.evals.cli.commands import eval_app
from separate.evals.data.lyrics import find_lyrics_songs
from separate.evals.metrics.wer import reduction, score_texts, wer_interval
from separate.evals.report.lyrics import lyrics_table
from separate.evals.report.page import page as page_of
from separate.evals.report.tables import tables_of
from separate.evals.tasks.lyrics import BASELINE, DEFAULT, TRUE, LyricsMethod, summarise_lyrics

pytest.importorskip("alt_eval", reason="alt-eval is not installed")
LINES = [
    {"start": 8.26, "end": 9.78, "text": "Where did we go?"},
    {"start": 11.86, "end": 13.16, "text": "When was the moment"},
    {"start": 13.21, "end": 14.79, "text": "That we broke in two?"},
    {"start": 15.46, "end": 17.04, "text": "I think I know"},
]


def test_scores_are_alt_evals() -> None:
    scores = score_texts(["Hello big world\nof songs"], ["hello world\nof songs"], ["en"])
    assert scores["words"] == 5 and scores["hits"] == 4
    assert (scores["deletions"], scores["insertions"], scores["substitutions"]) == (1, 0, 0)
    assert scores["WER"] == pytest.approx(0.2) and scores["ER_case"] == pytest.approx(0.2)
    assert scores["F1_line"] == 1.0 and scores["hallucinated_runs"] == 0


def test_invented_runs_have_more_than_ten_words() -> None:
    for count, runs in ((10, 0), (11, 1)):
        text = "one two " + "la " * count + "three"
        scores = score_texts(["one two three"], [text], ["en"])
        assert scores["hallucinated_runs"] == runs
        assert scores["hallucinated_words"] == count * runs
    assert score_texts(["one two"], [""], ["en"])["deletions"] == 2


def counts(errors: int, words: int) -> dict:
    return {"substitutions": errors, "deletions": 0, "insertions": 0, "words": words}


def test_intervals_over_songs() -> None:
    ours, theirs = [counts(10, 100), counts(30, 100)], [counts(20, 100), counts(40, 100)]
    assert wer_interval(ours) == (0.1, 0.3) and wer_interval(ours[:1]) is None
    found = reduction(ours, theirs)
    assert found["mean"] == pytest.approx(1 / 3)
    assert (found["low"], found["high"]) == (pytest.approx(0.25), pytest.approx(0.5))


def test_summary_leaves_out_what_was_trained_on() -> None:
    def song(name: str, text: str, seen: bool) -> dict:
        entry = {
            "texts": {"plain": text, "guarded": text},
            "scores": dict.fromkeys(("plain", "guarded"), score_texts(["a b"], [text], ["en"])),
            "seconds": 2.0,
        }
        return {
            "song": name, "reference": "a b", "language": "en", "seen": seen, "seconds": 10.0,
            "ways": {BASELINE.name: entry},
        }  # fmt: skip

    songs = [song("x", "a b", False), song("y", "c", True)]
    summary = summarise_lyrics(songs, [BASELINE.name, "other"], BASELINE.name)
    assert list(summary) == [BASELINE.name]
    assert summary[BASELINE.name]["plain"]["WER"] == 0
    assert summary[BASELINE.name]["plain"]["real_time_factor"] == 0.2


def test_routes_have_names() -> None:
    assert BASELINE.name == "mixture, Whisper's windows"
    assert LyricsMethod("vocals", "rms-vad", TRUE).name == "true vocals, RMS-VAD"
    assert DEFAULT.name == "by default"


def test_songs_are_found_in_both_layouts(tmp_path: Path) -> None:
    noise = np.zeros((1, 800), np.float32)
    for name in ("a", "b", "c"):
        write_audio(tmp_path / f"flat/{name}.wav", noise, 8000)
    (tmp_path / "flat/a.lrc").write_text("[00:01]Hello\n[00:02]you\n")
    (tmp_path / "flat/b.json").write_text(json.dumps({"language": "German", "lines": LINES}))
    songs = find_lyrics_songs(tmp_path / "flat")
    assert [song.name for song in songs] == ["a", "b"]
    assert songs[0].text() == "Hello\nyou" and songs[0].language() is None
    assert songs[1].language() == "de" and songs[1].load().references == {}
    for name in ("x", "y"):
        write_audio(tmp_path / f"set/train/{name}/vocals.wav", noise, 8000)
        write_audio(tmp_path / f"set/train/{name}/bass.wav", noise, 8000)
    (tmp_path / "set/train/x/lyrics.txt").write_text("line\nline")
    (song,) = find_lyrics_songs(tmp_path / "set")
    assert (song.name, song.split, song.text()) == ("x", "train", "line\nline")
    assert set(song.load().references) == {"vocals", "bass"}
    (tmp_path / "set/train/x/lyrics.txt").write_text(" \n")
    with pytest.raises(DataError, match="no words"):
        song.text()
    with pytest.raises(DataError, match="no song with lyrics"):
        find_lyrics_songs(tmp_path / "set/train/y")
    with pytest.raises(DataError, match="no such folder"):
        find_lyrics_songs(tmp_path / "gone")


def invoke(*arguments: object):
    return CliRunner().invoke(eval_app, ["lyrics", *map(str, arguments)])


def test_a_verse_from_audio_to_table_and_page(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "lyrics/Jonathan Coulton - Better.ogg"
    data, out, report = tmp_path / "verse", tmp_path / "out", tmp_path / "report"
    clip_of(source, data / "Better.wav", 7.5, 17.5)
    (data / "Better.json").write_text(json.dumps({"language": "English", "lines": LINES}))
    options = (
        data, "--whisper", tiny_en(), "--audio", "mixture", "--no-by-default", "--out", out,
        "--threads", 1,
    )  # fmt: skip
    done = invoke(*options, "--report", report)
    assert done.exit_code == 0, done.output
    assert "WER" in done.output
    result = json.loads((out / "result.json").read_text())
    assert result["ways"] == [BASELINE.name, "mixture, RMS-VAD"]
    for way in result["ways"]:
        assert result["summary"][way]["plain"]["words"] == 17
        assert result["summary"][way]["guarded"]["WER"] < 0.5
    page = (report / "index.html").read_text()
    assert 'class="token hit' in page and "Word by word" in page and "http" not in page
    assert page == page_of([result], [])
    assert [table.title for table in tables_of(result)][-1] == "Lyrics"
    (first, *_) = lyrics_table([result]).rows
    assert first[0] == "tiny.en: mixture, Whisper's windows" and first[2] == "0.0"
    before = (out / "tracks/verse/Better.json").stat().st_mtime_ns
    assert invoke(*options, "--resume").exit_code == 0
    assert (out / "tracks/verse/Better.json").stat().st_mtime_ns == before


def test_wrong_options(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.wav", np.zeros((1, 800), np.float32), 8000)
    (tmp_path / "a.txt").write_text("hello")
    for wrong in (("--audio", "drums"), ("--segmentation", "x"), ("--resume",)):
        assert isinstance(invoke(tmp_path, *wrong).exception, SettingsError)
    assert isinstance(invoke(tmp_path, "--song", "b").exception, DataError)
