"""The voice's likelihood, kept: any threshold gives the masked recording at its own rate."""

from pathlib import Path

import numpy as np
import pytest
import torch

from separate.backends.voice_map import VoiceFinder
from separate.errors import CheckpointError, SettingsError
from separate.models import registry
from separate.models.ibm_cnn import IbmCnn, IbmCnnConfig

RATE = 16_000


@pytest.fixture
def finder(tmp_path: Path) -> VoiceFinder:
    torch.manual_seed(0)
    net = IbmCnn(IbmCnnConfig(channels=2, maps=1, hidden=2))
    card = registry.Card("tiny", "ibm-cnn", "", registry.config_of(net), "")
    registry.save(net, card, tmp_path / "tiny.safetensors", precision="float32")
    return VoiceFinder(str(tmp_path / "tiny.safetensors"))


def spectrum(sound: np.ndarray) -> torch.Tensor:
    """Return `(frames, 513)`, complex."""
    return torch.stft(
        torch.from_numpy(sound), 1024, 256, window=torch.hann_window(1024), pad_mode="constant",
        return_complex=True,
    ).T  # fmt: skip


def noise(samples: int) -> np.ndarray:
    return (0.1 * np.random.default_rng(0).normal(size=samples)).astype(np.float32)


def test_bins_below_the_threshold_are_left_out(finder: VoiceFinder) -> None:
    sound = noise(RATE)
    frames = RATE // 256 + 1
    likelihood = torch.rand(1, frames, 513, generator=torch.Generator().manual_seed(0))
    seen = []
    finder.net.forward = lambda magnitude: seen.append(magnitude) or likelihood
    found = finder.find(sound[None], RATE)
    assert (finder.name, found.samples, found.sample_rate) == ("tiny", RATE, RATE)
    torch.testing.assert_close(seen[0][0], spectrum(sound).abs(), atol=1e-5, rtol=1e-4)
    for threshold in (0.0, 0.3):
        mask = likelihood[0] ** 0.6 * (likelihood[0] >= threshold)
        expected = torch.istft(
            (mask * spectrum(sound)).T, 1024, 256, window=torch.hann_window(1024), length=RATE
        )
        voice = found.voice(threshold)
        np.testing.assert_allclose(voice[0], expected.numpy(), atol=1e-5)


@pytest.mark.parametrize("rate", [8000, 16_000, 22_050, 44_100, 48_000])
@pytest.mark.parametrize("samples", [1, 7_777])
def test_certainty_gives_the_recording_at_its_rate(
    finder: VoiceFinder, rate: int, samples: int
) -> None:
    finder.net.forward = torch.ones_like
    sound = np.sin(2 * np.pi * 500 * np.arange(samples) / rate).astype(np.float32)[None]
    voice = finder.find(sound, rate).voice(0.5)
    assert voice.shape == sound.shape
    np.testing.assert_allclose(voice[:, 200:-200], sound[:, 200:-200], atol=5e-3)


def test_other_models_are_refused() -> None:
    with pytest.raises(SettingsError, match="default"):
        VoiceFinder("default")
    with pytest.raises(CheckpointError):
        VoiceFinder("none of this name")
