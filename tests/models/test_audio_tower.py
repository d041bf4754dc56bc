"""The audio tower's front end and network, with weights made here."""

import json
from dataclasses import asdict

import pytest
import torch

from separate.models.audio_tower import FLOOR, AudioTower, AudioTowerConfig

RATE = 32_000
SMALL = AudioTowerConfig(channels=(4, 6, 8, 8, 8), blocks=(1, 1, 1, 1, 1), hidden_dim=16)


@pytest.fixture(scope="module")
def tower():
    torch.manual_seed(0)
    return AudioTower(SMALL).eval()


def sound(seconds, rate=RATE, hz=440.0):
    """A tone with harmonics and a decaying pulse, the same at every rate."""
    time = torch.arange(int(seconds * rate)) / rate
    tone = sum(torch.sin(2 * torch.pi * hz * k * time) / k for k in range(1, 6))
    return (0.1 * tone * torch.exp(-3 * (time % 0.5)))[None]


def test_vectors_have_unit_length_and_classes_are_audiosets(tower):
    vectors, logits = tower(torch.cat([sound(1.0), sound(1.0, hz=90.0)]), RATE)
    assert vectors.shape == (2, 128)
    assert logits.shape == (2, 527)
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(2))
    assert (vectors[0] - vectors[1]).abs().max() > 1e-3


@pytest.mark.parametrize("samples", [1, 2, 800, 8_000, 32_255, 32_257, 40_001])
def test_any_length_and_silence_give_finite_vectors(tower, samples):
    for waveform in (torch.zeros(1, samples), sound(2.0)[:, :samples]):
        vectors, logits = tower(waveform, RATE)
        assert torch.isfinite(vectors).all()
        assert torch.isfinite(logits).all()


def test_level_does_not_matter_but_silence_is_not_raised(tower):
    loud = tower.log_mel(sound(1.0))
    torch.testing.assert_close(tower.log_mel(0.2 * sound(1.0)), loud, atol=0.02, rtol=0)
    nothing = tower.log_mel(1e-6 * sound(1.0))
    assert nothing.max() < torch.tensor(FLOOR).log() + 2


def test_rate_hardly_matters(tower):
    reference = tower(sound(1.5), RATE)[0]
    for rate in (16_000, 44_100, 48_000):
        other = tower(sound(1.5, rate), rate)[0]
        assert torch.cosine_similarity(other, reference).item() > 0.99


def test_a_sound_does_not_depend_on_its_batch(tower):
    both = torch.cat([sound(1.0), sound(1.0, hz=1000.0)])
    together = tower(both, RATE)[0]
    alone = torch.cat([tower(row[None], RATE)[0] for row in both])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


def test_gradient_reaches_the_waveform_which_is_not_changed(tower):
    waveform = sound(1.0, 44_100).requires_grad_()
    before = waveform.detach().clone()
    tower(waveform, 44_100)[0].sum().backward()
    assert waveform.grad is not None
    assert torch.isfinite(waveform.grad).all()
    assert waveform.grad.abs().max() > 0
    torch.testing.assert_close(waveform.detach(), before, atol=0, rtol=0)


@pytest.mark.parametrize("hz", [100.0, 440.0, 3_000.0, 12_000.0])
def test_a_tone_lies_in_its_band(tower, hz):
    time = torch.arange(RATE) / RATE
    band = tower.log_mel(0.3 * torch.sin(2 * torch.pi * hz * time)[None]).mean(dim=2).argmax()
    bins = torch.linspace(0, RATE / 2, 513)
    filter_ = tower.mel_bank[band]
    centre = (filter_ * bins).sum() / filter_.sum()
    assert abs(centre - hz) < 0.12 * hz + 40


def test_every_band_hears_something(tower):
    assert (tower.mel_bank.sum(dim=1) > 0).all()
    assert (tower.mel_bank >= 0).all()


@pytest.mark.parametrize("shape", [(100,), (1, 1, 100), (1, 0)])
def test_other_shapes_are_refused(tower, shape):
    with pytest.raises(ValueError, match="batch, time"):
        tower(torch.zeros(shape), RATE)


def test_configuration_survives_a_card():
    again = AudioTowerConfig(**json.loads(json.dumps(asdict(SMALL))))
    assert again == SMALL


def test_state_holds_weights_only(tower):
    assert not {"mel_bank", "window"} & tower.state_dict().keys()
    torch.manual_seed(1)
    again = AudioTower(SMALL).eval()
    again.load_state_dict(tower.state_dict(), strict=True)
    torch.testing.assert_close(again(sound(1.0), RATE), tower(sound(1.0), RATE))
