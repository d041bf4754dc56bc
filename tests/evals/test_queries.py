import numpy as np
import pytest
from song_helpers import four_stems, write_song

from separate.evals.data.songs import find_songs
from separate.evals.tasks import queries
from separate.evals.tasks.evaluation import evaluate
from separate.evals.tasks.methods import Method
from separate.evals.tasks.queries import (
    QueriesEval,
    absent_labels,
    costs,
    phrases_for,
    roc_auc,
)
from separate.queries.vocabulary import ancestors, training_captions
from separate.queries.vocabulary import labels as all_labels

METHOD = Method("model", "m", "free")


def test_roc_auc_by_hand():
    assert roc_auc([0.9, 0.8, 0.1], [True, True, False]) == 1.0
    assert roc_auc([0.2, 0.8, 0.5, 0.5], [True, True, False, False]) == 0.5
    assert roc_auc([0.5, 0.5], [True, False]) == 0.5
    assert np.isnan(roc_auc([0.5], [True]))


def test_phrases_are_in_no_training_caption():
    captions = {c.lower() for label in all_labels().values() for c in training_captions(label)}
    for stem in ("vocals", "drums", "bass", "other"):
        phrases = phrases_for(stem, 8)
        assert sum(kind == "synonym" for kind in phrases.values()) == 8
        assert not {phrase.lower() for phrase in phrases} & captions


def test_absent_labels_are_related_to_nothing_that_is_there():
    chosen = absent_labels(["flute", "dog bark"], "seed", 40)
    assert chosen == absent_labels(["flute", "dog bark"], "seed", 40)
    for name in chosen:
        assert not set(ancestors(name)) & {"flute", "dog bark"}
        assert name not in {*ancestors("flute"), *ancestors("dog bark")}


def test_the_middle_of_a_song(tmp_path):
    write_song(tmp_path / "A", four_stems(3.0))
    song = find_songs(tmp_path)[0].load()
    cut = song.middle(1.0)
    assert cut.mixture.shape == (2, 8000)
    np.testing.assert_array_equal(cut.references["bass"], song.references["bass"][:, 8000:16000])
    assert song.middle(10).mixture.shape == song.mixture.shape


def test_cost_is_the_labels_score_less_the_phrases(tmp_path, monkeypatch):
    write_song(tmp_path / "A", four_stems(2.0))

    def separate_song(separator, song, asked):
        reference = song.references["drums"]
        factors = [0.9 if query.name == "drums" else 0.8 for query in asked]  # 20 and 14 dB
        return {q.name: f * reference for q, f in zip(asked, factors, strict=True)}, {}

    monkeypatch.setattr(queries, "separate_song", separate_song)
    monkeypatch.setattr(queries, "opened_separator", lambda method: None)
    task = QueriesEval(METHOD, ("drums",), "set", phrases=2)
    result = evaluate(find_songs(tmp_path), task)
    entry = result["summary"]["drums"]
    assert entry["label_sdr"]["mean"] == pytest.approx(20, abs=1e-3)
    assert entry["synonym_cost"]["mean"] == pytest.approx(20 * np.log10(2), abs=1e-3)
    assert entry["paraphrase_cost"]["mean"] == pytest.approx(20 * np.log10(2), abs=1e-3)
    assert result["presence"]["present"] == 0


def test_no_song_no_cost():
    assert np.isnan(costs([], ("bass",))["bass"]["synonym_cost"]["mean"])
