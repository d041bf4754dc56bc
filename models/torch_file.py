"""Reads checkpoints that others wrote with `torch.save`; nothing in them is executed."""

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from separate.models.errors import CheckpointError


def read_torch_file(path: str | Path, plain: Sequence[Any] = ()) -> Any:
    """Read a `.pt` file.

    Args:
        path: The file.
        plain: Types that it may hold beside tensors, numbers and containers.

    Raises:
        CheckpointError: It is missing or damaged, or holds something else.
    """
    try:
        with torch.serialization.safe_globals(list(plain)):
            return torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise CheckpointError(f"{path}: no checkpoint that can be read ({reason[:120]})") from error
