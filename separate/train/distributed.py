"""Data-parallel training with `torchrun`, through torch.distributed.

With a single process every function here does nothing.
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
    if device == "cuda" and world_size() > 1:
        return f"cuda:{torch.cuda.current_device()}"
    return device


def leave() -> None:
    """Wait for the other processes, then leave the group."""
    if distributed.is_available() and distributed.is_initialized():
        distributed.barrier()  # gloo aborts a process whose partner has left before it
        distributed.destroy_process_group()


def world_size() -> int:
    """Return the number of processes."""
    ready = distributed.is_available() and distributed.is_initialized()
    return int(distributed.get_world_size()) if ready else 1


def rank() -> int:
    """Return this process's rank; rank 0 writes files and logs."""
    return int(distributed.get_rank()) if world_size() > 1 else 0


def own_indices(step: int, batch_size: int) -> list[int]:
    """Return the global indices of this process's examples of a step.

    Args:
        step: Of the run.
        batch_size: Examples per step and process.
    """
    first = (step * world_size() + rank()) * batch_size
    return list(range(first, first + batch_size))


def agreed(values: Sequence[float], device: torch.device) -> list[float]:
    """Return the values of rank 0, since the clocks of processes differ."""
    if world_size() == 1:
        return list(values)
    shared = torch.tensor(values, dtype=torch.float32, device=device)
    distributed.broadcast(shared, src=0)
    return [float(value) for value in shared.tolist()]


def broadcast_state(module: nn.Module) -> None:
    """Copy the weights and buffers of rank 0 to every process."""
    if world_size() > 1:
        for value in module.state_dict().values():
            distributed.broadcast(value, src=0)


def gathered(values: Sequence[T]) -> list[T]:
    """Return the values of all processes in the order of their ranks (all_gather)."""
    if world_size() == 1:
        return list(values)
    rows: list[list[T]] = [[] for _ in range(world_size())]
    distributed.all_gather_object(rows, list(values))
    return [value for row in rows for value in row]


def mean_over_all(values: Tensor) -> Tensor:
    """Average rows over all processes, where processes may hold different counts of rows.

    Gradients are averaged over processes; the scaling here gives every row the same weight.

    Args:
        values: Rows of this process `(n,)`; n may be 0.

    Returns:
        Scalar; its mean over processes is the mean over all rows, or zero without rows.
    """
    count = torch.tensor(float(len(values)), device=values.device)
    if world_size() > 1:
        distributed.all_reduce(count)
    return values.sum() * world_size() / count.clamp_min(1)
