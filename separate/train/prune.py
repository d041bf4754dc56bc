"""A music trunk made narrower: of each level the channels that weigh most.

In: a trained trunk and a smaller size. Out: a trunk of that size, to be trained on: it knows most
of what the wide one does, at a fraction of its work.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate

import torch
from torch import Tensor

from separate.models.unet import UNet, UNetConfig

_LAYER = ("weight", "bias")


def narrows(trunk: UNet, size: UNetConfig) -> bool:
    """Whether a size differs from a trunk's in its widths alone, and no level would be wider."""
    before, after = levels(trunk.config), levels(size)
    fits = all(a >= b for a, b in zip(before, after, strict=True)) and before != after
    same = replace(trunk.config, widths=size.widths, last=size.last)
    return fits and same == size


def levels(size: UNetConfig) -> tuple[int, ...]:
    """Return the channels of every level, encoder first."""
    return (*size.widths, *size.decoder_widths)


@torch.no_grad()
def narrowed(trunk: UNet, size: UNetConfig) -> UNet:
    """Return a trunk of another size with the channels of a trained one that weigh most.

    A channel weighs what its normalisation and the kernels that read it make of it.

    Args:
        trunk: It is left as it is.
        size: No wider at any level.
    """
    made = UNet(size, trunk.encoder.convs[0].in_channels)
    down = [
        _heaviest(_encoder_weight(trunk, level), width) for level, width in enumerate(size.widths)
    ]
    up = [_heaviest(_decoder_weight(trunk, level), w) for level, w in enumerate(made.widths)]
    state = trunk.state_dict()

    def take(name: str, rows: Tensor, parts: Sequence[str] = _LAYER) -> None:
        for part in parts:
            state[f"{name}.{part}"] = state[f"{name}.{part}"][rows]

    for level, rows in enumerate(down):
        take(f"encoder.convs.{level}", rows)
        if level:
            state[f"encoder.convs.{level}.weight"] = state[f"encoder.convs.{level}.weight"][
                :, down[level - 1]
            ]
        if level < len(trunk.encoder.norms):
            take(f"encoder.norms.{level}", rows)
        if level < len(trunk.encoder.dense):
            take(f"encoder.dense.{level}.norm", rows)
    for level, columns in enumerate(up):
        skip = trunk.skip_channels[level]
        below = down[-1] if level == 0 else up[level - 1]
        rows = skip + below if level == 0 else torch.cat([down[-1 - level], skip + below])
        kernel = state[f"convs.{level}.weight"][rows]
        state[f"convs.{level}.weight"] = kernel[:, columns]
        take(f"convs.{level}", columns, ("bias",))
        take(f"norms.{level}", columns)
    state["head.weight"] = state["head.weight"][:, up[-1]]
    starts = accumulate((0, *trunk.film.widths[:-1]))
    kept = torch.cat([start + rows for start, rows in zip(starts, [down[-1], *up], strict=True)])
    take("film.out", torch.cat([kept, sum(trunk.film.widths) + kept]))  # scales, then shifts
    made.load_state_dict({name: value.contiguous() for name, value in state.items()})
    return made


def _encoder_weight(trunk: UNet, level: int) -> Tensor:
    """What each channel of an encoder level weighs, `(channels,)`."""
    levels = len(trunk.encoder.convs)
    reader = trunk.convs[levels - 1 - level].get_parameter("weight")
    if level == levels - 1:
        return _size(reader, 0)
    skip = _size(reader[: trunk.skip_channels[levels - 1 - level]], 0)
    skip = skip * _size(trunk.encoder.convs[level].weight, 0)
    deeper = trunk.encoder.norms[level].weight.abs() * _size(
        trunk.encoder.convs[level + 1].weight, 1
    )
    return skip / skip.mean() + deeper / deeper.mean()


def _decoder_weight(trunk: UNet, level: int) -> Tensor:
    """What each channel of a decoder level weighs, `(channels,)`."""
    scale = trunk.norms[level].get_parameter("weight").abs()
    if level == len(trunk.convs) - 1:
        return scale * _size(trunk.head.weight, 1)
    reader = trunk.convs[level + 1].get_parameter("weight")
    return scale * _size(reader[trunk.skip_channels[level + 1] :], 0)


def _size(kernel: Tensor, dim: int) -> Tensor:
    """Root of the sum of squares along all dimensions but one."""
    return kernel.square().sum([d for d in range(kernel.dim()) if d != dim]).sqrt()


def _heaviest(weights: Tensor, count: int) -> Tensor:
    """Indices of the largest, in order."""
    return weights.argsort(descending=True, stable=True)[:count].sort().values
