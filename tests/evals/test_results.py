import json
import math

import numpy as np
import pytest

from separate.errors import DataError, OutputError
from separate.evals.tasks.results import compare, is_seen, plain, read_json, summarise, write_json


def scores(song, sdr, seen=False, **stems):
    table = {stem: {"sdr": value} for stem, value in {"vocals": sdr, **stems}.items()}
    return {"song": song, "split": "valid", "seen": seen, "stems": table}


def test_seen_songs_stay_out_of_means():
    songs = [scores("a", 4.0), scores("b", 6.0), scores("c", 100.0, seen=True)]
    summary = summarise(songs, ["vocals"])
    assert summary["vocals"]["sdr"]["mean"] == 5.0 and summary["vocals"]["sdr"]["songs"] == 2
    assert summary["seen"]["vocals"]["sdr"]["mean"] == 100.0


def test_mean_over_stems():
    songs = [scores("a", 4.0, bass=2.0), scores("b", 6.0, bass=None)]
    summary = summarise(songs, ["vocals", "bass"])
    assert summary["mean"]["sdr"]["mean"] == pytest.approx((5.0 + 2.0) / 2)
    assert summary["bass"]["sdr"]["songs"] == 1


TRAINED = (
    {"dataset": "songs", "split": "train", "songs": ["Caesium", "Music Delta - Punk"]},
    {"dataset": "MUSDB18", "split": "train"},
    {"dataset": "clips", "songs": 2200},
)


@pytest.mark.parametrize(
    ("song", "dataset", "split", "seen"),
    [
        ("Caesium", "songs", "train", True),
        ("MusicDelta Punk", "anything", "test", True),
        ("Francium", "songs", "valid", False),
        ("Any", "musdb-18", "train", True),
        ("Any", "MUSDB18", "test", False),
    ],
)
def test_is_seen(song, dataset, split, seen):
    assert is_seen(song, dataset, split, TRAINED) is seen


def test_plain_json(tmp_path):
    data = {"kind": "x", "a": np.float32(1.23456), "b": math.nan, "c": np.array([1.0, np.inf])}
    assert plain(data) == {"kind": "x", "a": 1.2346, "b": None, "c": [1.0, None]}
    write_json(tmp_path / "deep" / "r.json", data)
    assert read_json(tmp_path / "deep" / "r.json") == plain(data)
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["r.json"]


def test_lists_of_numbers_stand_on_one_line(tmp_path):
    write_json(tmp_path / "r.json", {"kind": "x", "frames": [1.5, None, -2e-4], "names": ["a, [b"]})
    text = (tmp_path / "r.json").read_text()
    assert '"frames": [ 1.5, null, -0.0002 ]' in text
    assert json.loads(text)["names"] == ["a, [b"]


def test_unwritable_and_unreadable(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError):
        write_json(tmp_path / "file" / "r.json", {})
    with pytest.raises(DataError, match="not a readable result"):
        read_json(tmp_path / "file")
    (tmp_path / "other.json").write_text("[]")
    with pytest.raises(DataError, match="not a result"):
        read_json(tmp_path / "other.json")


def test_compare():
    new = {"songs": [scores("a", 7.0), scores("b", 5.0), scores("c", 9.0, seen=True)]}
    old = {"songs": [scores("a", 6.0), scores("b", 5.5), scores("c", 1.0), scores("d", 1.0)]}
    difference = compare(new, old, "vocals")
    assert difference["songs"] == {"a": 1.0, "b": -0.5}
    assert difference["mean"] == 0.25 and difference["low"] == -0.5
