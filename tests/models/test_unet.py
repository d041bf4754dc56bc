import torch
from torch import nn

from separate.models.unet import LayerNorm, SmallUNet, UNetConfig, transposed_conv


def test_a_mask_for_each_query() -> None:
    net = SmallUNet(UNetConfig(query_dim=8, channels=2)).eval()
    mask = net(torch.rand(2, 2, 64, 2049), torch.randn(2, 8))
    assert mask.shape == (2, 2, 64, 2049)
    assert (mask > 0).all() and (mask < 1).all()


def test_an_example_does_not_depend_on_its_batch() -> None:
    net = SmallUNet().train()
    magnitude, query = torch.rand(2, 1, 64, 2049), torch.randn(2, 128)
    together = net(magnitude, query)
    torch.testing.assert_close(together[:1], net(magnitude[:1], query[:1]), atol=1e-5, rtol=0)


def test_query_reaches_the_mask_after_a_step() -> None:
    torch.manual_seed(0)
    net = SmallUNet()
    magnitude, query = torch.rand(1, 1, 64, 2049), torch.randn(1, 128)
    net(magnitude, query).sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name


def test_both_ways_to_normalise_are_one() -> None:
    torch.manual_seed(0)
    norm = LayerNorm(3)
    norm.weight.data, norm.bias.data = torch.randn(3), torch.randn(3)
    x = 5 + 2 * torch.randn(2, 3, 8, 4)
    torch.testing.assert_close(norm.by_moments(x), norm(x), atol=1e-5, rtol=1e-5)


def test_dense_layers_give_the_same_with_gradients_and_without() -> None:
    torch.manual_seed(0)
    net = SmallUNet(UNetConfig(dense=8))
    for layer in net.encoder.dense:
        nn.init.normal_(layer.widen.weight)
        nn.init.normal_(layer.widen.bias)
    magnitude = torch.rand(2, 1, 128, 2049)
    learning = net.encode(magnitude).bottleneck
    with torch.no_grad():
        torch.testing.assert_close(net.encode(magnitude).bottleneck, learning, atol=1e-5, rtol=1e-5)


def test_masks_are_the_same_with_gradients_and_without() -> None:
    torch.manual_seed(0)
    net = SmallUNet()
    magnitude, query = 5 * torch.rand(2, 1, 64, 2049), torch.randn(2, 128)
    learning = net(magnitude, query)
    with torch.no_grad():
        torch.testing.assert_close(net(magnitude, query), learning, atol=1e-5, rtol=1e-5)


def test_subpixel_equals_transposed_convolution() -> None:
    x, weight = torch.randn(2, 6, 5, 7), torch.randn(6, 3, 5, 5)
    slow, fast = (transposed_conv(x, weight, in_phases=flag) for flag in (False, True))
    torch.testing.assert_close(slow, fast, atol=1e-4, rtol=1e-4)
