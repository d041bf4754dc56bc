import json

import numpy as np
import pytest
from song_helpers import RATE, four_stems, noise, tone, write_song

from separate.audio import write_audio
from separate.errors import DataError, InputError, SeparateError
from separate.evals.data.songs import SongFolder, align, find_songs


def test_stems_are_summed_by_parent_and_the_mixture_is_their_sum(tmp_path):
    lead, backing, kick = tone(440), tone(660), tone(60)
    write_song(
        tmp_path / "Song",
        {"lead_vocals": lead, "backing_vocals": backing, "kick": kick},
        {"lead_vocals": "vocals", "backing_vocals": "vocals", "kick": "drums"},
    )
    song = find_songs(tmp_path)[0].load()
    assert list(song.references) == ["vocals", "drums"] and song.sample_rate == RATE
    np.testing.assert_allclose(song.references["vocals"], lead + backing, atol=1e-7)
    np.testing.assert_allclose(song.mixture, lead + backing + kick, atol=1e-6)
    accompaniment = song.with_accompaniment().references["accompaniment"]
    np.testing.assert_array_equal(accompaniment, kick)


def test_a_mixture_file_is_the_mixture(tmp_path):
    mastered = 0.8 * sum(four_stems().values())
    write_song(tmp_path / "Song", {**four_stems(), "mixture": mastered})
    song = find_songs(tmp_path)[0].load()
    assert list(song.references) == ["vocals", "drums", "bass", "other"]
    np.testing.assert_array_equal(song.mixture, mastered)


@pytest.mark.parametrize(
    "name",
    ["Mixture", "MIX", "mixdown", "song - full mix", "Band_Song_MIX", "Master", "a (mix"],
)
def test_mixtures_are_recognised_by_name_in_any_case(tmp_path, name):
    mastered = 0.8 * sum(four_stems().values())
    write_song(tmp_path / "Song", {**four_stems(), name: mastered, "drums_mix": noise(1)})
    reader = find_songs(tmp_path)[0]
    song = reader.load()
    assert list(song.references) == ["vocals", "drums", "bass", "other"]
    np.testing.assert_array_equal(song.mixture, mastered)
    assert name not in reader.labels() and "drums mix" in reader.labels()


def test_a_mixture_that_is_not_the_sum_is_refused(tmp_path):
    write_song(tmp_path / "Song", {**four_stems(), "Mixdown": tone(100)})
    with pytest.raises(DataError, match="not the sum of the stems"):
        find_songs(tmp_path)[0].load()


def test_moisesdb(tmp_path):
    stems = {"vocals": [tone(440), tone(550)], "guitar": [tone(900)], "percussion": [noise(1)]}
    folder = tmp_path / "moisesdb" / "moisesdb_v0.1" / "0a1b"
    for stem, tracks in stems.items():
        write_song(folder / stem, {f"{stem}-{i}": audio for i, audio in enumerate(tracks)})
    content = {"song": "A", "stems": [{"stemName": stem, "tracks": []} for stem in stems]}
    (folder / "data.json").write_text(json.dumps(content))
    for root in (tmp_path / "moisesdb", folder.parent, folder):
        (reader,) = find_songs(root)
        song = reader.load()
        assert list(song.references) == ["vocals", "other"]
        np.testing.assert_allclose(song.references["vocals"], sum(stems["vocals"]), atol=1e-6)
        np.testing.assert_allclose(song.references["other"], tone(900) + noise(1), atol=1e-6)


def test_medleydb_is_refused(tmp_path):
    song = write_song(tmp_path / "Audio" / "Band_Song", {"Band_Song_MIX": tone(100)})
    write_song(song / "Band_Song_STEMS", {"Band_Song_STEM_01": tone(100)})
    for root in (tmp_path / "Audio", song):
        with pytest.raises(DataError, match="MedleyDB"):
            find_songs(root)


def test_names_tell_the_parent_without_song_json(tmp_path):
    write_song(tmp_path / "Song", {"female_vocals": tone(1), "hihat": tone(2), "zither9": tone(3)})
    assert set(find_songs(tmp_path)[0].load().references) == {"vocals", "drums", "other"}


def test_mono_and_shorter_stems_are_fitted(tmp_path):
    write_song(tmp_path / "Song", {"vocals": tone(440, channels=1), "bass": tone(60, 2.0)})
    song = find_songs(tmp_path)[0].load()
    assert song.references["vocals"].shape == song.references["bass"].shape == (2, 3 * RATE)
    assert not song.references["bass"][:, 2 * RATE :].any()


