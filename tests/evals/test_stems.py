import json
import os

import numpy as np
import pytest
from song_helpers import RATE, four_stems, noise, write_song

from separate.audio import write_audio
from separate.errors import DataError
from separate.evals.data.songs import find_songs
from separate.evals.metrics.sdr import global_sdr
from separate.evals.tasks.evaluation import evaluate
from separate.evals.tasks.methods import Method, oracle_method, read_estimates
from separate.evals.tasks.runner import RunOptions, score_songs
from separate.evals.tasks.stems import StemsEval

STEMS = ("vocals", "drums", "bass", "other")
MIXTURE = Method("mixture", "mixture", "the mixture itself")


@pytest.fixture
def songs(tmp_path):
    for name in ("A", "B"):
        write_song(tmp_path / "set" / "valid" / name, four_stems())
    return tmp_path / "set"


def task(method=MIXTURE, **options):
    return StemsEval(method, STEMS, "set", **options)


def test_mixture_is_no_improvement_over_itself(songs):
    result = evaluate(find_songs(songs), task())
    entry = result["songs"][0]["stems"]["vocals"]
    stems = four_stems()
    assert entry["sdr"] == pytest.approx(global_sdr(stems["vocals"], sum(stems.values())), abs=0.05)
    assert entry["sdr_improvement"] == entry["usdr_improvement"] == 0
    assert entry["frames"] == entry["sounding_frames"] == 3
    assert result["summary"]["vocals"]["sdr"]["songs"] == 2
    assert "-89 dBFS" in result["metric"] and result["mask_rule"] == "the mixture itself"


def test_oracle_states_its_rule_and_is_better(songs):
    result = evaluate(find_songs(songs), task(oracle_method("irm", "model")))
    assert result["mask_rule"] == "oracle irm 4096/1024 at 44.1 kHz, lower 1024 bins, continued"
    assert result["summary"]["mean"]["sdr_improvement"]["mean"] > 3


def test_damaged_song_is_reported_and_the_rest_goes_on(songs):
    (songs / "valid" / "A" / "bass.wav").write_bytes(b"RIFF broken")
    result = evaluate(find_songs(songs), task())
    assert [song["song"] for song in result["songs"]] == ["B"]
    assert [failure["song"] for failure in result["failed"]] == ["A"]
    assert "bass.wav" in result["failed"][0]["error"]


def test_all_damaged(songs):
    for name in "AB":
        (songs / "valid" / name / "bass.wav").write_bytes(b"RIFF broken")
    with pytest.raises(DataError, match="no song could be scored"):
        evaluate(find_songs(songs), task())


def test_nothing_to_score(songs):
    nonsense = StemsEval(MIXTURE, ("nonsense",), "set")
    with pytest.raises(DataError, match="have nonsense; see --stems"):
        evaluate(find_songs(songs), nonsense)


def end_the_process(song):
    os._exit(1)


def test_a_process_that_is_killed_gives_one_line(songs):
    with pytest.raises(DataError, match="give fewer --jobs"):
        score_songs(find_songs(songs), end_the_process, RunOptions(jobs=2))


def test_resume_keeps_songs_made_in_the_same_way(songs, tmp_path):
    out = tmp_path / "out"
    first = evaluate(find_songs(songs), task(), RunOptions(out))
    track = out / "tracks" / "valid" / "A.json"
    stored = json.loads(track.read_text())
    stored["stems"]["vocals"]["sdr"] = 77.0
    track.write_text(json.dumps(stored))
    seen: list[str] = []
    again = evaluate(
        find_songs(songs), task(), RunOptions(out, True, on_progress=lambda *p: seen.append(p[2]))
    )
    assert again["songs"][0]["stems"]["vocals"]["sdr"] == 77.0 and seen == []
    other = evaluate(find_songs(songs), task(sounding_dbfs=-50.0), RunOptions(out, resume=True))
    assert other["songs"][0]["stems"]["vocals"]["sdr"] == pytest.approx(
        first["songs"][0]["stems"]["vocals"]["sdr"], abs=1e-3
    )


def test_processes_give_the_same(songs):
    alone = evaluate(find_songs(songs), task())
    both = evaluate(find_songs(songs), task(), RunOptions(jobs=2))
    assert [s["song"] for s in both["songs"]] == ["A", "B"]
    assert alone["summary"] == both["summary"]


def test_seen_songs_are_marked(songs):
    trained_on = ({"dataset": "set", "split": "train", "songs": ["a"]},)
    result = evaluate(find_songs(songs), task(trained_on=trained_on))
    assert [song["seen"] for song in result["songs"]] == [True, False]
    assert result["summary"]["vocals"]["sdr"]["songs"] == 1
    unknown = evaluate(find_songs(songs), task())
    assert unknown["songs"][0]["seen"] is None


def test_estimates_of_any_tool(songs, tmp_path):
    song = find_songs(songs)[0].load()
    place = tmp_path / "estimates" / "valid" / "A"
    place.mkdir(parents=True)
    write_audio(place / "vocals.flac", song.references["vocals"][:, :-100], RATE)
    write_audio(place / "bass.wav", song.references["bass"][:1], RATE)
    estimates = read_estimates(tmp_path / "estimates", song, STEMS)
    assert set(estimates) == {"vocals", "bass"}
    assert all(audio.shape == song.mixture.shape for audio in estimates.values())
    np.testing.assert_array_equal(estimates["bass"][0], estimates["bass"][1])
    assert not estimates["vocals"][:, -100:].any()


def test_estimates_that_do_not_fit(songs, tmp_path):
    song = find_songs(songs)[0].load()
    with pytest.raises(DataError, match="no folder 'A'"):
        read_estimates(tmp_path, song, STEMS)
    (tmp_path / "A").mkdir()
    with pytest.raises(DataError, match="holds none of vocals"):
        read_estimates(tmp_path, song, STEMS)
    write_audio(tmp_path / "A" / "vocals.wav", noise(1), 2 * RATE)
    with pytest.raises(DataError, match="16000 Hz"):
        read_estimates(tmp_path, song, STEMS)


def test_fine_labels_are_asked_for_by_themselves(tmp_path):
    from typer.testing import CliRunner

    from separate.cli.main import app

    parents = {"kick": "drums", "hihat": "drums", "piano": "other"}
    stems = {name: noise(index) for index, name in enumerate(parents)}
    write_song(tmp_path / "songs" / "one", stems, parents)
    write_song(tmp_path / "songs" / "two", {"kick": noise(5), "flute": noise(6)}, None)
    done = CliRunner().invoke(
        app,
        ["eval", "stems", str(tmp_path / "songs"), "--fine", "--mixture", "-o", str(tmp_path)],
    )
    assert done.exit_code == 0, done.output
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["kind"] == "labels" and result["stems"] == ["flute", "hihat", "kick", "piano"]
    assert result["summary"]["kick"]["sdr"]["songs"] == 2
    assert result["summary"]["flute"]["sdr"]["songs"] == 1
    assert result["summary"]["kick"]["sdr_improvement"]["mean"] == pytest.approx(0, abs=1e-6)
    assert "Fine labels" in done.output and "kick" in done.output
