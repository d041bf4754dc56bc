import shutil
from pathlib import Path

import numpy as np
import pytest
from song_helpers import RATE, four_stems, noise

from separate.errors import DataError
from separate.evals.metrics import bss_eval
from separate.evals.tasks.musdb import StemFile
from separate.sdr import frame_sdr

needs_ffmpeg = pytest.mark.skipif(
    not (shutil.which("ffmpeg") and shutil.which("ffprobe")), reason="museval needs ffmpeg"
)


def test_missing_ffmpeg_gives_one_line_that_says_what_to_install(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda program: None)
    stems = {stem: audio[:, :100] for stem, audio in four_stems().items()}
    for needs in (
        lambda: bss_eval.evaluate(stems, stems, RATE, engine="museval"),
        StemFile(Path("track.stem.mp4")).load,
    ):
        with pytest.raises(DataError, match="apt install ffmpeg") as raised:
            needs()
        assert "\n" not in str(raised.value)


@needs_ffmpeg
def test_our_sdr_equals_musevals():
    stems = list(four_stems(2.3).items())[:2]
    references = {stem: audio + noise(9, 2.3, 1e-3) for stem, audio in stems}
    estimates = {
        stem: audio + noise(seed, 2.3, level=0.05)
        for seed, (stem, audio) in enumerate(references.items())
    }
    scores = bss_eval.evaluate(references, estimates, RATE, engine="museval")
    for stem in references:
        ours = frame_sdr(references[stem], estimates[stem], RATE)
        np.testing.assert_allclose(ours, scores.frames[stem]["SDR"], atol=1e-6)
        assert set(scores.frames[stem]) == set(bss_eval.METRICS)
    assert scores.nan_frames == 0 and scores.silent == ()


@needs_ffmpeg
def test_silent_sources_do_not_remove_the_others():
    references = {stem: audio.copy() for stem, audio in four_stems(2.0).items()}
    references["bass"][:] = 0
    references["drums"][:, :RATE] = 0
    estimates = {stem: audio + noise(2, 2.0, level=0.02) for stem, audio in references.items()}
    estimates["other"] = np.zeros_like(references["other"])
    scores = bss_eval.evaluate(references, estimates, RATE)
    assert scores.silent == ("bass",) and scores.silent_estimates == ("other",)
    assert set(scores.frames) == {"vocals", "drums", "other"}
    # museval's rule: a frame in which any source is silent is left out for all.
    assert scores.nan_frames == 1
    assert np.isnan(scores.frames["vocals"]["SDR"][0])
    assert scores.frames["vocals"]["SIR"][1] > 10
    assert scores.frames["other"]["SDR"][1] == 0 and np.isnan(scores.frames["other"]["SIR"][1])
