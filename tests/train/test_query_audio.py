"""The audio tower's training on a handful of made-up sounds, and the rule of presence."""

import pytest
import torch

from separate.errors import DataError
from separate.models.audio_tower import FLOOR
from separate.queries.encoders import load_encoder
from separate.queries.presence import Clues
from separate.train.query_net.__main__ import write_both
from separate.train.query_net.audio import train_audio
from separate.train.query_net.config import AudioTraining, SoundTable
from separate.train.query_net.mixing import SoundMixer
from separate.train.query_net.presence import Row, auc, cross_validate, fit, likelihoods
from separate.train.query_net.scores import audio_scores

LABELS = ["kick", "flute", "rain", "drums"]


@pytest.fixture(scope="module")
def table():
    """Forty sounds; each label has energy in a band of its own; every tenth is held out."""
    torch.manual_seed(0)
    labels = [LABELS[row % 4] for row in range(40)]
    mels = torch.full((40, 64, 125), -11.5)
    frames = torch.full((40,), 125)
    frames[::4] = 20  # kicks are short
    for row in range(40):
        band = slice(16 * (row % 4), 16 * (row % 4) + 8)
        mels[row, band, : frames[row]] = 2 + torch.randn(8, int(frames[row]))
    held_out = torch.arange(40) % 10 == 9
    logits = torch.full((40, 527), -6.0)
    return SoundTable(
        mels.half(), frames, logits.half(), torch.randn(40, 384).half(),
        labels, ["clips/x"] * 40, held_out,
    )  # fmt: skip


def mixer(table, **options):
    settings = AudioTraining(batch=16, lengths=(32, 47), **options)
    rows = (~table.held_out).nonzero().squeeze(1)
    return SoundMixer(table, rows, torch.ones(len(rows)), settings)


def test_batches_are_repeatable_and_leave_out_what_is_held_out(table):
    first, second = mixer(table), mixer(table)
    for _ in range(5):
        one, two = first.draw(), second.draw()
        torch.testing.assert_close(one.mels, two.mels)
        assert one.mels.shape in {(16, 64, 32), (16, 64, 47)}
        assert torch.isfinite(one.mels).all()
        assert one.mels.min() >= torch.tensor(FLOOR).log() - 1e-3
        assert not table.held_out[one.first].any() and not table.held_out[one.second].any()


def test_energies_add_in_a_mixture(table):
    plain = {"equaliser_db": 0.0, "cut_off": 0.0, "noisy": 0.0, "holes": 0.0}
    levels = {"loudest_second_db": -10.0, "softest_second_db": -10.0, "mixtures": 1.0}
    batch = mixer(table, **plain, **levels).draw()
    energy = batch.mels.exp() - FLOOR
    for row, (first, second) in enumerate(zip(batch.first, batch.second, strict=True)):
        bands = [16 * (int(index) % 4) for index in (first, second)]
        loud, soft = (float(energy[row, b : b + 8].sum()) for b in bands)
        if bands[0] != bands[1]:
            assert soft / loud == pytest.approx(0.1, rel=0.02)


def test_training_learns_and_leaves_the_text_tower(table, tmp_path):
    encoder = load_encoder()
    before = {name: value.clone() for name, value in encoder.net.text.state_dict().items()}
    tower = train_audio(
        table, encoder.net.text, AudioTraining(minutes=0.05, batch=8, lengths=(32,))
    )
    scores = audio_scores(tower, encoder.net.text, table)
    assert scores["sounds"] == 4
    assert all(0 <= scores[name] <= 1 for name in ("labels_right", "kin_right", "teacher_top3"))
    card = write_both(encoder.net, encoder.card, tower, table, tmp_path / "net.safetensors")
    assert card["text_sha256"] == encoder.card["text_sha256"]
    assert card["config"]["audio"]["hidden_dim"] == tower.config.hidden_dim
    for name, value in encoder.net.text.state_dict().items():
        assert torch.equal(value, before[name])


def rows(count=60):
    torch.manual_seed(0)
    result = []
    for number in range(count):
        present = number % 2 == 0
        noise = torch.randn(5).tolist()
        clues = Clues(0.3 * noise[0] + present, 0.3 * noise[1], *noise[2:4], 0.0, 5 * noise[4])
        result.append(Row(number, "clips", "x", present, None if number == 59 else clues))
    return result


def test_rule_of_presence_finds_the_clue_that_tells():
    known = rows()
    bias, weights = fit(known)
    likely = likelihoods(known, bias, weights)
    assert weights[0] * 0.3 > 3 * abs(weights[2])
    assert auc(likely, known) > 0.95
    assert likely[59] < 1e-6
    scores = cross_validate(known)
    assert scores["auc_clips"] > 0.9
    assert sum(count for _, _, count in scores["reliability"]) == len(known)


def test_rule_needs_both_kinds():
    with pytest.raises(DataError):
        fit([row for row in rows() if row.present])
