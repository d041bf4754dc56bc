import pytest
import torch

from separate.models.spleeter import SpleeterUNet
from separate.models.unet import QueryUNet, UNetConfig, transposed_conv, wiener_mask

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
    slow, fast = (transposed_conv(x, weight, subpixel=flag) for flag in (False, True))
    torch.testing.assert_close(slow, fast, atol=1e-4, rtol=1e-4)


def test_started_from_open_nets_voices_get_their_estimates(net: QueryUNet) -> None:
    torch.manual_seed(1)
    vocals, accompaniment = (randomised(SpleeterUNet()) for _ in range(2))
    fresh = randomised(QueryUNet(SMALL))
    fresh.backing.start_from(accompaniment.encoder, accompaniment.decoder)
    fresh.voice.start_from(vocals.encoder, vocals.decoder)
    torch.nn.init.constant_(fresh.gate.bias, 100.0)
    magnitude = torch.rand(1, 2, 64, 1024)
    with torch.inference_mode():
        target, rest = fresh(magnitude, torch.randn(1, 8))
        torch.testing.assert_close(
            target, vocals(magnitude).sigmoid() * magnitude, atol=1e-4, rtol=1e-3
        )
        torch.testing.assert_close(
            rest, accompaniment(magnitude).sigmoid() * magnitude, atol=1e-4, rtol=1e-3
        )


def test_estimates_lie_between_nothing_and_the_mixture(net: QueryUNet) -> None:
    magnitude = torch.rand(2, 2, 64, 1024)
    with torch.inference_mode():
        target, rest = net(magnitude, torch.nn.functional.normalize(torch.randn(2, 8), dim=1))
    for estimate in (target, rest):
        assert estimate.shape == magnitude.shape
        assert (estimate >= 0).all() and (estimate <= magnitude + 1e-6).all()


def test_silence_stays_silent(net: QueryUNet) -> None:
    with torch.inference_mode():
        target, rest = net(torch.zeros(1, 2, 64, 1024), torch.zeros(1, 8))
    assert not target.any() and not rest.any()
    assert torch.isfinite(wiener_mask(target, rest)).all()


def test_the_query_matters_once_film_is_trained(net: QueryUNet) -> None:
    torch.nn.init.normal_(net.music.film.out.weight, std=0.5)
    magnitude = torch.rand(1, 2, 64, 1024)
    with torch.inference_mode():
        one, _ = net(magnitude, torch.eye(8)[:1])
        other, _ = net(magnitude, torch.eye(8)[1:2])
    assert (one - other).abs().max() > 1e-4


def test_batched_queries_equal_single_ones(net: QueryUNet) -> None:
    magnitude = torch.rand(2, 2, 64, 1024)
    queries = torch.nn.functional.normalize(torch.randn(2, 8), dim=1)
    with torch.inference_mode():
        together, _ = net(magnitude, queries)
        alone = torch.cat([net(magnitude[i : i + 1], queries[i : i + 1])[0] for i in range(2)])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)


def test_wiener_mask_by_hand() -> None:
    mask = wiener_mask(torch.tensor([3.0, 0.0, 1.0]), torch.tensor([4.0, 0.0, 0.0]))
    torch.testing.assert_close(mask, torch.tensor([9 / 25, 0.0, 1.0]))
