from dataclasses import replace

import pytest
import torch

from separate.models.bands import BINS
from separate.models.query_unet import QueryUNet, QueryUNetConfig
from separate.models.query_unet_fused import FusedQueryUNet
from separate.models.spleeter import Spleeter, SpleeterConfig
from separate.models.unet_fused import FusedSpleeter


def vary(net: torch.nn.Module) -> None:
    """Give every normalisation statistics of its own, and every query its own modulation."""
    for name, value in (*net.named_buffers(), *net.named_parameters()):
        if "running_mean" in name or ("norms" in name and name.endswith("bias")):
            value.copy_(0.3 * torch.randn(value.shape))
        elif "running_var" in name or ("norms" in name and name.endswith("weight")):
            value.copy_(0.5 + torch.rand(value.shape))
        elif "film.out" in name:
            value.copy_(0.2 * torch.randn(value.shape))


WIDTHS = (4, 4, 4, 4, 4, 8)
SMALL = QueryUNetConfig(query_dim=8, film_dim=16, music_widths=WIDTHS)
DENSE = replace(SMALL, music_level=-24.0, music_dense=3)
WITH_SOUNDS = replace(SMALL, sound_widths=WIDTHS, sound_dense=3, sound_last=5)
# The finer levels with more channels than are computed in phases.
WIDE = replace(SMALL, music_widths=(20, 24, 4, 4, 4, 8), music_last=18)


@pytest.mark.parametrize("config", [SMALL, DENSE, WITH_SOUNDS, WIDE])
def test_the_same_masks(config: QueryUNetConfig) -> None:
    torch.manual_seed(0)
    net = QueryUNet(config).eval().requires_grad_(False)
    vary(net)
    fused = FusedQueryUNet(net)
    net.gate.bias.copy_(torch.tensor([0.3, -0.2, 0.4])[: len(net.gate.bias)])
    for frames in (64, 128, 64):
        magnitude = torch.rand(1, 2, frames, BINS)
        for vector in torch.nn.functional.normalize(torch.randn(2, 8), dim=1):
            (got,) = fused.masks(magnitude, [fused.query(vector)])
            torch.testing.assert_close(got(), net(magnitude, vector[None]), atol=2e-5, rtol=1e-4)


def test_the_exponent_hardens_a_mask() -> None:
    net = QueryUNet(SMALL).eval().requires_grad_(False)
    net.gate.bias.copy_(torch.tensor([-99.0, -99.0]))
    fused = FusedQueryUNet(net)
    query = fused.query(torch.ones(8))
    magnitude = torch.rand(1, 2, 64, BINS)
    soft, hard = (fused.masks(magnitude, [query], exponent)[0]() for exponent in (1.0, 2.0))
    torch.testing.assert_close(hard, soft**2 / (soft**2 + (1 - soft) ** 2), atol=1e-5, rtol=1e-4)


def test_the_gate_decides_whether_the_music_net_runs() -> None:
    net = QueryUNet(SMALL).eval().requires_grad_(False)
    net.gate.bias.copy_(torch.tensor([99.0, -99.0]))
    query = FusedQueryUNet(net).query(torch.ones(8))
    assert (query.voice, query.backing, query.sounds, query.music) == (1.0, 0.0, None, None)
    net.gate.bias.copy_(torch.tensor([-99.0, -99.0]))
    assert FusedQueryUNet(net).query(torch.ones(8)).music is not None


def test_a_sound_needs_the_net_for_sounds_alone() -> None:
    net = QueryUNet(WITH_SOUNDS).eval().requires_grad_(False)
    net.gate.bias.copy_(torch.tensor([-99.0, -99.0, 99.0]))
    fused, vector, magnitude = FusedQueryUNet(net), torch.ones(8), torch.rand(1, 2, 64, BINS)
    (mask,) = fused.masks(magnitude, [fused.query(vector)], exponent=2.0)
    assert mask.voice is None and mask.query.music is None
    soft = net(magnitude, vector[None])
    wanted = soft**2 / (soft**2 + (1 - soft) ** 2)
    torch.testing.assert_close(mask(), wanted, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("activation", ["leaky_relu", "elu"])
def test_the_same_estimates_of_open_nets(activation: str) -> None:
    torch.manual_seed(0)
    config = SpleeterConfig(("vocals", "drums"), activation, softmax=activation == "elu")
    net = Spleeter(config).eval().requires_grad_(False)
    vary(net)
    magnitude = torch.rand(1, 2, 64, 1024)
    torch.testing.assert_close(FusedSpleeter(net)(magnitude), net(magnitude), atol=2e-5, rtol=1e-4)
