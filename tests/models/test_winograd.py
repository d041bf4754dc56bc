import pytest
import torch

from separate.models.trunk import transposed_conv
from separate.models.winograd import WinogradUpsample


@pytest.mark.parametrize("tile", [2, 4])
@pytest.mark.parametrize("size", [(1, 1), (4, 8), (5, 7)])
def test_equals_the_plain_convolution(tile: int, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    weight = torch.randn(6, 3, 5, 5)
    x = torch.randn(2, 6, *size).contiguous(memory_format=torch.channels_last)
    expected = transposed_conv(x, weight, in_phases=False)
    torch.testing.assert_close(WinogradUpsample(weight, tile)(x), expected, atol=2e-4, rtol=1e-4)
