"""Whisper's own flags: all are here, and shape what comes out."""

import argparse
from dataclasses import replace

import pytest
from lyrics_helpers import example
from typer.main import get_command

from separate.cli.lyrics import _clips, lyrics_app
from separate.errors import SettingsError
from separate.lyrics.output.formats import render
from separate.lyrics.pipeline import _within
from separate.lyrics.segmentation.vad import Span
from separate.lyrics.settings import LyricsSettings, SubtitleSettings

# `--model` is the separator's name here, as in every command; Whisper's is `--whisper`.
OTHERWISE = {"--model", "--help", "-h"}


def whispers_parser(monkeypatch: pytest.MonkeyPatch) -> argparse.ArgumentParser:
    """The parser that openai-whisper's command builds."""
    import importlib

    module = importlib.import_module("whisper.transcribe")
    found: list[argparse.ArgumentParser] = []

    def stop(parser: argparse.ArgumentParser, *_: object) -> None:
        found.append(parser)
        raise SystemExit

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", stop)
    with pytest.raises(SystemExit):
        module.cli()
    return found[0]


def test_every_flag_of_whisper_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    command = get_command(lyrics_app)
    ours = {flag for parameter in command.params for flag in parameter.opts}
    parser = whispers_parser(monkeypatch)
    theirs = {flag for action in parser._actions for flag in action.option_strings}
    assert len(theirs) > 30 and theirs - OTHERWISE <= ours
    assert all(flag.replace("_", "-") in ours or flag.count("-") < 2 for flag in theirs - OTHERWISE)


def test_punctuations_are_those_of_whisper(monkeypatch: pytest.MonkeyPatch) -> None:
    parser, own = whispers_parser(monkeypatch), LyricsSettings()
    assert parser.get_default("prepend_punctuations") == own.prepend_punctuations
    assert parser.get_default("append_punctuations") == own.append_punctuations
    assert parser.get_default("suppress_tokens") == own.suppress_tokens


def test_subtitles_of_few_words() -> None:
    text = render(example(), "srt", SubtitleSettings(max_words_per_line=1))
    assert text.split("\n\n")[:2] == [
        "1\n00:01:01,000 --> 00:01:01,500\nWörds",
        "2\n00:01:01,750 --> 00:01:02,255\n{&}",
    ]


def test_narrow_subtitles_are_broken() -> None:
    shape = SubtitleSettings(max_line_width=5, max_line_count=2)
    text = render(example(), "vtt", shape)
    assert text.startswith("WEBVTT\n\n01:01.000 --> 01:02.255\nWörds\n{&}\n")


def test_highlighted_words_are_underlined_in_turn() -> None:
    text = render(example(), "srt", SubtitleSettings(highlight_words=True))
    assert "00:01:01,000 --> 00:01:01,500\n<u>Wörds</u> {&}\n" in text
    assert "00:01:01,750 --> 00:01:02,255\nWörds <u>{&}</u>\n" in text


def test_a_line_without_times_of_words_stays_whole() -> None:
    lyrics = example()
    bare = replace(lyrics, lines=tuple(replace(line, words=()) for line in lyrics.lines))
    text = render(bare, "srt", SubtitleSettings(max_words_per_line=1))
    assert text.startswith("1\n00:01:00,900 --> 00:01:02,255\nWörds {&}\n")


def test_other_formats_keep_their_shape() -> None:
    shape = SubtitleSettings(max_words_per_line=1)
    assert render(example(), "lrc", shape) == render(example(), "lrc")


@pytest.mark.parametrize(
    ("text", "clips"),
    [("0", ()), ("", ()), ("5,10,20,30", ((5, 10), (20, 30))), ("5,10,20", ((5, 10), (20, 1e7)))],
)
def test_clip_timestamps(text: str, clips: tuple) -> None:
    assert _clips(text) == clips


def test_bad_values_are_refused() -> None:
    with pytest.raises(SettingsError, match="--clip_timestamps 'soon'"):
        _clips("soon")
    with pytest.raises(SettingsError, match="--clip_timestamps"):
        LyricsSettings(clips=((10.0, 5.0),))
    with pytest.raises(SettingsError, match="--suppress_tokens"):
        LyricsSettings(suppress_tokens="all")
    with pytest.raises(SettingsError, match="--max_line_width 0"):
        SubtitleSettings(max_line_width=0)


def test_segments_are_cut_to_the_clips() -> None:
    """Clips are in the file's time; the spans begin 100 s later."""
    spans = [Span(0.0, 10.0), Span(20.0, 30.0)]
    assert _within(spans, ((105.0, 122.0), (125.0, 126.0)), 100.0) == [
        Span(5.0, 10.0), Span(20.0, 22.0), Span(25.0, 26.0),
    ]  # fmt: skip
    assert _within(spans, (), 100.0) is spans


def test_a_shape_asks_for_times_of_words_and_counts_for_resume() -> None:
    plain, shaped = LyricsSettings(), LyricsSettings(subtitles=SubtitleSettings(40))
    assert not plain.is_timing_words and shaped.is_timing_words
    assert "subtitles" not in plain.fingerprint() and shaped.fingerprint()["subtitles"]
    assert plain.fingerprint() == LyricsSettings(fp16=False, model_dir="x").fingerprint()
