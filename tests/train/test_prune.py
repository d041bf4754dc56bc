from dataclasses import replace

import pytest
import torch

from separate.models.query_unet import QueryUNet, QueryUNetConfig
from separate.models.unet import UNet, UNetConfig
from separate.train.prune import is_narrower, prune
from separate.train.start import Size, Start, with_music

SIZE = UNetConfig(8, 4, 2, (6, 6, 6, 6, 6, 8), dense=3, last=5)


@pytest.fixture
def net() -> UNet:
    torch.manual_seed(0)
    made = UNet(SIZE, 4).eval().requires_grad_(False)
    for name, value in made.named_parameters():
        if "film.out" in name or "widen" in name:
            value.copy_(0.2 * torch.randn(value.shape))
    return made


def masks(net: UNet) -> torch.Tensor:
    torch.manual_seed(1)
    features = net.encode(torch.rand(1, 4, 64, 512))
    return net.decode(features, torch.nn.functional.normalize(torch.randn(1, 8), dim=1))


def test_what_no_kernel_reads_can_go(net: UNet) -> None:
    net.head.weight[:, 2] = 0
    torch.testing.assert_close(masks(prune(net, SIZE)), masks(net))
    small = prune(net, replace(SIZE, last=4))
    kept = torch.tensor([0, 1, 3, 4])
    torch.testing.assert_close(small.head.weight, net.head.weight[:, kept])
    torch.testing.assert_close(small.convs[5].weight, net.convs[5].weight[:, kept])


def test_the_heaviest_channels_of_each_level_are_kept(net: UNet) -> None:
    light = {0: 4, 1: 1}  # a channel of each of the finest levels that hardly counts
    for level, channel in light.items():
        net.encoder.norms[level].weight[channel] = 0
        net.convs[5 - level].weight[channel] = 0
    net.norms[4].weight[3] = 0
    small = prune(net, replace(SIZE, widths=(5, 5, 6, 6, 6, 8)))
    first, second = (
        torch.tensor([channel for channel in range(6) if channel != left])
        for left in light.values()
    )
    kernel = net.encoder.convs[1].weight[second][:, first]
    torch.testing.assert_close(small.encoder.convs[1].weight, kernel)
    torch.testing.assert_close(
        small.encoder.dense[0].norm.weight, net.encoder.dense[0].norm.weight[first]
    )
    assert masks(small).shape == masks(net).shape
    below = net.convs[5].weight[6 + torch.tensor([0, 1, 2, 4, 5])]
    torch.testing.assert_close(small.convs[5].weight[5:], below)


@pytest.mark.parametrize(
    ("size", "narrower"),
    [
        (SIZE, False),
        (replace(SIZE, last=4), True),
        (replace(SIZE, widths=(6, 6, 6, 6, 6, 7)), True),
        (replace(SIZE, last=6), False),
        (replace(SIZE, last=4, dense=0), False),
        (replace(SIZE, last=4, query_dim=9), False),
    ],
)
def test_only_a_narrower_size_is_pruned(net: UNet, size: UNetConfig, narrower: bool) -> None:
    assert is_narrower(net, size) == narrower


def test_a_music_net_is_new_kept_or_pruned() -> None:
    torch.manual_seed(0)
    said: list[str] = []
    first = Start(QueryUNet(QueryUNetConfig(query_dim=8, film_dim=4, music_level=-24.0)))
    made = with_music(first, Size((6, 6, 6, 6, 6, 8), dense=3, last=5), said.append)
    assert made.model.config.music_widths == (6, 6, 6, 6, 6, 8)
    assert made.model.config.music_level == -24.0
    for name, value in first.model.voice.state_dict().items():
        assert torch.equal(value, made.model.voice.state_dict()[name])
    for size in (Size(), Size((6, 6, 6, 6, 6, 8)), Size(last=5), Size(dense=3)):
        assert with_music(made, size, said.append) is made
    smaller = with_music(made, Size(last=4), said.append).model.music
    columns = [
        {tuple(column) for column in music.convs[5].weight.transpose(0, 1).flatten(1).tolist()}
        for music in (smaller, made.model.music)
    ]
    assert columns[0] < columns[1] and len(columns[0]) == 4
    assert smaller.config.dense == 3
    other = with_music(made, Size(last=6), said.append).model.music
    assert not torch.equal(other.convs[0].weight, made.model.music.convs[0].weight)
    changes = ["random" if "random" in line else "pruned" for line in said]
    assert changes == ["random", "pruned", "random"] and "pruned" in said[1]
