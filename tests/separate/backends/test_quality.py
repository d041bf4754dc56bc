"""What comes out is separated: SDR on the bundled example, as recorded, of every backend."""

import numpy as np
import pytest
import quality


def test_the_stems_are_those_of_the_example() -> None:
    mixture, truth = quality.example()
    total = np.sum(list(truth.values()), axis=0)
    # Noise of two codings at 17 and 19 dB; the stems themselves sum to the example at 18.6 dB.
    assert quality.sdr(mixture, total) > 16.5
    for name, stem in truth.items():  # each is there, once, at its place
        assert quality.sdr(mixture - total + stem, stem) > 8, name


@pytest.mark.parametrize("backend", quality.BACKENDS)
def test_quality_is_as_recorded(backend: str) -> None:
    found = quality.measure(backend)
    assert found.keys() == quality.recorded(backend).keys()
    quality.check_quality(backend, found)


@pytest.mark.parametrize(
    ("backend", "kind"),
    [
        (backend, kind)
        for backend in quality.BACKENDS
        for kind in (*quality.WRONG, quality.SWAPPED)
        if kind != "channels swapped" or backend not in quality.ONE_MASK
    ],
)
def test_wrong_masks_are_noticed(backend: str, kind: str) -> None:
    found = quality.measure(backend, kind)
    with pytest.raises(AssertionError, match="recorded"):
        quality.check_quality(backend, found)


def test_the_leak_of_the_waveform_oracle_is_measured_exactly() -> None:
    mixture, truth = quality.with_sound()
    for name in ("vocals", "drums", "bass"):
        leak = quality.LEAK * (mixture - truth[name])
        expected = quality.sdr(truth[name], truth[name] + leak)
        assert quality.recorded("hdemucs")[name] == pytest.approx(expected, abs=0.01)
