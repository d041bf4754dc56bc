"""Real Whisper on real singing."""

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from lyrics_helpers import SUNG, clip_of, shared_words, tiny_en

from separate.audio import read_audio
from separate.errors import CheckpointError, InputError, SettingsError, WeightsError
from separate.lyrics.pipeline import Transcriber, transcribe
from separate.lyrics.recognition.recogniser import Recogniser, check_language, find_whisper
from separate.lyrics.segmentation.segments import pieces
from separate.lyrics.segmentation.vad import Span
from separate.lyrics.settings import LyricsSettings, ShortFormSettings, VadSettings
from separate.lyrics.vocals.prepare import Vocals, prepare_array

ALONE = LyricsSettings(threads=1, segmentation="whisper", audio="mixture")


@pytest.fixture(scope="module")
def recogniser() -> Recogniser:
    return Recogniser(tiny_en(), LyricsSettings())


@pytest.fixture(scope="module")
def song(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """7 s of silence, then the first verse of a real song."""
    source = shared_data / "lyrics/Jonathan Coulton - Better.ogg"
    return clip_of(source, tmp_path_factory.mktemp("song") / "verse.wav", 7, 22.3, lead=7)


def given(recogniser: Recogniser, **options: object) -> Transcriber:
    return Transcriber(replace(ALONE, **options), recogniser=recogniser)  # type: ignore[arg-type]


def test_a_verse_with_times_of_lines_and_words(recogniser: Recogniser, song: Path) -> None:
    parts: list[float] = []
    # The verse itself stands for its vocals: the segmentation is what is looked at here.
    transcriber = given(recogniser, segmentation="rms-vad", word_timestamps=True)
    lyrics = transcriber.transcribe(song, vocals=song, on_progress=parts.append)
    assert shared_words(lyrics.text) > 0.7, lyrics.text
    assert lyrics.language == "en" and lyrics.whisper == "tiny.en"
    (segment,) = lyrics.segments
    assert 6.5 < segment.start < 9 and segment.end <= lyrics.duration
    words = [word for line in lyrics.lines for word in line.words]
    assert len(words) >= 20 and words[0].start > 7.5
    assert all(a.start <= b.start for a, b in itertools.pairwise(words))
    assert all(word.end <= lyrics.duration and not word.text.startswith(" ") for word in words)
    for line in lyrics.lines:
        assert line.start <= line.words[0].start and line.words[-1].end <= line.end
    went = next(word for word in words if word.text.lower().startswith("moment"))
    assert went.start == pytest.approx(12.9, abs=0.5)  # where it is sung
    assert parts == sorted(parts) and parts[-1] == 1.0


def test_the_same_from_an_array_and_always(recogniser: Recogniser, song: Path) -> None:
    array, rate = read_audio(song)
    before = array.copy()
    settings = {"guards": replace(ALONE.guards, is_on=False), "start": 0.0}
    first = given(recogniser, **settings).transcribe(song)
    second = given(recogniser, **settings).transcribe(array, rate)
    assert first.lines == second.lines and first.model is None
    np.testing.assert_array_equal(array, before)
    with pytest.raises(ValueError, match="sample_rate"):
        given(recogniser, **settings).transcribe(array)
    with pytest.raises(InputError):
        given(recogniser, **settings).transcribe(np.full((2, 9), np.nan), rate)


def test_times_are_those_of_the_recording(recogniser: Recogniser, song: Path) -> None:
    settings = {"guards": replace(ALONE.guards, is_on=False), "start": 9.0, "end": 15.0}
    lyrics = given(recogniser, **settings).transcribe(song)
    assert lyrics.lines[0].start >= 9.0 and lyrics.lines[-1].end <= 15.0
    assert "moment" in lyrics.text and "sure" not in lyrics.text


def test_line_times_are_the_short_form(recogniser: Recogniser, song: Path) -> None:
    lines = [Span(8.26, 9.8), Span(11.8, 14.8), Span(15.4, 17.1), Span(18.8, 22.1)]
    settings = {"guards": replace(ALONE.guards, is_on=False)}
    lyrics = given(recogniser, **settings).transcribe(song, line_times=lines)
    assert lyrics.segmentation == "line times" and len(lyrics.segments) == 1
    assert shared_words(lyrics.text) > 0.7
    alone = ShortFormSettings(is_concatenated=False)
    lyrics = given(recogniser, short_form=alone, **settings).transcribe(song, line_times=lines[:2])
    assert len(lyrics.segments) == 2 and "go" in lyrics.text and "sure" not in lyrics.text
    nothing = given(recogniser, **settings).transcribe(song, line_times=[Span(100, 101)])
    assert nothing.lines == () and "no words" in str(nothing.note())


def test_silence_and_very_short_files(recogniser: Recogniser) -> None:
    for samples in (1, 16_000, 80_000):
        silence = np.zeros((1, samples), np.float32)
        lyrics = transcribe_array(recogniser, silence, 16_000)
        assert lyrics.is_instrumental and lyrics.lines == () and "no vocals" in str(lyrics.note())
    tone = np.sin(np.arange(16_000) / 20, dtype=np.float32)[None]
    assert len(transcribe_array(recogniser, tone, 16_000).text.split()) < 6


def transcribe_array(recogniser: Recogniser, array: np.ndarray, rate: int, **options: object):
    import tempfile

    transcriber = given(recogniser, segmentation="rms-vad", **options)
    with tempfile.TemporaryDirectory() as folder:
        prepared = transcriber.prepare(array, Path(folder), rate, Vocals(array=array))
        return transcriber.lyrics_of(prepared)


def test_speech_is_transcribed_too(shared_data: Path, recogniser: Recogniser) -> None:
    speech, rate = read_audio(sorted((shared_data / "clips/speech").glob("*.ogg"))[0])
    lyrics = transcribe_array(recogniser, speech, rate)
    assert lyrics.lines and not lyrics.is_instrumental


def test_memory_does_not_grow_with_length(tmp_path: Path) -> None:
    import tracemalloc

    from separate.audio import AudioWriter
    from separate.lyrics.vocals.prepare import prepare_file

    path, rate = tmp_path / "long.wav", 8000
    noise = np.random.default_rng(0).uniform(-0.1, 0.1, (1, 60 * rate)).astype(np.float32)
    with AudioWriter(path, rate, 1) as writer:
        for _ in range(30):
            writer.write(noise)
        writer.commit()
    folder = tmp_path / "signals"
    folder.mkdir()
    tracemalloc.start()
    prepared = prepare_file(path, folder, VadSettings(), Vocals(path=path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert prepared.signals.seconds == 1800 and peak < 20e6  # 115 MB in one piece
    assert len(prepared.signals.read("blend", 1700, 1730, -6)) == 480_000
    with pytest.raises(InputError, match="no stem"):
        prepare_file(path, folder, VadSettings(), Vocals(path=path), end=60)


def test_long_recordings_are_cut_at_quiet_moments() -> None:
    rms = np.ones(round(3000 * 31.25))
    rms[round(1170 * 31.25)] = 0.1
    spans = pieces(rms, 3000.0, 512)
    assert [round(span.end) for span in spans] == [1170, 2310, 3000]
    assert pieces(rms, 1250.0, 512) == [Span(0, 1250.0)]


def test_a_blend_is_vocals_plus_the_rest(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    vocals, rest = rng.uniform(-0.4, 0.4, (2, 1, 16_000)).astype(np.float32)
    signals = prepare_array(
        vocals + rest, 16_000, tmp_path, VadSettings(), Vocals(array=vocals)
    ).signals
    blend = signals.read("blend", 0.25, 0.75, -6.0)
    np.testing.assert_allclose(blend, (vocals + 0.501187 * rest)[0, 4000:12000], atol=1e-6)
    np.testing.assert_allclose(signals.read("vocals", 0, 1), vocals[0], atol=1e-7)
    assert signals.vocals_db() == pytest.approx(-3.0, abs=0.2)


def test_languages() -> None:
    assert check_language(None) is None and check_language("English") == "en"
    assert check_language("DE") == "de"
    with pytest.raises(SettingsError, match="german"):
        check_language("Germann")


def test_an_english_model_says_that_it_knows_no_other(recogniser: Recogniser) -> None:
    for wrong, word in (({"language": "de"}, "only English"), ({"task": "translate"}, "translate")):
        with pytest.raises(SettingsError, match=word):
            recogniser._check(LyricsSettings(**wrong))


def test_files_that_are_no_whisper(tmp_path: Path) -> None:
    torch.save({"weights": torch.ones(3)}, tmp_path / "other.pt")
    (tmp_path / "noise.pt").write_bytes(bytes(range(256)))
    (tmp_path / "empty.pt").touch()
    torch.save({"dims": {"n_mels": 80}, "model_state_dict": {}}, tmp_path / "dims.pt")
    torch.save(Path, tmp_path / "pickle.pt")  # a class: not tensors
    for path in sorted(tmp_path.glob("*.pt")):
        with pytest.raises(CheckpointError, match="not a Whisper model") as error:
            Recogniser(path, LyricsSettings())
        assert "\n" not in str(error.value) and path.name in str(error.value)


def test_what_is_here_and_what_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recogniser: Recogniser
) -> None:
    here = tiny_en()
    assert find_whisper("tiny.en") == find_whisper("whisper-tiny.en") == here
    assert find_whisper(str(here)) == here
    monkeypatch.setenv("SEPARATE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for name, words in (
        (None, ("separate models get whisper-base", "--whisper FILE.pt")),
        ("base", ("separate models get whisper-base", "--whisper FILE.pt")),
        ("huge", ("no Whisper model 'huge'", "large-v3")),
        ("missing.pt", ("no such file",)),
    ):
        with pytest.raises(WeightsError) as error:
            find_whisper(name)
        assert all(word in str(error.value) for word in words) and "\n" not in str(error.value)
    folder = tmp_path / "cache/models"
    folder.mkdir(parents=True)
    for ending in (".pt", ".sha256"):
        (folder / f"whisper-tiny.en{ending}").write_bytes(
            here.with_name(f"whisper-tiny.en{ending}").read_bytes()
        )
    assert find_whisper(None).name == "whisper-tiny.en.pt"
    with pytest.raises(WeightsError, match="that knows de"):
        find_whisper(None, "de")


def test_python_in_one_line(song: Path) -> None:
    guards = replace(ALONE.guards, is_on=False)
    lyrics = transcribe(song, replace(ALONE, whisper=str(tiny_en()), guards=guards))
    assert shared_words(lyrics.text, SUNG) > 0.5


def test_whispers_own_windows_work_as_whisper_does() -> None:
    own, ours = LyricsSettings(segmentation="whisper"), LyricsSettings()
    assert own.is_conditioned and own.temperatures == pytest.approx((0, 0.2, 0.4, 0.6, 0.8, 1.0))
    assert not ours.is_conditioned and ours.temperatures == (0.0,)
    off = {"condition_on_previous_text": False, "temperature_increment_on_fallback": 0.0}
    assert not replace(own, **off).is_conditioned and replace(own, **off).temperatures == (0.0,)
    steps = replace(ours, temperature=0.2, temperature_increment_on_fallback=0.3).temperatures
    assert steps == pytest.approx((0.2, 0.5, 0.8))
    with pytest.raises(SettingsError, match="increment"):
        LyricsSettings(temperature_increment_on_fallback=0.01)


def test_a_segments_text_goes_on_only_where_asked_and_never_after_a_loop() -> None:
    from separate.lyrics.pipeline import _text_before
    from separate.lyrics.result import Line

    lines = [
        Line(0, 1, "first", segment=0, compression_ratio=1.0),
        Line(5, 6, "second one", segment=1, compression_ratio=1.0),
        Line(6, 7, "and more", segment=1, compression_ratio=1.0),
        Line(9, 10, "la la la", segment=2, compression_ratio=9.0),
    ]
    asked = LyricsSettings(condition_on_previous_text=True)
    texts = [_text_before(lines, index, asked) for index in range(5)]
    assert texts == ["", "first", "second one and more", "", ""]
    assert _text_before(lines, 1, LyricsSettings()) == ""
