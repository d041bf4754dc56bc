import torch

from separate.models.fused import FusedUNet
from separate.models.unet import QueryUNet, UNetConfig


def test_the_same_estimates() -> None:
    torch.manual_seed(0)
    net = QueryUNet(UNetConfig(query_dim=8, film_dim=16)).eval().requires_grad_(False)
    for name, value in (*net.named_buffers(), *net.named_parameters()):
        if "running_mean" in name or ("norms" in name and name.endswith("bias")):
            value.copy_(0.3 * torch.randn(value.shape))
        elif "running_var" in name or ("norms" in name and name.endswith("weight")):
            value.copy_(0.5 + torch.rand(value.shape))
        elif "film.out" in name:
            value.copy_(0.2 * torch.randn(value.shape))
    fused = FusedUNet(net)
    net.gate.bias.fill_(0.3)
    for frames in (64, 128, 64):
        magnitude = torch.rand(1, 2, frames, 1024)
        for vector in torch.nn.functional.normalize(torch.randn(2, 8), dim=1):
            expected = net(magnitude, vector[None])
            (got,) = fused.estimate(magnitude, [fused.query(vector)])
            for one, other in zip(got, expected, strict=True):
                torch.testing.assert_close(one, other, atol=2e-5, rtol=1e-4)


def test_the_gate_decides_which_trunks_run() -> None:
    net = QueryUNet(UNetConfig(query_dim=8, film_dim=16)).eval().requires_grad_(False)
    net.gate.bias.fill_(-100)
    assert FusedUNet(net).query(torch.ones(8)).voice is None
    net.gate.bias.fill_(100)
    query = FusedUNet(net).query(torch.ones(8))
    assert query.music is None and query.voice is not None
