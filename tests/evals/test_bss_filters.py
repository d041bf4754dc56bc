import numpy as np
import pytest

from separate.evals.metrics.bss_filters import bss_eval


def signals(sources=2, channels=2, samples=3000, seed=0):
    generator = np.random.default_rng(seed)
    references = [generator.standard_normal((channels, samples)) for _ in range(sources)]
    estimates = [
        truth + 0.3 * references[(index + 1) % sources] + 0.1 * np.roll(truth, 5, axis=1)
        + 0.05 * generator.standard_normal(truth.shape)
        for index, truth in enumerate(references)
    ]  # fmt: skip
    return references, estimates


def delayed(array, taps):
    """Columns of delayed copies, `(channels taps, time + taps - 1)`."""
    length = array.shape[1] + taps - 1
    rows = np.zeros((len(array) * taps, length))
    for channel, signal in enumerate(array):
        for delay in range(taps):
            rows[channel * taps + delay, delay : delay + len(signal)] = signal
    return rows


@pytest.mark.parametrize("allow_filter", [False, True])
def test_projections_are_least_squares(allow_filter):
    taps = 8
    references, estimates = signals(samples=500)
    scores = bss_eval(references, estimates, taps=taps, allow_filter=allow_filter)
    basis = np.concatenate([delayed(truth, taps) for truth in references])
    for source, guess in enumerate(estimates):
        wide = np.pad(guess, ((0, 0), (0, taps - 1)))
        truth = np.pad(references[source], ((0, 0), (0, taps - 1)))
        rows = delayed(references[source], taps)
        own = np.stack([rows.T @ np.linalg.lstsq(rows.T, y, rcond=None)[0] for y in wide])
        whole = np.stack([basis.T @ np.linalg.lstsq(basis.T, y, rcond=None)[0] for y in wide])

        def ratio(power, error):
            return 10 * np.log10(np.square(power).sum() / np.square(error).sum())

        aim = own if allow_filter else truth
        assert scores.sdr[source, 0] == pytest.approx(ratio(aim, wide - aim), abs=1e-6)
        assert scores.sir[source, 0] == pytest.approx(ratio(own, whole - own), abs=1e-6)
        assert scores.sar[source, 0] == pytest.approx(ratio(whole, wide - whole), abs=1e-6)
        if not allow_filter:
            assert scores.isr[source, 0] == pytest.approx(ratio(truth, own - truth), abs=1e-6)


def test_blocks_leave_no_trace(monkeypatch):
    references, estimates = signals(3, 1, 4000)
    whole = bss_eval(references, estimates, 1000, taps=32)
    monkeypatch.setattr("separate.evals.metrics.bss_filters._BLOCK_SAMPLES", 300)
    pieces = bss_eval(references, estimates, 1000, taps=32)
    for metric in ("sdr", "isr", "sir", "sar"):
        np.testing.assert_allclose(getattr(whole, metric), getattr(pieces, metric), atol=1e-8)


def test_a_silent_frame_is_left_out_for_all_and_the_rest_at_the_end_does_not_count():
    references, estimates = signals(samples=3500)
    references[0][:, 1000:2000] = 0
    scores = bss_eval(references, estimates, 1000, taps=16)
    assert np.isnan(scores.sdr).tolist() == [[False, True, False]] * 2


def test_what_does_not_fit_is_refused():
    references, estimates = signals(samples=100)
    with pytest.raises(ValueError, match="one shape"):
        bss_eval(references, [array[:, 1:] for array in estimates])
    with pytest.raises(ValueError, match="silent"):
        bss_eval([references[0], np.zeros((2, 100))], estimates)
