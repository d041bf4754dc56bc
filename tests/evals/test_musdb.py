import json
import shutil

import numpy as np
import pytest
from museval_metrics import EXPECTED
from museval_reference import FOUR, compute, degraded_song, noisy_stems, reference
from song_helpers import RATE, four_stems, noise, write_song

from separate.errors import DataError
from separate.evals.metrics import bss_eval
from separate.evals.metrics.sdr import median_of_frames
from separate.evals.tasks.evaluation import evaluate
from separate.evals.tasks.methods import Method, oracle_method
from separate.evals.tasks.musdb import MusdbEval, StemFile, find_tracks
from separate.evals.tasks.runner import RunOptions

TRACK = "Music Delta - 80s Rock"
MIXTURE = Method("mixture", "mixture", "the mixture itself")
needs_ffmpeg = pytest.mark.skipif(
    not (shutil.which("ffmpeg") and shutil.which("ffprobe")), reason="museval needs ffmpeg"
)


def task(method=MIXTURE, stems=FOUR, **options):
    return MusdbEval(method, stems, "MUSDB18", "test", accompaniment=True, **options)


def write_hq(folder):
    """Write two tracks in the layout of MUSDB18-HQ."""
    for subset, name in (("test", "A"), ("test", "B"), ("train", "C")):
        stems = noisy_stems()
        write_song(folder / subset / name, {**stems, "mixture": sum(stems.values())})
    return folder


@pytest.fixture
def hq(tmp_path):
    return write_hq(tmp_path)


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """The scores of both test tracks, and the folder that they are in."""
    folder = tmp_path_factory.mktemp("scored")
    tracks = find_tracks(write_hq(folder / "hq"), ["test"])
    return evaluate(tracks, task(), RunOptions(folder / "out")), folder / "out"


@needs_ffmpeg
@pytest.mark.parametrize("engine", ["blocks", pytest.param("museval", marks=pytest.mark.slow)])
def test_the_metrics_of_musevals_own_suite_come_out(shared_data, engine):
    song = find_tracks(shared_data / "musdb18", ["train"])[0].load().with_accompaniment()
    assert song.name == TRACK and song.sample_rate == 44100
    shape = song.mixture.T.shape
    random = np.random.RandomState(0)
    estimates = {stem: random.random_sample(shape).T for stem in EXPECTED}
    references = {stem: song.references[stem] for stem in EXPECTED}
    frames = bss_eval.evaluate(references, estimates, song.sample_rate, engine).frames
    for stem, metrics in EXPECTED.items():
        for metric, values in metrics.items():
            np.testing.assert_allclose(frames[stem][metric], values, atol=1e-3)


@pytest.mark.parametrize("kind", ["ibm", "irm"])
def test_oracles_land_where_museval_called_directly_puts_them(shared_data, kind):
    """The reference is an independent computation, see `museval_reference.oracle_medians`."""
    source = find_tracks(shared_data / "musdb18", ["train"])[0]
    ours = evaluate([source], task(oracle_method(kind, "whole")))["songs"][0]["stems"]
    expected = reference()["oracles"][kind]
    assert set(expected) == set(ours)
    for stem, median in expected.items():
        assert ours[stem]["SDR"] == pytest.approx(median, abs=0.3)


@needs_ffmpeg
@pytest.mark.slow
def test_the_kept_scores_are_musevals(shared_data):
    kept, computed = reference(), compute(shared_data / "musdb18")
    assert kept["oracles"] == {
        kind: pytest.approx(medians, abs=1e-3) for kind, medians in computed["oracles"].items()
    }
    for stem, metrics in computed["degraded_song"].items():
        for metric, values in metrics.items():
            np.testing.assert_allclose(kept["degraded_song"][stem][metric], values, atol=1e-5)


def test_hq_tracks_are_chosen_by_subset_and_name(hq):
    assert [t.name for t in find_tracks(hq, ["test"])] == ["A", "B"]
    assert [(t.split, t.name) for t in find_tracks(hq)] == [
        ("train", "C"),
        ("test", "A"),
        ("test", "B"),
    ]
    assert [t.name for t in find_tracks(hq / "test", ["test"], names=["B"])] == ["B"]
    with pytest.raises(DataError, match="no track 'Z'"):
        find_tracks(hq, ["test"], names=["Z"])
    with pytest.raises(DataError, match="no tracks in test"):
        find_tracks(hq / "train" / "C", ["test"])
    assert [t.name for t in find_tracks(hq, ["train"], split="train")] == ["C"]
    with pytest.raises(DataError, match="no tracks"):
        find_tracks(hq, ["train"], split="valid")


