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
    with pytest.raises(DataError, match="expected the folders vocals and accompaniment"):
        find_clips(folder / "vocals")


def write(path, *channels):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_audio(path, np.concatenate(channels), RATE, subtype="FLOAT")


def test_ikala_is_left_against_right(tmp_path):
    voice, rest = tone(440, 1.0, channels=1), noise(1, 1.0, channels=1)
    write(tmp_path / "Wavfile" / "10161_chorus.wav", rest, voice)
    (clip,) = find_clips(tmp_path)
    song = clip.load()
    assert (clip.name, clip.singer) == ("10161_chorus", "10161")
    np.testing.assert_array_equal(song.references["vocals"], voice)
    np.testing.assert_array_equal(song.references["accompaniment"], rest)
    np.testing.assert_allclose(song.mixture, voice + rest, atol=1e-7)


def test_dsd100_is_mixed_down(tmp_path):
    parts = {"vocals": tone(440, 1.0, channels=1)}
    parts |= {name: noise(i, 1.0, channels=1) for i, name in enumerate(("bass", "drums", "other"))}
    for split, title in (("Dev", "051 - One"), ("Test", "001 - Two")):
        for name, sound in parts.items():
            write(tmp_path / "Sources" / split / title / f"{name}.wav", sound, 0.5 * sound)
    assert [clip.name for clip in find_clips(tmp_path)] == ["001 - Two"]
    assert [clip.name for clip in find_clips(tmp_path, "train")] == ["051 - One"]
    song = find_clips(tmp_path)[0].load()
    np.testing.assert_allclose(song.references["vocals"], 0.75 * parts["vocals"], atol=1e-6)
    whole = 0.75 * (parts["bass"] + parts["drums"] + parts["other"])
    np.testing.assert_allclose(song.references["accompaniment"], whole, atol=1e-6)


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
