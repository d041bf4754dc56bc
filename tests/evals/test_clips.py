from dataclasses import replace

import numpy as np
import pytest
from song_helpers import RATE, noise, tone

from separate.audio import write_audio
from separate.errors import DataError, SettingsError
from separate.evals.report.queries import clips_table
from separate.evals.tasks.clips import (
    TAGS,
    ClipMixture,
    ClipsEval,
    by_class,
    draw,
    held_out,
    negative_effect,
    query_for,
)
from separate.evals.tasks.evaluation import evaluate
from separate.evals.tasks.methods import Method, oracle_method
from separate.evals.tasks.results import plain
from separate.queries.vocabulary import audioset_classes, label_of

MIXTURE = Method("mixture", "mixture", "the mixture itself")


@pytest.fixture
def folder(tmp_path):
    sounds = {"flute": 900.0, "cello": 150.0, "dog_bark": None}
    for label, hertz in sounds.items():
        (tmp_path / label).mkdir()
        for number in (0, 1, 10, 20):
            level = 0.05 * (number + 1) / 21
            audio = noise(number, 1.0, level, 1) if hertz is None else tone(hertz, 1.0, level, 1)
            write_audio(tmp_path / label / f"{number:03d}.wav", audio, RATE, subtype="FLOAT")
    return tmp_path


def task(folder, method=MIXTURE, **options):
    return ClipsEval(method, ("target",), "clips", root=folder, **options)


def test_only_held_out_clips_are_used(folder):
    clips = held_out(folder)
    assert {path.name for path in clips["flute"]} == {"000.wav", "010.wav", "020.wav"}
    with pytest.raises(DataError, match="two labels"):
        held_out(folder / "flute")


def test_the_draw_is_the_same_for_every_method(folder):
    first, second = (draw(held_out(folder), 3) for _ in range(2))
    assert [m.name for m in first] == [m.name for m in second]
    assert [m.name for m in draw(held_out(folder), 3, seed=1)] != [m.name for m in first]
    assert all(m.label != m.other.parent.name for m in first)
    assert len({m.name for m in first}) == len(first)


def test_clips_are_mixed_at_equal_energy(folder):
    quiet, loud = folder / "flute" / "000.wav", folder / "cello" / "020.wav"
    song = ClipMixture(quiet, loud, seconds=2.0).load()
    energies = [float(np.square(audio).sum()) for audio in song.references.values()]
    # The ratio of energies is 441, beyond USS's bound of 50.
    assert energies[1] / energies[0] == pytest.approx(441 / 50, rel=0.02)
    same = ClipMixture(folder / "flute" / "020.wav", loud, seconds=2.0).load()
    energies = [float(np.square(audio).sum()) for audio in same.references.values()]
    assert energies[0] == pytest.approx(energies[1], rel=1e-4)
    np.testing.assert_allclose(sum(same.references.values()), same.mixture, atol=1e-6)
    assert same.mixture.shape == (1, 64000) and np.abs(same.mixture).max() <= 0.9 + 1e-6


def test_improvement_over_the_mixture(folder):
    mixtures = draw(held_out(folder), 2)
    baseline = evaluate(mixtures, task(folder))
    assert baseline["summary"]["mean"]["sdr_improvement"]["mean"] == 0
    oracle = evaluate(mixtures, task(folder, oracle_method("irm", "whole")))
    assert oracle["summary"]["mean"]["sdr_improvement"]["mean"] > 5
    assert set(oracle["classes"]) == {"flute", "cello", "dog_bark"}


def test_seen_clips_stay_out_of_the_means(folder):
    seen = replace(task(folder), trained_on=({"dataset": task(folder).dataset},))
    result = evaluate(draw(held_out(folder), 1), seen)
    assert all(entry["seen"] for entry in result["songs"]) and not result["classes"]
    assert "3 mixture(s) that a model was trained on" in clips_table([plain(result)]).note


def test_median_in_a_class():
    entries = [
        {"label": "a", "stems": {"target": {"sdr_improvement": v, "si_sdr_improvement": -v}}}
        for v in (1.0, 2.0, 9.0)
    ]
    assert by_class(entries) == {
        "a": {"mixtures": 3, "sdr_improvement": 2.0, "si_sdr_improvement": -2.0}
    }


def test_the_effect_of_a_negative_query_is_a_level_of_each_source(folder):
    song = ClipMixture(folder / "flute" / "010.wav", folder / "cello" / "010.wav").load()
    target, other = song.references["flute"], song.references["cello"]
    effect = negative_effect(song, "flute", 0.5 * target + 0.01 * other, target + 0.1 * other)
    assert effect["target_cost_db"] == pytest.approx(6.02, abs=0.05)
    assert effect["excluded_lowered_db"] == pytest.approx(20, abs=0.2)


def test_ways_of_asking(folder):
    negative = ClipMixture(folder / "dog_bark" / "010.wav", folder / "cello" / "000.wav")
    assert query_for(negative, task(folder, by="negative")).exclude == ("cello",)
    mixed = query_for(negative, task(folder, by="mixed"))
    assert mixed.text == ("dog bark",) and mixed.like
    mixture = ClipMixture(folder / "dog_bark" / "010.wav", folder / "cello" / "000.wav")
    assert query_for(mixture, task(folder, by="text")).text == ("dog bark",)
    assert query_for(mixture, task(folder, by="tag")).text == ("Bark",)
    example = query_for(mixture, task(folder, by="example"))
    assert {p.name for p in example.like} == {"000.wav", "020.wav"} and not example.text
    with pytest.raises(SettingsError, match="--by"):
        task(folder, by="smell")


def test_tags_and_labels_are_known(shared_data):
    for label in held_out(shared_data / "clips"):
        assert label_of(label)
        assert TAGS.get(label, label.replace("_", " ").capitalize()) in audioset_classes()
