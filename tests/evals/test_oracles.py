import numpy as np
import pytest
from song_helpers import four_stems

from separate.evals.metrics.sdr import global_sdr
from separate.evals.tasks import oracles
from separate.evals.tasks.oracles import ORACLES, OracleConfig, separate_oracle


@pytest.mark.parametrize("kind", ORACLES)
def test_estimates_are_near_their_sources(kind):
    stems = four_stems()
    mixture = sum(stems.values())
    estimates = separate_oracle(stems, mixture, OracleConfig(kind, 1024, 256))
    assert list(estimates) == list(stems)
    for stem, reference in stems.items():
        assert estimates[stem].shape == reference.shape
        assert global_sdr(reference, estimates[stem]) > global_sdr(reference, mixture) + 6


def test_ratio_masks_sum_to_the_mixture():
    stems = four_stems()
    mixture = sum(stems.values())
    estimates = separate_oracle(stems, mixture, OracleConfig("irm", 1024, 256))
    np.testing.assert_allclose(sum(estimates.values()), mixture, atol=1e-4)


def test_disjoint_sources_are_separated_all_but_exactly():
    time = np.arange(24000) / 8000
    low, high = (np.sin(2 * np.pi * f * time)[None].astype(np.float32) for f in (250, 2000))
    estimates = separate_oracle({"a": low, "b": high}, low + high, OracleConfig("ibm", 1024, 256))
    assert global_sdr(low, estimates["a"]) > 30


@pytest.mark.parametrize("kind", ORACLES)
def test_blocks_leave_no_trace(kind, monkeypatch):
    stems = four_stems()
    mixture = sum(stems.values())
    config = OracleConfig(kind, 512, 128)
    whole = separate_oracle(stems, mixture, config)
    if kind == "mwf":  # its covariances count the frames of margins twice: equal but for those
        spatial = oracles._spatial(list(stems.values()), oracles.StftConfig(512, 128))
        monkeypatch.setattr(oracles, "_spatial", lambda *_: spatial)
    monkeypatch.setattr(oracles, "_BLOCK_FRAMES", 40)
    pieces = separate_oracle(stems, mixture, config)
    for stem in stems:
        np.testing.assert_allclose(pieces[stem], whole[stem], atol=2e-4)


def test_model_masks_go_on_above_their_band():
    stems = four_stems()
    mixture = sum(stems.values())
    banded = separate_oracle(stems, mixture, OracleConfig("irm", 1024, 256, bins=128))
    whole = separate_oracle(stems, mixture, OracleConfig("irm", 1024, 256))
    np.testing.assert_allclose(sum(banded.values()), mixture, atol=1e-4)
    assert global_sdr(stems["vocals"], banded["vocals"]) == pytest.approx(
        global_sdr(stems["vocals"], whole["vocals"]), abs=1.5
    )


def test_silence_stays_silent():
    silent = np.zeros((2, 4000), np.float32)
    for kind in ORACLES:
        estimates = separate_oracle(
            {"a": silent, "b": silent}, silent, OracleConfig(kind, 512, 128)
        )
        assert not estimates["a"].any() and np.isfinite(estimates["b"]).all()


def test_unknown_oracle():
    with pytest.raises(ValueError, match="oracle"):
        OracleConfig("magic")
