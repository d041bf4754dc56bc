"""Real recordings that lack some stems, as backgrounds for stems of songs."""

import json

import numpy as np
import pytest

from separate.corpus.mixtures.clues import CLUES, LABELS
from separate.corpus.mixtures.labels import load_rule
from separate.errors import DataError
from separate.train.cards import described, licence_of
from separate.train.data.backgrounds import Backgrounds
from separate.train.data.folders import load_corpus
from separate.train.data.mixing import MixConfig, Mixer
from separate.train.data.mixtures import MixtureConfig, MixtureMixer
from separate.train.data.recordings import Mixture, Window

SECONDS = 12


@pytest.fixture
def write_recording():
    """Writes a recording whose clues say of each label that it surely sounds, or surely not."""

    def write(folder, sounds, licence="free", seed=9):
        rng = np.random.default_rng(seed)
        folder.mkdir(parents=True)
        audio = rng.integers(-9000, 9000, size=(SECONDS * 44100, 2)).astype(np.int16)
        np.save(folder / "mixture.npy", audio)
        rule = load_rule()
        clues = [
            [(50.0 if label in sounds else -50.0) * np.sign(w) for w in rule.labels[label].weights]
            for label in LABELS
        ]
        windows = [{"start": 0, "stop": 441000, "music": 1.0, "clues": clues}]
        document = {
            "package": "game", "name": folder.name, "license": "CC0", "licence_class": licence,
            "source": "game (Ann)", "seconds": SECONDS, "sha256": "", "tagger": rule.tagger,
            "model_sha256": "", "labels": LABELS, "clues": CLUES, "windows": windows,
        }  # fmt: skip
        (folder / "mixture.json").write_text(json.dumps(document))
        return audio

    return write


def test_stems_are_added_that_the_recording_lacks(tmp_path, write_song, write_recording):
    write_song(tmp_path / "one", {"drums": "drums", "bass": "bass", "lead_vocals": "vocals"})
    write_recording(tmp_path / "game" / "a", {"bass", "vocals"})
    corpus = load_corpus([tmp_path])
    mixer = Mixer(corpus, MixConfig(frames=64, background=1.0, drop=0.0, speed=0.0))
    sources = mixer.sources(np.random.default_rng(0))
    assert [source.label for source in sources] == ["drums", "rest"]
    stem, background = (float(source.audio.square().mean().sqrt()) for source in sources)
    assert -3.1 < 20 * np.log10(background / stem) < 6.1
    batch = mixer.batch([0, 1, 2])
    assert {label for row in batch.labels for label in row} == {"drums"}
    assert not batch.shared.any()
    rest = batch.mixture - batch.targets[:, 0]
    assert (rest.abs().mean((1, 2, 3)) > 0.1 * batch.mixture.abs().mean((1, 2, 3))).all()


def test_a_recording_that_lacks_voice_drums_and_bass_is_the_stem_other(
    tmp_path, write_song, write_recording
):
    write_song(tmp_path / "one", {"drums": "drums", "bass": "bass", "lead_vocals": "vocals"})
    write_recording(tmp_path / "game" / "a", {"strings"})
    mixer = Mixer(load_corpus([tmp_path]), MixConfig(frames=64, background=1.0, drop=0.0))
    batch = mixer.batch([0, 1])
    assert all(row[:3] == ("drums", "bass", "other") for row in batch.labels)
    assert batch.shared.all()


def test_what_is_rarely_lacking_is_drawn_as_often_as_the_rest():
    voiceless = Window(0, 1000, ("drums", "bass"), ("vocals",))
    drumless = Window(0, 1000, ("vocals", "bass"), ("drums",))
    audio = np.zeros((1000, 2), np.int16)
    mixture = Mixture("a", audio, "free", "CC0", "a", (*[voiceless] * 19, drumless))
    mined, rng = Backgrounds([mixture]), np.random.default_rng(0)
    drawn = [mined.draw(rng, 300) for _ in range(300)]
    assert 110 < sum(found.lacking == ("drums",) for found in drawn) < 190
    assert all(0 <= found.start <= 700 and found.length == 300 for found in drawn)
    assert mined.draw(rng, 5000).length == 1000


def test_recordings_change_no_example_unless_they_are_asked_for(
    tmp_path, write_song, write_recording
):
    write_song(tmp_path / "songs" / "one", {"drums": "drums", "bass": "bass", "piano": "other"})
    write_recording(tmp_path / "game" / "a", set())
    config = MixConfig(frames=64, clips=0.0)
    with_recordings, without = (
        Mixer(load_corpus(folders), config).batch([0, 1])
        for folders in ([tmp_path], [tmp_path / "songs"])
    )
    assert with_recordings.labels == without.labels
    assert (with_recordings.mixture == without.mixture).all()


def test_mixtures_of_recordings_are_captioned_with_all_that_sounds(tmp_path, write_recording):
    audio = write_recording(tmp_path / "game" / "a", {"drums", "guitar"})
    write_recording(tmp_path / "game" / "b", set(), seed=10)
    config = MixtureConfig(frames=64, recordings=1.0, lowest_gain=1.0, highest_gain=1.0)
    mixer = MixtureMixer(load_corpus([tmp_path]), config)
    batch = mixer.batch(range(6))
    assert {part for row in batch.phrases for part in row} == {("drums", "other"), ("other",)}
    assert (batch.whole - batch.parts.sum(1)).abs().max() < 1e-4
    examples = (mixer._example(number) for number in range(6))
    drawn, parts = next(example for example in examples if ("drums", "other") in example[1])
    which = parts.index(("drums", "other"))
    stretch = np.rint(drawn[which] * 2 * 32768).astype(int)
    starts = np.flatnonzero((audio[:, 0] == stretch[0, 0]) & (audio[:, 1] == stretch[1, 0]))
    assert any((stretch == audio[s : s + stretch.shape[1]].T).all() for s in starts)


def test_windows_of_which_a_family_is_unknown_have_no_caption(tmp_path, write_recording):
    write_recording(tmp_path / "game" / "a", {"drums"})
    path = tmp_path / "game" / "a" / "mixture.json"
    info = json.loads(path.read_text())
    info["windows"][0]["clues"][LABELS.index("bass")] = neutral("bass")
    path.write_text(json.dumps(info))
    config = MixtureConfig(frames=64, recordings=0.5)
    with pytest.raises(DataError, match="vocals, drums and bass"):
        MixtureMixer(load_corpus([tmp_path]), config)


def neutral(label):
    """Clues between a label's thresholds."""
    rule = load_rule().labels[label]
    middle = (rule.silent + rule.sounds) / 2
    logit = np.log(middle / (1 - middle)) - rule.bias
    return [logit / rule.weights[0], *[0.0] * (len(CLUES) - 1)]


def test_the_card_names_recordings_and_their_licence(tmp_path, write_song, write_recording):
    write_song(tmp_path / "songs" / "one", {"drums": "drums"})
    write_recording(tmp_path / "game" / "a", set(), "sharealike")
    corpus = load_corpus([tmp_path])
    row = next(row for row in described(corpus) if row["dataset"] == "recordings without stems")
    assert (row["count"], row["licence_class"], row["credits"]) == (1, "sharealike", ["game (Ann)"])
    assert licence_of(corpus) == "CC-BY-SA-4.0"
    assert licence_of(load_corpus([tmp_path], ("free",))) == "MIT"
