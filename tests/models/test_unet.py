from dataclasses import replace

import pytest
import torch

from separate.models.bands import BINS
from separate.models.spleeter import SpleeterUNet
from separate.models.stft import StftConfig, stft
from separate.models.trunk import WindowNorm, transposed_conv
from separate.models.unet import QueryUNet, UNetConfig, wiener_mask

SMALL = UNetConfig(query_dim=8, film_dim=16)


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


def test_subpixel_equals_transposed_convolution() -> None:
    x, weight = torch.randn(2, 6, 5, 7), torch.randn(6, 3, 5, 5)
    slow, fast = (transposed_conv(x, weight, in_phases=flag) for flag in (False, True))
    torch.testing.assert_close(slow, fast, atol=1e-4, rtol=1e-4)


def test_shares_say_who_answers(net: QueryUNet) -> None:
    for bias, expected in (
        ((9, -9), (1, 0, 0, 0)),
        ((-9, 9), (0, 1, 0, 0)),
        ((-9, -9), (0, 0, 0, 1)),
    ):
        torch.nn.init.zeros_(net.gate.weight)
        net.gate.bias.data = torch.tensor(bias, dtype=torch.float32)
        with torch.inference_mode():
            shares = net.shares(torch.randn(1, 8))[0].tolist()
        assert shares == pytest.approx(expected, abs=1e-6)


def test_voices_get_the_open_nets_mask_and_their_backing_the_rest(net: QueryUNet) -> None:
    magnitude = torch.rand(1, 2, 64, BINS)
    with torch.inference_mode():
        expected = net.voice(magnitude[..., :1024]).sigmoid()
        for bias, wanted in (((99, -99), expected), ((-99, 99), 1 - expected)):
            torch.nn.init.zeros_(net.gate.weight)
            net.gate.bias.data = torch.tensor(bias, dtype=torch.float32)
            mask = net(magnitude, torch.randn(1, 8))
            torch.testing.assert_close(mask[..., :1024], wanted)


def test_the_music_trunk_starts_from_the_open_net() -> None:
    torch.manual_seed(1)
    net = randomised(QueryUNet(SMALL))
    accompaniment = randomised(SpleeterUNet())
    net.music.start_from(accompaniment)
    bands = torch.rand(1, 4, 64, 512)
    with torch.inference_mode():
        bottleneck = net.music.encode(bands).bottleneck
        torch.testing.assert_close(bottleneck, accompaniment.encoder(bands[:, 2:])[-1])


def test_the_music_trunk_hears_every_window_at_one_level() -> None:
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


def test_a_window_is_normalised_by_itself_in_part() -> None:
    torch.manual_seed(0)
    norm, trained = WindowNorm(3, 0.0).eval(), torch.nn.BatchNorm2d(3, eps=1e-3).eval()
    for layer in (norm, trained):
        layer.running_mean.copy_(torch.tensor([0.0, 1.0, -1.0]))
        layer.running_var.copy_(torch.tensor([1.0, 4.0, 0.5]))
    x = 2 + 3 * torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(norm(x), trained(x))
    norm.share = 1.0
    alone = norm(x)
    torch.testing.assert_close(alone.mean((2, 3)), torch.zeros(2, 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(alone.std((2, 3), correction=0), torch.ones(2, 3), atol=1e-3, rtol=0)
    norm.share = 0.25
    mean = 0.75 * norm.running_mean + 0.25 * x[1].mean((1, 2))
    variance = 0.75 * norm.running_var + 0.25 * x[1].var((1, 2), correction=0)
    wanted = (x[1] - mean[:, None, None]) / (variance + 1e-3).sqrt()[:, None, None]
    torch.testing.assert_close(norm(x)[1], wanted)  # whatever else is in the batch


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


def test_wiener_mask_by_hand() -> None:
    mask = wiener_mask(torch.tensor([3.0, 0.0, 1.0]), torch.tensor([4.0, 0.0, 0.0]))
    torch.testing.assert_close(mask, torch.tensor([9 / 25, 0.0, 1.0]))
