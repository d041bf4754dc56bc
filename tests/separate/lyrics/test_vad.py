import itertools

import librosa
import numpy as np
import pytest

from separate.errors import SettingsError
from separate.lyrics.segmentation.vad import Loudness, Span, find_singing, merge, relative
from separate.lyrics.settings import SAMPLE_RATE, LyricsSettings, VadSettings

VAD = VadSettings()


def loudness(signal: np.ndarray, block: int = 10_000) -> Loudness:
    found = Loudness(VAD)
    for start in range(0, len(signal), block):
        found.append(signal[start : start + block])
    return found


def singing(*parts: tuple[float, float]) -> np.ndarray:
    """A signal of (seconds, amplitude) stretches."""
    rng = np.random.default_rng(0)
    pieces = [a * rng.uniform(-1, 1, round(s * SAMPLE_RATE)) for s, a in parts]
    return np.concatenate(pieces).astype(np.float32)


def spans(signal: np.ndarray, settings: VadSettings = VAD) -> list[Span]:
    return find_singing(loudness(signal).rms(), len(signal), settings)


@pytest.mark.parametrize("samples", [1, 511, 512, 2047, 2048, 50_001])
@pytest.mark.parametrize("block", [1000, 100_000])
def test_loudness_is_librosas_rms(samples: int, block: int) -> None:
    signal = np.random.default_rng(samples).standard_normal(samples).astype(np.float32)
    expected = librosa.feature.rms(y=signal, frame_length=2048, hop_length=512, center=True)[0]
    np.testing.assert_allclose(loudness(signal, block).rms(), expected, rtol=1e-5)


def test_silence_divides_by_nothing() -> None:
    assert relative(np.zeros(5)).tolist() == [0.0] * 5
    assert spans(np.zeros(SAMPLE_RATE, np.float32)) == []
    assert spans(np.zeros(0, np.float32)) == []
    assert spans(np.zeros(1, np.float32)) == []


def test_short_rests_stay_and_long_ones_part() -> None:
    signal = singing((2, 0.0), (3, 0.5), (0.7, 0.0), (3, 0.5), (1.5, 0.01), (2, 0.5), (3, 0.0))
    unmerged = VadSettings(max_speech=9)
    found = spans(signal, unmerged)
    assert len(found) == 2
    np.testing.assert_allclose([found[0].start, found[0].end], [1.8, 8.9], atol=0.1)
    np.testing.assert_allclose([found[1].start, found[1].end], [10.0, 12.4], atol=0.1)
    assert len(spans(signal)) == 1  # merged: together they fit into 30 s


def test_no_segment_exceeds_the_maximum_and_nothing_sung_is_lost() -> None:
    rest = (0.15, 0.0)
    signal = singing((20, 0.5), rest, (15, 0.5), rest, (95, 0.4), (4, 0), (10, 0.5))
    found = spans(signal)
    assert all(span.seconds <= 30.0 for span in found)
    assert all(a.end <= b.start for a, b in itertools.pairwise(found))
    np.testing.assert_allclose(found[0].end, 20.07, atol=0.15)  # cut at the rest
    covered = sum(span.seconds for span in found)
    assert covered >= 139.5


def test_without_a_rest_the_cut_is_at_the_quietest_frame_of_the_second_half() -> None:
    signal = singing((5, 0.5), (0.06, 0.1), (17, 0.5), (0.06, 0.2), (20, 0.5))
    assert spans(signal)[0].end == pytest.approx(22.1, abs=0.1)


def test_result_does_not_depend_on_level() -> None:
    signal = singing((1, 0), (3, 0.5), (2, 0.0), (30, 0.3), (1, 0))
    assert spans(signal) == spans(signal * np.float32(0.001))


def test_merge_is_greedy() -> None:
    parts = [Span(0, 10), Span(12, 29), Span(29.5, 31), Span(40, 65)]
    assert merge(parts, 30) == [Span(0, 29), Span(29.5, 31), Span(40, 65)]


@pytest.mark.parametrize(
    "wrong",
    [{"frame": 1000}, {"onset": 2}, {"offset": 0.5}, {"max_speech": 31}, {"pad": -1}],
)
def test_wrong_parameters_are_refused(wrong: dict) -> None:
    with pytest.raises(SettingsError):
        VadSettings(**wrong)


@pytest.mark.parametrize(
    "wrong",
    [{"audio": "drums"}, {"task": "sing"}, {"formats": ("doc",)}, {"beam_size": 0}, {"end": 0.0},
     {"segmentation": "x"}, {"device": "tpu"}, {"blend_db": float("nan")}, {"formats": ()}],
)  # fmt: skip
def test_wrong_settings_are_one_line(wrong: dict) -> None:
    with pytest.raises(SettingsError) as error:
        LyricsSettings(**wrong)
    assert "\n" not in str(error.value)