def test_protocol_and_files(scored):
    result, out = scored
    assert result["stems"] == ["vocals", "drums", "bass", "other", "accompaniment"]
    track = result["songs"][0]
    entry = track["stems"]["vocals"]
    assert entry["SDR"] == pytest.approx(median_of_frames(np.array(entry["bss_frames"]["SDR"])))
    assert entry["usdr_improvement"] == 0
    values = [song["stems"]["bass"]["SIR"] for song in result["songs"]]
    assert result["summary"]["bass"]["SIR"]["median"] == pytest.approx(np.median(values))
    stored = json.loads((out / "museval" / "test" / "A.json").read_text())
    names = [target["name"] for target in stored["targets"]]
    assert sorted(names) == sorted(result["stems"])
    frame = stored["targets"][0]["frames"][1]
    assert frame["time"] == 1.0 and set(frame["metrics"]) == {"SDR", "SIR", "SAR", "ISR"}


@needs_ffmpeg
def test_museval_reads_our_files(scored):
    import museval

    result, out = scored
    store = museval.EvalStore()
    store.add_eval_dir(out / "museval")
    medians = store.agg_frames_tracks_scores()
    ours = result["summary"]["drums"]["SDR"]["median"]
    assert medians["drums"]["SDR"] == pytest.approx(ours, abs=1e-4)
    checker = museval.TrackStore("A")
    checker.scores = json.loads((out / "museval" / "test" / "A.json").read_text())
    checker.validate()


def test_our_engines_agree_with_museval():
    references, estimates = degraded_song()
    blocks, fast = (
        bss_eval.evaluate(references, estimates, RATE, engine) for engine in ("blocks", "fast")
    )
    library = reference()["degraded_song"]
    for stem in FOUR:
        for metric in bss_eval.METRICS:
            np.testing.assert_allclose(
                blocks.frames[stem][metric], library[stem][metric], atol=1e-5
            )
        np.testing.assert_allclose(fast.frames[stem]["SDR"], library[stem]["SDR"], atol=1e-6)
    assert set(fast.frames["bass"]) == {"SDR"}


def test_changes_of_an_estimate_do_what_theory_says():
    stems = {stem: audio + noise(7, 2.0, 1e-3) for stem, audio in four_stems(2.0).items()}
    references = {stem: stems[stem] for stem in ("vocals", "drums")}
    exact = {stem: audio.astype(np.float64) for stem, audio in references.items()}

    def score(change):
        estimates = {**exact, "vocals": change(exact["vocals"])}
        return bss_eval.evaluate(references, estimates, RATE).frames["vocals"]

    halved = score(lambda audio: 0.5 * audio)  # error is half the reference: 6.02 dB
    np.testing.assert_allclose(halved["SDR"], 20 * np.log10(2), atol=1e-6)
    np.testing.assert_allclose(halved["ISR"], 20 * np.log10(2), atol=1e-3)
    assert (halved["SIR"] > 60).all()  # a gain is a filter, not interference
    shifted = score(lambda audio: np.roll(audio, 100, axis=1))  # inside of the 512 taps
    assert (shifted["SIR"] > 20).all() and (shifted["SDR"] < 3).all()
    far = score(lambda audio: np.roll(audio, 3000, axis=1))
    assert (far["SAR"] < shifted["SAR"] + 1e-6).all() or (far["SDR"] < 3).all()
    swapped = score(lambda audio: audio[::-1])  # channels differ by a gain of 0.7
    expected = 10 * np.log10((1 + 0.49) / (2 * 0.09))
    np.testing.assert_allclose(swapped["SDR"], expected, atol=0.1)


def test_a_damaged_track_is_reported_and_an_interrupted_run_goes_on(hq, tmp_path):
    (hq / "test" / "B" / "drums.wav").write_bytes(b"RIFF")
    result = evaluate(find_tracks(hq, ["test"]), task(engine="fast"), RunOptions(tmp_path / "out"))
    assert [t["song"] for t in result["songs"]] == ["A"]
    assert [t["song"] for t in result["failed"]] == ["B"]
    shutil.copy(hq / "test" / "A" / "drums.wav", hq / "test" / "B" / "drums.wav")
    done: list[str] = []
    again = evaluate(
        find_tracks(hq, ["test"]), task(engine="fast"),
        RunOptions(tmp_path / "out", True, on_progress=lambda *step: done.append(step[2])),
    )  # fmt: skip
    assert done == ["B"] and len(again["songs"]) == 2
    assert (tmp_path / "out" / "museval" / "test" / "A.json").is_file()


def test_one_stem_alone_is_not_in_the_protocol(hq):
    with pytest.raises(DataError, match="the vocals or two of"):
        evaluate(find_tracks(hq, ["test"]), task(stems=("drums",), engine="fast"))


@needs_ffmpeg
def test_a_damaged_stem_file_gives_one_line(tmp_path):
    path = tmp_path / "Broken.stem.mp4"
    path.write_bytes(b"no film")
    with pytest.raises(DataError, match="not a readable stem file") as raised:
        StemFile(path, "test").load()
    assert "\n" not in str(raised.value)
