import json
import shutil

import numpy as np
import pytest
from museval_figures import EXPECTED
from song_helpers import RATE, four_stems, noise, write_song

from separate.errors import DataError
from separate.evals.metrics import bss_eval
from separate.evals.metrics.sdr import median_of_frames
from separate.evals.tasks.evaluation import evaluate
from separate.evals.tasks.methods import Method, oracle_method
from separate.evals.tasks.musdb import MusdbEval, StemFile, find_tracks
from separate.evals.tasks.runner import RunOptions

TRACK = "Music Delta - 80s Rock"
FOUR = ("vocals", "drums", "bass", "other")
MIXTURE = Method("mixture", "mixture", "the mixture itself")
needs_ffmpeg = pytest.mark.skipif(
    not (shutil.which("ffmpeg") and shutil.which("ffprobe")), reason="museval needs ffmpeg"
)


def task(method=MIXTURE, stems=FOUR, **options):
    return MusdbEval(method, stems, "MUSDB18", "test", accompaniment=True, **options)


@pytest.fixture
def hq(tmp_path):
    """Two tracks in the layout of MUSDB18-HQ."""
    for subset, name in (("test", "A"), ("test", "B"), ("train", "C")):
        stems = {
            stem: audio + noise(40 + index, 2.0, 1e-2)  # a pure tone has no unique filter
            for index, (stem, audio) in enumerate(four_stems(2.0).items())
        }
        write_song(tmp_path / subset / name, {**stems, "mixture": sum(stems.values())})
    return tmp_path


def degraded(song):
    return {
        stem: audio + noise(index, audio.shape[1] / RATE, level=0.03)
        for index, (stem, audio) in enumerate(song.references.items())
    }


@needs_ffmpeg
@pytest.mark.parametrize("engine", ["blocks", "museval"])
def test_the_figures_of_musevals_own_suite_come_out(shared_data, engine):
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


@needs_ffmpeg
@pytest.mark.parametrize("kind", ["ibm", "irm"])
def test_oracles_land_where_museval_called_directly_puts_them(shared_data, kind):
    """An independent computation: scipy's transform, masks by hand, museval by itself."""
    import museval
    import scipy.signal

    source = find_tracks(shared_data / "musdb18", ["train"])[0]
    result = evaluate([source], task(oracle_method(kind, "whole")))
    ours = result["songs"][0]["stems"]
    song = source.load()
    options = {"nperseg": 4096, "noverlap": 3072}
    spectra = {s: scipy.signal.stft(x, **options)[2] for s, x in song.references.items()}
    mixture = scipy.signal.stft(song.mixture, **options)[2]
    estimates = []
    for stem in FOUR:
        if kind == "ibm":
            mask = np.abs(spectra[stem]) > np.abs(mixture - spectra[stem])
        else:
            mask = np.abs(spectra[stem]) / (sum(map(np.abs, spectra.values())) + 1e-10)
        audio = scipy.signal.istft(mask * mixture, **options)[1]
        estimates.append(audio[:, : song.mixture.shape[1]].T)
    references = [song.references[stem].T for stem in FOUR]
    sdr = museval.evaluate(references, estimates)[0]
    for stem, values in zip(FOUR[1:], sdr[1:], strict=True):  # vocals come of the other scenario
        assert ours[stem]["SDR"] == pytest.approx(np.nanmedian(values), abs=0.3)
    voice = [estimates[0], np.sum(estimates[1:], axis=0)]
    truth = [references[0], np.sum(references[1:], axis=0)]
    values = museval.evaluate(truth, voice)[0]
    assert ours["vocals"]["SDR"] == pytest.approx(np.nanmedian(values[0]), abs=0.3)
    assert ours["accompaniment"]["SDR"] == pytest.approx(np.nanmedian(values[1]), abs=0.3)


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


def test_protocol_and_files(hq, tmp_path):
    out = tmp_path / "out"
    result = evaluate(find_tracks(hq, ["test"]), task(), RunOptions(out))
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
def test_museval_reads_our_files(hq, tmp_path):
    import museval

    result = evaluate(find_tracks(hq, ["test"]), task(), RunOptions(tmp_path / "out"))
    store = museval.EvalStore()
    store.add_eval_dir(tmp_path / "out" / "museval")
    medians = store.agg_frames_tracks_scores()
    ours = result["summary"]["drums"]["SDR"]["median"]
    assert medians["drums"]["SDR"] == pytest.approx(ours, abs=1e-4)
    checker = museval.TrackStore("A")
    checker.scores = json.loads((tmp_path / "out" / "museval" / "test" / "A.json").read_text())
    checker.validate()


@needs_ffmpeg
def test_engines_agree(hq):
    song = find_tracks(hq, ["test"])[0].load()
    estimates = degraded(song)
    blocks, library, fast = (
        bss_eval.evaluate(song.references, estimates, RATE, engine)
        for engine in ("blocks", "museval", "fast")
    )
    for stem in FOUR:
        for metric in bss_eval.METRICS:
            np.testing.assert_allclose(
                blocks.frames[stem][metric], library.frames[stem][metric], atol=1e-5
            )
        np.testing.assert_allclose(fast.frames[stem]["SDR"], library.frames[stem]["SDR"], atol=1e-6)
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
