"""Estimates of a teacher as songs: kept where two views agree, stems summing to the mixture."""

import json

import numpy as np
import pytest
import torch

from separate.corpus.mixtures.estimates import (
    EstimateSettings,
    Teacher,
    agreed_stems,
    estimate_songs,
)
from separate.errors import DataError
from separate.queries.vocabulary import STEMS
from separate.train.data.folders import load_corpus

SECONDS = 10


class FakeModel:
    """Gives each stem a share of the mixture, perhaps other shares where it is played faster."""

    sample_rate = 44100

    def __init__(self, shares=(0.5, 0.3, 0.01, 0.19), faster=None, unsure_from=None):
        self.shares, self.faster = shares, faster or shares
        self.unsure_from = unsure_from  # amplitude from which the second view differs
        self.calls = 0

    def prepare(self, queries):
        assert [query.name for query in queries] == list(STEMS)
        return "prepared"

    def separate(self, stereo, prepared):
        assert prepared == "prepared"
        self.calls += 1
        shares = self.shares
        if self.calls % 2 == 0 and (
            self.unsure_from is None or float(stereo.abs().max()) > self.unsure_from
        ):
            shares = self.faster
        return torch.stack([stereo * share for share in (*shares, 1.0)])


def tone(level=0.3, seconds=SECONDS):
    time = np.arange(seconds * 44100) / 44100
    wave = level * np.sin(2 * np.pi * 220 * time)
    return np.stack([wave, 0.5 * wave]).astype(np.float32)


def test_stems_on_which_both_views_agree_sum_to_the_mixture():
    mixture = tone()
    stems = agreed_stems(mixture, Teacher(FakeModel(), "fake", "MIT"), EstimateSettings())
    assert stems.shape == (4, 2, mixture.shape[1])
    np.testing.assert_allclose(stems.sum(0), mixture, atol=1e-6)
    np.testing.assert_allclose(stems[0, :, 500:-500], 0.5 * mixture[:, 500:-500], atol=1e-3)
    assert not stems[STEMS.index("bass")].any()  # 40 dB below the mixture: it does not matter
    assert np.square(stems[3]).mean() > np.square(0.19 * mixture).mean()  # other has its part


def test_a_window_whose_views_differ_is_no_song():
    model = FakeModel(faster=(0.1, 0.7, 0.01, 0.19))
    assert agreed_stems(tone(), Teacher(model, "fake", "MIT"), EstimateSettings()) is None
    loose = EstimateSettings(agreement_db=3.0)
    assert agreed_stems(tone(), Teacher(model, "fake", "MIT"), loose) is not None


def test_a_teacher_of_another_rate_is_refused():
    model = FakeModel()
    model.sample_rate = 16000
    with pytest.raises(DataError, match="16000"):
        Teacher(model, "fake", "MIT")


@pytest.fixture
def corpus(tmp_path):
    """A recording of four windows, of which the third is louder."""
    folder = tmp_path / "corpus" / "game" / "song-1"
    folder.mkdir(parents=True)
    audio = np.concatenate([tone(), tone(), tone(0.9), tone()], axis=1)
    np.save(folder / "mixture.npy", np.rint(audio.T * 32767).astype(np.int16))
    length = SECONDS * 44100
    windows = [{"start": n * length, "stop": (n + 1) * length} for n in range(4)]
    info = {
        "package": "game", "license": "CC0-1.0", "licence_class": "free", "source": "game (Ann)",
        "windows": windows,
    }  # fmt: skip
    (folder / "mixture.json").write_text(json.dumps(info))
    return tmp_path / "corpus"


def test_neighbouring_windows_become_a_song_that_training_reads(corpus, tmp_path):
    model = FakeModel(faster=(0.1, 0.7, 0.01, 0.19), unsure_from=0.5)
    teacher = Teacher(model, "wide", "CC-BY-SA-4.0")
    report = estimate_songs([corpus], tmp_path / "songs", teacher)
    assert report.songs == 2
    assert (report.seconds, report.seen_seconds) == (30.0, 40.0)
    songs = load_corpus([tmp_path / "songs"]).songs
    assert [(song.samples, sorted(song.stems)) for song in songs] == [
        (20 * 44100, ["drums", "other", "vocals"]),
        (10 * 44100, ["drums", "other", "vocals"]),
    ]
    assert {song.licence_class for song in songs} == {"sharealike"}  # the teacher's
    assert songs[0].sources == ("game (Ann)",)
    total = sum(stem.astype(int) for stem in songs[0].stems.values())
    assert np.abs(total - np.tile(np.rint(tone().T * 32767), (2, 1))).max() <= 3
    calls = model.calls
    again = estimate_songs([corpus], tmp_path / "songs", teacher)
    assert (again.songs, model.calls) == (0, calls)


def test_a_corpus_without_recordings_of_the_class_is_an_error(corpus, tmp_path):
    settings = EstimateSettings(licences=("nc",))
    with pytest.raises(DataError, match="licences"):
        estimate_songs([corpus], tmp_path / "songs", Teacher(FakeModel(), "x", "MIT"), settings)
    with pytest.raises(DataError, match="unknown"):
        EstimateSettings(licences=("fre",))
