import json

import numpy as np
import pytest
import torch
from song_helpers import RATE, noise, tone
from typer.testing import CliRunner

from separate.audio import write_audio
from separate.cli.main import app
from separate.errors import DataError, SettingsError
from separate.evals.report.tables import tables_of
from separate.evals.report.weak import weak_curves, weak_table
from separate.evals.tasks.weak import ExperimentConfig, averages, plan, run_name, score
from separate.evals.tasks.weak_clips import (
    TestMixture,
    distinct_labels,
    draw_tests,
    padded,
    read_clips,
)
from separate.train.recipes.small_separator import ARMS, MIXTURE_ARMS, ArmConfig

LABELS = ("flute", "cello", "dog_bark", "rain")


@pytest.fixture
def folder(tmp_path):
    for place, label in enumerate(LABELS):
        (tmp_path / label).mkdir()
        for number in (1, 2, 10):
            audio = tone(300.0 * (place + 1), 1.0, 0.1, 1) + noise(number, 1.0, 0.01, 1)
            write_audio(tmp_path / label / f"{number:03d}.wav", audio, RATE, subtype="FLOAT")
    return tmp_path


def test_held_out_clips_are_not_trained_on(folder):
    train, test = (read_clips(folder, LABELS, held=held) for held in (False, True))
    assert {label: len(rows) for label, rows in train.items()} == dict.fromkeys(LABELS, 2)
    assert {label: len(rows) for label, rows in test.items()} == dict.fromkeys(LABELS, 1)
    assert all(row.dtype == np.int16 and row.shape[1] == 2 for row in train["flute"])


def test_labels_of_one_class_are_used_once(folder):
    assert distinct_labels(folder) == sorted(LABELS)
    with pytest.raises(DataError, match="2 labels; two mixtures of two need four"):
        distinct_labels(folder, ("flute", "rain"))
    with pytest.raises(DataError, match="no held-out clips of 'harp'"):
        distinct_labels(folder, ("harp",))


def test_sources_have_equal_energy_and_are_drawn_once_for_all(folder):
    clips = read_clips(folder, LABELS, held=True)
    first, again = draw_tests(clips, 3, 0.5), draw_tests(clips, 3, 0.5)
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.references, other.references)
        assert one.labels[0] != one.labels[1]
        energies = np.square(one.references).sum(axis=1)
        assert energies[0] == pytest.approx(energies[1], rel=1e-3)


def test_padded_clips_hold_the_clip_and_others(folder):
    clips = read_clips(folder, LABELS, held=False)
    longer = padded(clips, 3.0)
    for label, rows in clips.items():
        for clip, row in zip(rows, longer[label], strict=True):
            assert row.shape == (3 * 44100, 2)
            assert clip.tobytes() in row.tobytes()
    again = padded(clips, 3.0)
    np.testing.assert_array_equal(longer["rain"][1], again["rain"][1])


def test_scores_of_the_truth_and_of_the_mixture():
    rng = np.random.default_rng(0)
    mixture = TestMixture(("a", "b"), rng.normal(0, 0.1, (2, 8000)).astype(np.float32))
    whole = np.stack([mixture.mixture] * 2)
    base = score(mixture, whole)
    assert abs(base["sdr"]) < 1.5 and score(mixture, mixture.references)["sdr"] > 40
    assert averages([base], [base])["sdr_improvement"] == 0
    silent = score(mixture, 0 * whole)
    assert np.isnan(silent["sdr"])


def test_the_plan_has_each_run_once():
    config = ExperimentConfig(seeds=(0, 1), sources=(2, 3))
    runs = plan(config, ("supervised", "weak", "semi@0.05", "anchors"))
    assert [run_name(run) for run in runs] == [
        "supervised-0", "weak-p2-0", "semi@0.05-p2-0", "anchors-0",
        "supervised-1", "weak-p2-1", "semi@0.05-p2-1", "anchors-1",
        "weak-p3-0", "semi@0.05-p3-0", "weak-p3-1", "semi@0.05-p3-1",
    ]  # fmt: skip
    assert [run.single_share for run in runs[:4]] == [1.0, 1.0, 0.05, 1.0]
    assert {run.steps for run in runs} == {1600}
    with pytest.raises(SettingsError, match=r"semi@few: give a share, as in semi@0.05"):
        plan(config, ("semi@few",))
    with pytest.raises(SettingsError, match="from 0 to 1"):
        plan(config, ("semi@5",))


def test_the_papers_arm_differs_from_the_default_in_weighting_and_contrast():
    weak, paper = MIXTURE_ARMS["weak"].losses, MIXTURE_ARMS["weak-paper"].losses
    assert (weak.weighting, weak.contrastive_weight) == ("mixture", 0)
    assert (paper.weighting, paper.contrastive_weight) == ("part", 0.5)


def row(arm, seed, sdr, sources=2, curve=()):
    return {
        "arm": arm, "seed": seed, "sources": sources, "sdr": sdr, "sdr_improvement": sdr,
        "sir": 1, "sar": 1, "minutes": 2, "curve": [list(point) for point in curve],
    }  # fmt: skip


def result(*rows):
    return {
        "kind": "weak", "metric": "m", "rows": rows,
        "mixture": {"sdr": 0.0, "sir": 0.0, "sar": 9.0, "sdr_improvement": 0.0},
        "config": {"arm": {"steps": 1, "batch": 1}, "tests": 1},
    }  # fmt: skip


