import numpy as np
import pytest
from song_helpers import four_stems, write_song

from separate.evals.data.songs import find_songs
from separate.evals.tasks import queries
from separate.evals.tasks.evaluation import evaluate
from separate.evals.tasks.methods import Method
from separate.evals.tasks.phrases import clear_phrases, presence_phrases, reading_scores
from separate.evals.tasks.queries import (
    QueriesEval,
    absent_labels,
    costs,
    phrases_for,
    presence_errors,
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


def test_phrases_for_presence_are_new_and_named_after_labels():
    captions = {caption for label in all_labels().values() for caption in label.captions}
    phrases = presence_phrases()
    assert len(phrases) >= 200 and sum(p.is_locked for p in phrases) == len(phrases) // 2
    assert all(p.label in all_labels() and p.text not in captions for p in phrases)
    assert len({p.text for p in phrases}) == len(phrases)


def test_only_phrases_that_are_surely_there_or_not_are_asked():
    labels = {}
    for phrase, there in clear_phrases(
        ["drums", "bass", "acoustic_guitar", "female_vocals"]
    ).items():
        assert labels.setdefault(phrase.label, there) == there
    assert labels["snare"] and labels["guitar"] and labels["vocals"] and labels["bass"]
    assert labels["dog bark"] is False and labels["cello"] is False and labels["violin"] is False
    for unclear in ("electric guitar", "male vocals", "speech", "double bass"):
        assert unclear not in labels  # a kind of what sounds
    labels = {p.label: there for p, there in clear_phrases(["speech", "rain"]).items()}
    assert labels["speech"] and labels["rain"] and not labels["baby cry"] and not labels["drums"]
    assert "vocals" not in labels
    unknown = {p.label for p in clear_phrases(["synth", "effects"])}
    assert "violin" not in unknown and "dog bark" in unknown  # a synth may play strings


def test_errors_of_presence_by_hand():
    scores = [("a", True, 0.9), ("b", True, 0.05), ("c", False, 0.2), ("d", False, 0.01)]
    keys = ("phrase", "present", "score")
    found = presence_errors([dict(zip(keys, row, strict=True)) for row in scores])
    assert (found["missed"], found["wrongly_found"]) == (0.5, 0.5)
    assert (found["missed_phrases"], found["wrongly_found_phrases"]) == (["b"], ["c"])
    assert found["auc"] == 0.75 and (found["present"], found["absent"]) == (2, 2)
    assert np.isnan(presence_errors([])["missed"])


def test_all_phrases_are_read_as_they_must_be():
    scores = reading_scores()
    assert {"negation", "compounds", "languages", "misspellings"} <= set(scores)
    assert all(entry["right"] == entry["phrases"] for entry in scores.values()), scores


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
        if len(asked) > 6:  # phrases for presence
            there = ("drum", "snare", "kick", "cymbals", "hi-hat", "bass", "sing", "voc")
            return {}, {q.name: float(any(t in q.name for t in there)) for q in asked}
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
    phrases = result["phrases"]["open"]
    assert 0 < phrases["present"] <= 12 and phrases["absent"] == 12 and phrases["auc"] > 0.8
    assert result["phrases"]["locked"]["present"] == 0  # not asked
    assert result["reading"]["negation"]["right"] > 30


def test_no_song_no_cost():
    assert np.isnan(costs([], ("bass",))["bass"]["synonym_cost"]["mean"])
