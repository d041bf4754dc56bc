import math

import numpy as np
import pytest
from song_helpers import noise, tone

from separate.evals.metrics.sdr import bootstrap, global_sdr, median_of_frames, si_sdr
from separate.sdr import SOUNDING_DBFS, frame_sdr


def test_frame_sdr_of_hand_made_frames():
    # Three frames of four samples; |ref|^2 = 4, 4, 0; |ref - est|^2 = 1, 0.04, 9.
    reference = np.array([[1, 1, 1, 1, 1, -1, 1, -1, 0, 0, 0, 0]], np.float32)
    error = np.array([[1, 0, 0, 0, 0.1, 0.1, 0.1, 0.1, 3, 0, 0, 0]], np.float32)
    values = frame_sdr(reference, reference + error, 4)
    assert values[:2] == pytest.approx([10 * math.log10(4), 20.0], abs=1e-5)
    assert math.isnan(values[2])  # nothing sounds there
    assert median_of_frames(values) == pytest.approx((10 * math.log10(4) + 20) / 2, abs=1e-5)


def test_energy_is_summed_over_channels():
    reference = np.array([[1, 1], [0, 0]], np.float32)  # energy 2
    estimate = np.array([[1, 1], [1, 0]], np.float32)  # error 1
    assert frame_sdr(reference, estimate, 2)[0] == pytest.approx(10 * math.log10(2))
    assert global_sdr(reference, estimate) == pytest.approx(10 * math.log10(2))


def test_rest_of_a_frame_does_not_count_and_a_short_signal_is_one_frame():
    reference = np.ones((1, 10), np.float32)
    assert frame_sdr(reference, 0 * reference, 4).shape == (2,)
    assert frame_sdr(reference, 0 * reference, 44100) == pytest.approx([0.0])


def test_what_sounds_is_a_question_of_mean_power():
    quiet = np.full((2, 100), 10 ** (SOUNDING_DBFS / 20), np.float32)
    assert math.isnan(frame_sdr(quiet * 0.99, quiet * 0, 100)[0])
    assert frame_sdr(quiet * 1.01, quiet * 0, 100)[0] == pytest.approx(0.0)
    assert math.isnan(frame_sdr(quiet * 1.01, quiet * 0, 100, sounding_dbfs=-50)[0])


def test_scaling_changes_sdr_but_not_si_sdr():
    reference, disturbance = tone(440), noise(3, level=0.01)
    estimate = reference + disturbance
    halved = global_sdr(reference, 0.5 * reference)
    assert halved == pytest.approx(-10 * math.log10(0.25), abs=1e-4)
    assert global_sdr(reference, -reference) == pytest.approx(-10 * math.log10(4), abs=1e-4)
    assert si_sdr(reference, 0.1 * estimate) == pytest.approx(si_sdr(reference, estimate), abs=1e-3)


def test_si_sdr_by_hand():
    reference = np.array([[1, 0, 0, 0]], np.float32)
    estimate = np.array([[2, 1, 0, 0]], np.float32)  # 2 ref + an error of energy 1
    assert si_sdr(reference, estimate) == pytest.approx(10 * math.log10(4))
    assert si_sdr(reference, np.zeros_like(reference)) == -140.0


@pytest.mark.parametrize("score", [global_sdr, si_sdr])
def test_pieces_leave_no_trace(score, monkeypatch):
    reference = tone(440)
    estimate = 0.7 * reference + noise(3)
    whole = score(reference, estimate)
    monkeypatch.setattr("separate.evals.metrics.sdr._PIECE_SAMPLES", 1000)
    assert score(reference, estimate) == pytest.approx(whole, abs=1e-9)


def test_silent_reference_has_no_score():
    silent = np.zeros((2, 50), np.float32)
    assert math.isnan(global_sdr(silent, silent + 1)) and math.isnan(si_sdr(silent, silent + 1))
    assert math.isnan(median_of_frames(frame_sdr(silent, silent, 10)))


def test_perfect_estimate_is_finite():
    reference = tone(440)
    assert 100 < global_sdr(reference, reference) < 150


def test_swapped_channels_and_a_shift_cost_what_theory_says():
    left, right = noise(4, channels=1), noise(5, channels=1)
    reference = np.concatenate([left, right])
    # Independent signals of equal power: |a - b|^2 = 2 |a|^2, so -3.01 dB.
    assert global_sdr(reference, reference[::-1]) == pytest.approx(-3.01, abs=0.1)
    assert global_sdr(reference, np.roll(reference, 7, axis=1)) == pytest.approx(-3.01, abs=0.1)


@pytest.mark.parametrize("shape", [(2, 9), (1, 10), (10,), (2, 0)])
def test_shapes_are_checked(shape):
    with pytest.raises(ValueError, match="channels, time"):
        global_sdr(np.zeros((2, 10), np.float32), np.zeros(shape, np.float32))


def test_bootstrap():
    scores = [1.0, 2.0, 3.0, math.nan]
    interval = bootstrap(scores)
    assert interval == bootstrap(scores)
    assert interval.mean == 2.0 and interval.songs == 3
    assert 1.0 <= interval.low < 2.0 < interval.high <= 3.0
    assert bootstrap([5.0, 5.0]).low == bootstrap([5.0, 5.0]).high == 5.0
    assert bootstrap([1.5]).low is None and bootstrap([1.5]).mean == 1.5
    assert math.isnan(bootstrap([]).mean)


def test_same_definition_as_the_one_that_training_watches():
    from separate.train.dev import frame_sdr as watched

    reference, estimate = tone(440), tone(440) + noise(1)
    assert watched(reference, estimate, 8000) == pytest.approx(frame_sdr(reference, estimate, 8000))
