"""The lyrics stage behind the page."""

from dataclasses import asdict

import pytest

from separate.app.jobs.lyrics import missing, render, write_down
from separate.app.jobs.orders import LyricsOrder
from separate.errors import InputError, WeightsError
from separate.lyrics import Line, Lyrics, Word
from separate.lyrics.output import formats
from separate.settings import Settings

WORDS = (Word(1.0, 1.4, "hello", 0.9), Word(1.5, 2.0, "there", 0.9))
LYRICS = Lyrics(
    lines=(Line(1.0, 2.0, "hello there", WORDS), Line(3.0, 4.0, "again")),
    dropped=(), language="en", whisper="tiny", whisper_sha256="0", model="default",
    audio="mixture", segmentation="rms-vad", segments=(), presence=0.9, vocals_db=-3.0,
    duration=5.0,
)  # fmt: skip
RESULT = {"lyrics": asdict(LYRICS)}


def test_unchanged_lines_give_what_the_library_writes():
    texts = [line.text for line in LYRICS.lines]
    for format in ("lrc", "srt", "ass", "txt"):
        assert render(RESULT, texts, format) == formats.render(LYRICS, format)


def test_edits_keep_times_and_word_times_where_their_number_stays():
    text = render(RESULT, ["hullo there", ""], "srt")
    assert "hullo there" in text and "again" not in text and "00:00:01,000" in text
    karaoke = render(RESULT, ["hullo there", "again"], "ass")
    assert karaoke == formats.render(LYRICS, "ass").replace("hello", "hullo")
    assert "something else entirely" in render(RESULT, ["something else entirely", "x"], "ass")


@pytest.mark.parametrize(
    ("texts", "format"),
    [(["one"], "lrc"), (["a", 3], "lrc"), (["a", "b" * 501], "lrc"), (["a", "b"], "exe")],
)
def test_what_does_not_fit_is_refused(texts, format):
    with pytest.raises(InputError):
        render(RESULT, texts, format)


def test_without_whisper_it_says_what_to_run(tmp_path, monkeypatch):
    monkeypatch.setenv("SEPARATE_CACHE", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert missing().endswith("run: separate models get whisper-base")
    order = LyricsOrder(tmp_path / "a.wav", tmp_path, 60.0, Settings())
    with pytest.raises(WeightsError, match="separate models get whisper-base"):
        write_down(order, None, lambda part, step: None)


def test_a_song_is_written_down(tmp_path, shared_data):
    if missing():
        pytest.skip("no Whisper model in the cache: separate models get whisper-base")
    from separate import Separator

    song = shared_data / "lyrics" / "Jonathan Coulton - Code Monkey.ogg"
    steps = []
    settings = Settings(threads=1)
    made = write_down(
        LyricsOrder(song, tmp_path, 34.0, settings, "en"),
        Separator(settings),
        lambda part, step: steps.append((part, step)),
    )
    assert "monkey" in " ".join(line["text"] for line in made["lyrics"]["lines"]).lower()
    assert any(line["words"] for line in made["lyrics"]["lines"])
    assert made["duration"] == pytest.approx(34.0, abs=0.01)
    assert (tmp_path / made["mixture"]["play"]).stat().st_size == made["mixture"]["frames"] * 4
    assert steps == sorted(steps, key=lambda step: step[0])
