"""Recordings where they are mixed: in a GPU's own memory as far as it has room, or as on disk.

In: 16-bit recordings `(samples, 2)`, memory-mapped. Out: stretches of them as float tensors.
"""

import numpy as np
import torch
from torch import Tensor

_SHARE = 0.12  # of a GPU's memory that recordings may take


class Memory:
    """Reads stretches of recordings; a GPU keeps each that was read, while it has room."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._room = 0
        if device.type == "cuda":
            self._room = int(_SHARE * torch.cuda.get_device_properties(device).total_memory)
        # With the recording itself, so that its identity stays its own.
        self._held: dict[int, tuple[np.ndarray, Tensor]] = {}

    def read(self, recording: np.ndarray, start: int = 0, stop: int | None = None) -> Tensor:
        """Return samples `start` to `stop`, fewer at the end: float32 `(2, samples)`, -1..1."""
        if id(recording) not in self._held and recording.nbytes <= self._room:
            self._room -= recording.nbytes
            self._held[id(recording)] = recording, self._copied(recording)
        if id(recording) in self._held:
            stretch = self._held[id(recording)][1][start:stop]
        else:
            stretch = self._copied(recording[start:stop])
        return stretch.T.float() / 32768

    def _copied(self, recording: np.ndarray) -> Tensor:
        return torch.from_numpy(np.array(recording)).to(self.device)
