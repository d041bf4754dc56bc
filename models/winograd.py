"""Transposed convolution of stride 2 by minimal filtering: where channels are many, sooner.

In: `(batch, in, n, m)`. Out: `(batch, out, 2 n, 2 m)`, as `transposed_conv` gives it to rounding.

A 5x5 kernel of stride 2 is four 3x3 kernels of stride 1, one for each phase of the output. Their
outputs in a tile of the input need a half (tiles of 2x2) or a third (4x4) of the multiplications
once input and kernel are transformed. Source: A. Lavin and S. Gray, "Fast Algorithms for
Convolutional Neural Networks", CVPR 2016.
"""

import torch
from torch import Tensor
from torch.nn import functional

from separate.models.trunk import subpixel_kernel

# By size of tile: what transforms a row of an input tile, a row of a kernel, a row of a product.
_TRANSFORMS = {
    2: (
        [[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]],
        [[1, 0, 0], [1 / 2, 1 / 2, 1 / 2], [1 / 2, -1 / 2, 1 / 2], [0, 0, 1]],
        [[1, 1, 1, 0], [0, 1, -1, -1]],
    ),
    4: (
        [
            [4, 0, -5, 0, 1, 0],
            [0, -4, -4, 1, 1, 0],
            [0, 4, -4, -1, 1, 0],
            [0, -2, -1, 2, 1, 0],
            [0, 2, -1, -2, 1, 0],
            [0, 4, 0, -5, 0, 1],
        ],
        [
            [1 / 4, 0, 0],
            [-1 / 6, -1 / 6, -1 / 6],
            [-1 / 6, 1 / 6, -1 / 6],
            [1 / 24, 1 / 12, 1 / 6],
            [1 / 24, -1 / 12, 1 / 6],
            [0, 0, 1],
        ],
        [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]],
    ),
}


class WinogradUpsample:
    """A transposed 5x5 convolution of stride 2, without bias, with its kernel transformed."""

    def __init__(self, weight: Tensor, tile: int) -> None:
        """Transform a kernel.

        Args:
            weight: `(in, out, 5, 5)`.
            tile: 2 or 4; rows and columns of the input that are done together.
        """
        like = {"dtype": weight.dtype, "device": weight.device}
        to_tile, to_kernel, from_tile = (torch.tensor(m, **like) for m in _TRANSFORMS[tile])
        # Of a tile's rows and columns at once, so that each transform is one matrix product.
        self.to_tile, self.from_tile = (torch.kron(row, row) for row in (to_tile, from_tile))
        self.tile = tile
        # Transforms the four kernels of 3x3 taps straight from the 25 taps that they share.
        taps = subpixel_kernel(torch.eye(25, **like).view(25, 1, 5, 5)).view(2, 2, 25, 3, 3)
        from_taps = torch.einsum("yr,xc,pqtrc->yxpqt", to_kernel, to_kernel, taps)
        inputs, outputs = weight.shape[:2]
        spread = from_taps.reshape(-1, 25) @ weight.reshape(-1, 25).T
        spread = spread.view((tile + 2) ** 2, 4, inputs, outputs).transpose(1, 2)
        self.kernel = spread.reshape(len(spread), inputs, 4 * outputs)

    def __call__(self, x: Tensor) -> Tensor:
        """Map `(batch, in, n, m)` to `(batch, out, 2 n, 2 m)`."""
        tile, size = self.tile, self.tile + 2
        batch, inputs, rows, columns = x.shape
        down, right = -(-rows // tile), -(-columns // tile)  # tiles
        padding = (1, 1 + right * tile - columns, 1, 1 + down * tile - rows)
        last = functional.pad(x, padding).permute(0, 2, 3, 1)  # channels last
        image, row, column, channel = last.stride()
        patches = last.as_strided(
            (size, size, batch, down, right, inputs),
            (row, column, image, row * tile, column * tile, channel),
        )
        spread = self.to_tile @ patches.reshape(size**2, -1)
        product = torch.bmm(spread.view(size**2, -1, inputs), self.kernel)
        joined = self.from_tile @ product.view(size**2, -1)
        # (row and column in a tile, image, tile, phase of row and column, channel) to a grid
        phases = joined.view(tile, tile, batch, down, right, 2, 2, -1).permute(
            2, 3, 0, 5, 4, 1, 6, 7
        )
        grid = phases.reshape(batch, 2 * down * tile, 2 * right * tile, -1)
        return grid[:, : 2 * rows, : 2 * columns].permute(0, 3, 1, 2)