def test_splits(tmp_path):
    for split, name in (("train", "A"), ("test", "B"), ("test", "C")):
        write_song(tmp_path / split / name, {"vocals": tone(440, 0.1)})
    assert [(s.split, s.name) for s in find_songs(tmp_path)] == [
        ("test", "B"),
        ("test", "C"),
        ("train", "A"),
    ]
    assert [s.name for s in find_songs(tmp_path, "train")] == ["A"]
    assert [s.split for s in find_songs(tmp_path / "test")] == ["test", "test"]
    assert [s.name for s in find_songs(tmp_path / "test" / "B")] == ["B"]
    with pytest.raises(DataError, match="there is test, train"):
        find_songs(tmp_path, "valid")


def test_finding_reads_no_audio(tmp_path):
    (tmp_path / "Song").mkdir()
    (tmp_path / "Song" / "vocals.wav").write_bytes(b"not audio")
    song = find_songs(tmp_path)[0]
    with pytest.raises(InputError):
        song.load()


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "JSON"), ("[]", "must hold"), ('{"stems": {"flute": "other"}}', "no audio file")],
)
def test_bad_song_json(tmp_path, content, message):
    folder = write_song(tmp_path / "Song", {"vocals": tone(440, 0.1)})
    (folder / "song.json").write_text(content)
    with pytest.raises(DataError, match=message):
        find_songs(tmp_path)[0].load()


def test_rates_must_agree(tmp_path):
    folder = write_song(tmp_path / "Song", {"vocals": tone(440, 0.1)})
    write_audio(folder / "bass.wav", tone(60, 0.1), 2 * RATE)
    with pytest.raises(DataError, match="sample rate"):
        find_songs(tmp_path)[0].load()


def test_nothing_there(tmp_path):
    with pytest.raises(SeparateError, match="no such folder"):
        find_songs(tmp_path / "missing")
    with pytest.raises(SeparateError, match="one folder a song"):
        find_songs(tmp_path)


def test_align_refuses_stereo_beside_surround():
    with pytest.raises(DataError, match="2 and 6 channels"):
        align([np.zeros((2, 5)), np.zeros((6, 5))])


def test_shared_songs_are_read_with_their_parents(shared_data):
    songs = find_songs(shared_data / "songs", "valid")
    song = next(song for song in songs if song.name == "MusicDelta Reggae").load()
    assert set(song.references) == {"vocals", "drums", "bass", "other"}
    np.testing.assert_allclose(sum(song.references.values()), song.mixture, atol=1e-5)
    parents = json.loads((shared_data / "songs/valid/Francium/song.json").read_text())["stems"]
    assert set(parents.values()) == set(song.references)


def test_musdb18_hq_layout(shared_data):
    songs = find_songs(shared_data / "musdb18hq", "train")
    song = songs[0].load()
    assert list(song.references) == ["vocals", "drums", "bass", "other"]
    assert song.sample_rate == 44100 and song.mixture.shape[0] == 2


def test_fine_references_are_by_label(tmp_path):
    parents = {"kick": "drums", "drums": "drums", "lead_vocals": "vocals", "hum": "rest"}
    stems = {name: noise(index) for index, name in enumerate(parents)}
    source = SongFolder(write_song(tmp_path / "song", stems, parents), fine=True)
    assert source.labels() == ["drums", "kick", "lead vocals"]
    song = source.load()
    assert set(song.references) == {"drums", "kick", "lead vocals"}
    np.testing.assert_allclose(song.references["kick"], stems["kick"])
    np.testing.assert_allclose(song.references["drums"], stems["kick"] + stems["drums"], atol=1e-6)
    np.testing.assert_allclose(song.mixture, sum(stems.values()), atol=1e-6)


def test_cached_songs_are_read(tmp_path):
    folder = tmp_path / "songs" / "one"
    folder.mkdir(parents=True)
    samples = np.arange(2000, dtype=np.int16).reshape(1000, 2)
    np.save(folder / "kick.npy", samples)
    (folder / "song.json").write_text(json.dumps({"stems": {"kick": "drums"}}))
    (source,) = find_songs(tmp_path / "songs")
    song = source.load()
    assert song.sample_rate == 44_100
    np.testing.assert_array_equal(song.references["drums"], samples.T / np.float32(32768))
    (folder / "kick.npy").write_bytes(b"damaged")
    with pytest.raises(DataError, match="cache the song again"):
        source.load()