def test_ratios_are_stated_from_one_decibel_on():
    weak = row("weak", 0, 4.0), row("weak", 1, 6.0)
    table = weak_table([result(row("unsupervised", 0, 2.5), *weak)])
    # Of the one seed that both have.
    assert "weak / unsupervised, P = 2: 1.60 (1 seeds; paper 1.71)" in table.note
    assert table.rows[2][:4] == ("weak", "2", "5.00 ± 1.00", "5.0")
    assert "no ratio" in weak_table([result(row("unsupervised", 0, 0.5), *weak)]).note
    assert tables_of(result(*weak))[0].title == "Weak supervision"


def test_ratios_compare_equal_shares_and_equal_p():
    rows = (
        row("supervised", 0, 4.0, 1), row("supervised@0.05", 0, 2.0, 1),
        row("weak", 0, 5.0, 3), row("semi@0.05", 0, 3.0),
    )  # fmt: skip
    note = weak_table([result(*rows)]).note
    assert "weak / supervised, P = 3: 1.25" in note
    assert "semi@0.05 / supervised@0.05, P = 2: 1.50" in note
    assert "P = 2: 0.75" not in note and "unsupervised" not in note


def test_runs_with_wrong_captions_stand_apart():
    config = ExperimentConfig(ArmConfig(wrong_captions=0.2), seeds=(0,))
    runs = plan(config, ("weak", "supervised", "clean-crops"))
    assert [run_name(run) for run in runs] == [
        "weak-p2-wrong0.2-0", "supervised-wrong0.2-0", "clean-crops-0",
    ]  # fmt: skip
    wrong = {**row("weak", 0, 2.0), "wrong_captions": 0.2}
    table = weak_table([result(row("weak", 0, 4.0), wrong, row("supervised", 0, 4.0, 1))])
    assert [cells[0] for cells in table.rows[1:]] == [
        "weak", "weak, 20% of phrases wrong", "supervised",
    ]  # fmt: skip
    assert table.note.count("weak / supervised") == 1  # right captions with right ones alone


def test_curves_show_every_run_and_what_the_last_quarter_added():
    curve = ((0, 0.0), (100, 2.0), (200, 3.0), (300, 3.5), (400, 4.0))
    found = result(row("weak", 0, 4.0, curve=curve), row("supervised", 1, 3.0, 1))
    table = weak_curves([found])
    assert table.rows == (("weak, P 2, seed 0", "0.00", "2.00", "3.00", "3.50", "4.00"),)
    last_quarter = weak_table([found]).header.index("last quarter")
    assert [cells[last_quarter] for cells in weak_table([found]).rows] == ["-", "0.50", "-"]


def run(folder, shared_data, out, *more):
    tagger = shared_data / "audioset" / "mn04_as_mAP_432.pt"
    arguments = [
        "eval", "weak", folder, "--tagger", tagger, "--seeds", "0", "--batch", "1",
        "--tests", "1", "--seconds", "0.5", "-o", out, *more,
    ]  # fmt: skip
    return CliRunner().invoke(app, [str(part) for part in arguments])


def test_the_command_trains_all_arms_from_the_same_net(folder, shared_data, tmp_path):
    out = tmp_path / "out"
    chosen = ("--steps", "1", "--arms", ",".join((*ARMS, "semi@0.5")))
    found = run(folder, shared_data, out, *chosen)
    assert found.exit_code == 0, found.output
    alone = ("supervised", "anchors", "random-crops", "clean-crops")
    names = [f"{arm}-0" for arm in alone]
    weak = [arm for arm in (*ARMS, "semi@0.5") if arm not in alone]
    starts = set()
    for name in (*names, *(f"{arm}-p2-0" for arm in weak)):
        assert f"{name}: SDR" in found.output
        kept = out / "runs" / name
        assert torch.load(kept / "checkpoint.pt", weights_only=True)["step"] == 1
        curve = json.loads((kept / "scores.json").read_text())["curve"]
        assert [step for step, _ in curve] == [0, 1]
        starts.add(curve[0][1])
    assert len(starts) == 1
    assert len(json.loads((out / "result.json").read_text())["rows"]) == len(ARMS) + 1


def test_an_interrupted_experiment_goes_on(folder, shared_data, tmp_path):
    out = tmp_path / "out"
    first = run(folder, shared_data, out, "--steps", "1", "--arms", "supervised")
    assert "supervised-0: SDR" in first.output
    second = run(folder, shared_data, out, "--steps", "1", "--arms", "unsupervised")
    assert "unsupervised-p2-0: SDR" in second.output
    last = run(folder, shared_data, out, "--steps", "1", "--arms", "unsupervised,supervised")
    assert last.exit_code == 0 and "SDR " not in last.output.partition("Weak supervision")[0]
    rows = json.loads((out / "result.json").read_text())["rows"]
    assert [row["arm"] for row in rows] == ["unsupervised", "supervised"]
    other = run(folder, shared_data, out, "--steps", "2", "--arms", "supervised")
    assert other.exit_code == 1 and "a run of other settings" in other.output


def test_unknown_arms_are_one_line(folder):
    found = CliRunner().invoke(app, ["eval", "weak", str(folder), "--arms", "strong"])
    assert found.exit_code == 1 and "take of unsupervised, weak" in found.output
