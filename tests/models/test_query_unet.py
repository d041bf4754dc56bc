from dataclasses import replace

import pytest
import torch

from separate.models.bands import BINS
from separate.models.query_unet import QueryUNet, QueryUNetConfig
from separate.models.stft import StftConfig, stft

SMALL = QueryUNetConfig(query_dim=8, film_dim=16, music_widths=(4, 4, 4, 4, 4, 8))


def randomised(net: torch.nn.Module) -> torch.nn.Module:
    """Give normalisation layers statistics that are not 0 and 1."""
    generator = torch.Generator().manual_seed(3)
    for name, buffer in net.named_buffers():
        if name.endswith("running_mean"):
            buffer.copy_(0.1 * torch.randn(buffer.shape, generator=generator))
        if name.endswith("running_var"):
            buffer.copy_(0.5 + torch.rand(buffer.shape, generator=generator))
    return net.eval()


@pytest.fixture(scope="module")
def net() -> QueryUNet:
    torch.manual_seed(0)
    return randomised(QueryUNet(SMALL))  # type: ignore[return-value]


def test_the_gate_weighs_the_experts(net: QueryUNet) -> None:
    for bias, expected in (
        ((9, -9), (1, 0, 0, 0)),
        ((-9, 9), (0, 1, 0, 0)),
        ((-9, -9), (0, 0, 0, 1)),
    ):
        torch.nn.init.zeros_(net.gate.weight)
        net.gate.bias.data = torch.tensor(bias, dtype=torch.float32)
        with torch.inference_mode():
            weights = net.expert_weights(torch.randn(1, 8))[0].tolist()
        assert weights == pytest.approx(expected, abs=1e-6)


def test_the_voice_nets_mask_and_its_complement(net: QueryUNet) -> None:
    magnitude = torch.rand(1, 2, 64, BINS)
    with torch.inference_mode():
        expected = net.voice(magnitude[..., :1024]).sigmoid()
        for bias, wanted in (((99, -99), expected), ((-99, 99), 1 - expected)):
            torch.nn.init.zeros_(net.gate.weight)
            net.gate.bias.data = torch.tensor(bias, dtype=torch.float32)
            mask = net(magnitude, torch.randn(1, 8))
            torch.testing.assert_close(mask[..., :1024], wanted)


def test_every_window_enters_the_music_net_at_one_level() -> None:
    net = QueryUNet(replace(SMALL, music_level=-24.0))
    torch.manual_seed(0)
    noise = torch.randn(2, 44_100) * torch.tensor([0.1, 0.001])[:, None]  # -20 and -60 dBFS
    magnitude = stft(noise, StftConfig()).abs().transpose(-1, -2)[:, None].expand(-1, 2, -1, -1)
    with torch.inference_mode():
        gain = net.music_gain(magnitude).flatten()
        torch.testing.assert_close(gain[0], torch.tensor(10 ** (-4 / 20)), rtol=0.05, atol=0)
        assert gain[1] == 10  # 36 dB would bring noise to the front
        voice = torch.rand(magnitude.shape)
        one = net.music_input(magnitude[:1], voice[:1])
        torch.testing.assert_close(net.music_input(2 * magnitude[:1], voice[:1]), one)
        assert net.music_gain(torch.zeros(1, 2, 64, BINS)).isfinite().all()
        plain = QueryUNet(SMALL)
        assert plain.music_gain(magnitude).flatten().tolist() == [1, 1]


def test_masks_lie_between_nothing_and_all(net: QueryUNet) -> None:
    magnitude = torch.rand(2, 2, 64, BINS)
    with torch.inference_mode():
        mask = net(magnitude, torch.nn.functional.normalize(torch.randn(2, 8), dim=1))
    assert mask.shape == magnitude.shape
    assert (mask >= 0).all() and (mask <= 1).all()


def test_silence_gives_a_finite_mask(net: QueryUNet) -> None:
    with torch.inference_mode():
        assert torch.isfinite(net(torch.zeros(1, 2, 64, BINS), torch.zeros(1, 8))).all()


def test_the_query_matters_once_film_is_trained(net: QueryUNet) -> None:
    torch.nn.init.normal_(net.music.film.out.weight, std=0.5)
    net.gate.bias.data.fill_(-9)
    magnitude = torch.rand(1, 2, 64, BINS)
    with torch.inference_mode():
        one, other = (net(magnitude, torch.eye(8)[i : i + 1]) for i in range(2))
    assert (one - other).abs().max() > 1e-4


def test_batched_queries_equal_single_ones(net: QueryUNet) -> None:
    magnitude = torch.rand(2, 2, 64, BINS)
    queries = torch.nn.functional.normalize(torch.randn(2, 8), dim=1)
    with torch.inference_mode():
        together = net(magnitude, queries)
        alone = torch.cat([net(magnitude[i : i + 1], queries[i : i + 1]) for i in range(2)])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)
