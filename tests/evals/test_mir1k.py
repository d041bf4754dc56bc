import shutil

import numpy as np
import pytest
from song_helpers import RATE, noise, tone

from separate.audio import write_audio
from separate.errors import DataError
from separate.evals.tasks.evaluation import evaluate
from separate.evals.tasks.methods import Method, oracle_method
from separate.evals.tasks.mir1k import Mir1kEval, find_clips, weighted

MIXTURE = Method("mixture", "mixture", "the mixture itself")


def task(method=MIXTURE, stems=("vocals",)):
    return Mir1kEval(method, stems, "MIR-1K", "test", accompaniment=True)


@pytest.fixture
def folder(tmp_path):
    for kind in ("vocals", "accompaniment"):
        (tmp_path / kind).mkdir()
    for index, name in enumerate(("abjones_1_01", "bug_1_01", "bug_2_01")):
        seconds = 1.0 + index
        voice = tone(440, seconds, channels=1) + noise(index, seconds, 0.01, 1)
        write_audio(tmp_path / "vocals" / f"{name}.wav", voice, RATE, subtype="FLOAT")
        rest = noise(9 + index, seconds, channels=1)
        write_audio(tmp_path / "accompaniment" / f"{name}.wav", rest, RATE, subtype="FLOAT")
    return tmp_path


def test_published_split_and_singers(folder):
    assert [clip.name for clip in find_clips(folder)] == ["bug_1_01", "bug_2_01"]
    assert [clip.singer for clip in find_clips(folder, "train")] == ["abjones"]
    assert len(find_clips(folder, None)) == 3
    with pytest.raises(DataError, match="no clip"):
        find_clips(folder, singers=["nobody"])
    with pytest.raises(DataError, match="expected the folders"):
        find_clips(folder / "vocals")


def test_the_shared_data_has_the_published_number_of_clips(shared_data):
    assert len(find_clips(shared_data / "mir1k")) == 825
    assert len(find_clips(shared_data / "mir1k", "train")) == 175


def test_the_mixture_is_no_gain_and_an_oracle_is(folder):
    clips = find_clips(folder)
    baseline = evaluate(clips, task())["summary"]
    assert baseline["vocals"]["gnsdr"]["mean"] == pytest.approx(0, abs=1e-6)
    oracle = evaluate(clips, task(oracle_method("irm", "whole")))["summary"]
    assert oracle["vocals"]["gnsdr"]["mean"] > 5 and oracle["accompaniment"]["gsir"]["mean"] > 5


@pytest.mark.skipif(not shutil.which("ffprobe"), reason="museval needs ffmpeg")
def test_scores_are_those_of_bss_eval_sources(folder):
    from museval.metrics import bss_eval_sources

    clip = find_clips(folder)[0]
    result = evaluate([clip], task(oracle_method("ibm", "whole")))
    entry = result["songs"][0]["stems"]["vocals"]
    song = clip.load()
    truth = np.stack([audio.T.astype(float) for audio in song.references.values()])
    both = np.stack([song.mixture.T.astype(float)] * 2)
    before = bss_eval_sources(truth, both, compute_permutation=False)[0]
    assert entry["sdr"] - entry["nsdr"] == pytest.approx(float(before[0, 0]), abs=1e-6)


def test_means_are_weighted_by_length_and_skip_what_is_no_number():
    def clip(seconds, value):
        scores = {"nsdr": value, "sdr": value, "sir": None, "sar": 1.0}
        return {"seconds": seconds, "stems": {"vocals": scores}}

    table = weighted([clip(1.0, 2.0), clip(3.0, 6.0)])
    assert table["vocals"]["gnsdr"] == {"mean": 5.0, "low": None, "high": None, "songs": 2}
    assert np.isnan(table["vocals"]["gsir"]["mean"])
