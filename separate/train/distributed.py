"""Several processes that train one model: what `torchrun` starts, through torch.distributed.

In: the environment that `torchrun` sets. Out: this process's number, and what all must agree on.
With a single process everything here does nothing.
"""

import os
from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor, distributed, nn

T = TypeVar("T")


def join(device: str) -> str:
    """Join the other processes where `torchrun` started this one.

    Args:
        device: "cpu", "cuda" or "mps"; of several GPUs each process takes its own.

    Returns:
        The device of this process.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not distributed.is_initialized():
        cuda = device.startswith("cuda")
        distributed.init_process_group("nccl" if cuda else "gloo")
        if cuda:
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    if device == "cuda" and world() > 1:
        return f"cuda:{torch.cuda.current_device()}"
    return device


def leave() -> None:
    """Part from the other processes, when all of them are here."""
    if distributed.is_available() and distributed.is_initialized():
        distributed.barrier()  # gloo aborts a process whose partner is gone before it is done
        distributed.destroy_process_group()


def world() -> int:
    """Return the number of processes."""
    ready = distributed.is_available() and distributed.is_initialized()
    return int(distributed.get_world_size()) if ready else 1


def rank() -> int:
    """Return this process's number; the first, 0, writes files and logs."""
    return int(distributed.get_rank()) if world() > 1 else 0


def own_numbers(step: int, batch: int) -> list[int]:
    """Return the global numbers of this process's examples of a step.

    Args:
        step: Of the run.
        batch: Examples a step and process.
    """
    first = (step * world() + rank()) * batch
    return list(range(first, first + batch))


def agreed(values: Sequence[float], device: torch.device) -> list[float]:
    """Return the first process's values: clocks differ, and what one does all must do."""
    if world() == 1:
        return list(values)
    shared = torch.tensor(values, dtype=torch.float32, device=device)
    distributed.broadcast(shared, src=0)
    return [float(value) for value in shared.tolist()]


def share(module: nn.Module) -> None:
    """Give every process the first one's weights and buffers."""
    if world() > 1:
        for value in module.state_dict().values():
            distributed.broadcast(value, src=0)


def gathered(values: Sequence[T]) -> list[T]:
    """Return the values of all processes in the order of their numbers."""
    if world() == 1:
        return list(values)
    rows: list[list[T]] = [[] for _ in range(world())]
    distributed.all_gather_object(rows, list(values))
    return [value for row in rows for value in row]


def mean_over_all(values: Tensor) -> Tensor:
    """Average over rows of which each process may have another number.

    Gradients are averaged over processes, so that each row must weigh the same in that mean.

    Args:
        values: This process's rows `(n,)`, possibly none.

    Returns:
        Scalar; its mean over processes is the mean over all rows (zero where there are none).
    """
    count = torch.tensor(float(len(values)), device=values.device)
    if world() > 1:
        distributed.all_reduce(count)
    return values.sum() * world() / count.clamp_min(1)
