import numpy as np
import pytest
import torch
from song_helpers import RATE, noise, tone
from typer.testing import CliRunner

from separate.audio import write_audio
from separate.cli.main import app
from separate.errors import DataError
from separate.evals.report.tables import tables_of
from separate.evals.report.weak import weak_table
from separate.evals.tasks.weak import (
    ExperimentConfig,
    TestMixture,
    averages,
    distinct_labels,
    draw_tests,
    padded,
    read_clips,
    score,
)

LABELS = ("flute", "cello", "dog_bark", "rain")
SMALL = ExperimentConfig(tests=3, seconds=0.5)


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
    first, again = draw_tests(clips, SMALL), draw_tests(clips, SMALL)
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


def test_ratios_are_stated_from_one_decibel_on():
    def result(unsupervised):
        rows = [
            {"arm": arm, "sdr": sdr, "sdr_improvement": sdr, "sir": 1, "sar": 1, "minutes": 2}
            for arm, sdr in (("unsupervised", unsupervised), ("weak", 4.0), ("weak", 6.0))
        ]
        mixture = {"sdr": 0.0, "sir": 0.0, "sar": 9.0, "sdr_improvement": 0.0}
        return {
            "kind": "weak", "metric": "m", "mixture": mixture, "rows": rows,
            "config": {"steps": 1, "batch": 1, "tests": 1},
        }  # fmt: skip

    table = weak_table([result(2.5)])
    assert "weak / unsupervised: 2.00 (paper 1.71)" in table.note
    assert table.rows[2][:3] == ("weak", "5.00 ± 1.00", "5.0")
    assert "no ratio" in weak_table([result(0.5)]).note
    assert tables_of(result(2.5))[0].title == "Weak supervision"


def test_the_command_trains_all_arms_from_the_same_net(folder, shared_data, tmp_path):
    tagger = shared_data / "audioset" / "mn04_as_mAP_432.pt"
    arguments = [
        "eval", "weak", folder, "--tagger", tagger, "--seeds", "0", "--steps", "1", "--batch", "1",
        "--tests", "1", "--seconds", "0.5", "-o", tmp_path / "out",
        "--arms", "unsupervised,weak,supervised,semi,anchors,random-crops",
    ]  # fmt: skip
    result = CliRunner().invoke(app, [str(part) for part in arguments])
    assert result.exit_code == 0, result.output
    for arm in ("unsupervised", "weak", "supervised", "semi", "anchors", "random-crops"):
        assert f"{arm}, seed 0: SDR" in result.output
        path = tmp_path / "out" / "runs" / f"{arm}-0" / "checkpoint.pt"
        assert torch.load(path, weights_only=True)["step"] == 1
    assert (tmp_path / "out" / "result.json").is_file()


def test_unknown_arms_are_one_line(folder):
    result = CliRunner().invoke(app, ["eval", "weak", str(folder), "--arms", "strong"])
    assert result.exit_code == 1 and "take of unsupervised, weak" in result.output
