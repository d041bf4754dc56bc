"""Structured pruning of a U-Net: keep the channels of largest magnitude at every level.

The pruned network needs further training to recover the accuracy of the wider one.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate

import torch
from torch import Tensor

from separate.models.unet import UNet, UNetConfig

_LAYER = ("weight", "bias")


def is_narrower(net: UNet, size: UNetConfig) -> bool:
    """Return whether a size differs from a network's only in widths, and no level gets wider."""
    before, after = levels(net.config), levels(size)
    fits = all(a >= b for a, b in zip(before, after, strict=True)) and before != after
    same = replace(net.config, widths=size.widths, last=size.last)
    return fits and same == size


def levels(size: UNetConfig) -> tuple[int, ...]:
    """Return the channels of every level, encoder first."""
    return (*size.widths, *size.decoder_widths)


@torch.no_grad()
def prune(net: UNet, size: UNetConfig) -> UNet:
    """Return a narrower network with the channels of largest magnitude of a trained one.

    The magnitude of a channel is that of its normalisation and of the kernels that read it.

    Args:
        net: The trained network; it is not changed.
        size: The new size, at no level wider.
    """
    made = UNet(size, net.encoder.convs[0].get_parameter("weight").shape[1])
    down = [
        _largest(_encoder_magnitude(net, level), width) for level, width in enumerate(size.widths)
    ]
    up = [_largest(_decoder_magnitude(net, level), w) for level, w in enumerate(made.widths)]
    state = net.state_dict()

    def take(name: str, rows: Tensor, parts: Sequence[str] = _LAYER) -> None:
        for part in parts:
            state[f"{name}.{part}"] = state[f"{name}.{part}"][rows]

    for level, rows in enumerate(down):
        take(f"encoder.convs.{level}", rows)
        if level:
            state[f"encoder.convs.{level}.weight"] = state[f"encoder.convs.{level}.weight"][
                :, down[level - 1]
            ]
        if level < len(net.encoder.norms):
            take(f"encoder.norms.{level}", rows)
        if level < len(net.encoder.dense):
            take(f"encoder.dense.{level}.norm", rows)
    for level, columns in enumerate(up):
        skip = net.skip_channels[level]
        below = down[-1] if level == 0 else up[level - 1]
        rows = skip + below if level == 0 else torch.cat([down[-1 - level], skip + below])
        kernel = state[f"convs.{level}.weight"][rows]
        state[f"convs.{level}.weight"] = kernel[:, columns]
        take(f"convs.{level}", columns, ("bias",))
        take(f"norms.{level}", columns)
    state["head.weight"] = state["head.weight"][:, up[-1]]
    starts = accumulate((0, *net.film.widths[:-1]))
    kept = torch.cat([start + rows for start, rows in zip(starts, [down[-1], *up], strict=True)])
    take("film.out", torch.cat([kept, sum(net.film.widths) + kept]))  # scales, then shifts
    made.load_state_dict({name: value.contiguous() for name, value in state.items()})
    return made


def _encoder_magnitude(net: UNet, level: int) -> Tensor:
    """Return the magnitude of each channel of an encoder level, `(channels,)`."""
    levels = len(net.encoder.convs)
    reader = net.convs[levels - 1 - level].get_parameter("weight")
    if level == levels - 1:
        return _norms(reader, 0)
    skip = _norms(reader[: net.skip_channels[levels - 1 - level]], 0)
    skip = skip * _norms(net.encoder.convs[level].get_parameter("weight"), 0)
    deeper = net.encoder.norms[level].get_parameter("weight").abs() * _norms(
        net.encoder.convs[level + 1].get_parameter("weight"), 1
    )
    return skip / skip.mean() + deeper / deeper.mean()


def _decoder_magnitude(net: UNet, level: int) -> Tensor:
    """Return the magnitude of each channel of a decoder level, `(channels,)`."""
    scale = net.norms[level].get_parameter("weight").abs()
    if level == len(net.convs) - 1:
        return scale * _norms(net.head.weight, 1)
    reader = net.convs[level + 1].get_parameter("weight")
    return scale * _norms(reader[net.skip_channels[level + 1] :], 0)


def _norms(kernel: Tensor, dim: int) -> Tensor:
    """Return the L2 norms over all dimensions but one."""
    return kernel.square().sum([d for d in range(kernel.dim()) if d != dim]).sqrt()


def _largest(weights: Tensor, count: int) -> Tensor:
    """Return the indices of the largest values, in ascending order."""
    return weights.argsort(descending=True, stable=True)[:count].sort().values
