"""A cache of recordings on the device that mixes them.

Recordings are memory-mapped int16 `(samples, 2)`; excerpts are float32 `(2, samples)`.
"""

import numpy as np
import torch
from torch import Tensor

_MEMORY_FRACTION = 0.12  # of a GPU's memory that recordings may use


class AudioCache:
    """Reads excerpts of recordings; on a GPU each recording stays in its memory while it fits."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._free_bytes = 0
        if device.type == "cuda":
            self._free_bytes = int(
                _MEMORY_FRACTION * torch.cuda.get_device_properties(device).total_memory
            )
        # Keeping the recording keeps its id() unique.
        self._cached: dict[int, tuple[np.ndarray, Tensor]] = {}

    def read(self, recording: np.ndarray, start: int = 0, stop: int | None = None) -> Tensor:
        """Return samples `start` to `stop`, fewer at the end: float32 `(2, samples)`, -1..1."""
        if id(recording) not in self._cached and recording.nbytes <= self._free_bytes:
            self._free_bytes -= recording.nbytes
            self._cached[id(recording)] = recording, self._copied(recording)
        if id(recording) in self._cached:
            excerpt = self._cached[id(recording)][1][start:stop]
        else:
            excerpt = self._copied(recording[start:stop])
        return excerpt.T.float() / 32768

    def _copied(self, recording: np.ndarray) -> Tensor:
        return torch.from_numpy(np.array(recording)).to(self.device)
