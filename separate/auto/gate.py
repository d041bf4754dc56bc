"""Gains that mute an estimate in blocks in which the tagger does not find the source."""

import numpy as np

_RAMP_SECONDS = 0.05


class Gate:
    """Opens one block before a source sounds and closes one after, so that no onset is cut."""

    def __init__(self, active: np.ndarray, block_seconds: float) -> None:
        """Lay the ramps.

        Args:
            active: `(blocks,)` bool; what follows the last block is as it.
            block_seconds: Length of a block.
        """
        reach = np.pad(active, 1)
        is_open = reach[:-2] | reach[1:-1] | reach[2:]
        edges = np.flatnonzero(np.diff(is_open.astype(np.int8))) + 1
        times, gains = [0.0], [float(is_open[0])]
        for edge in edges.tolist():
            opens = bool(is_open[edge])
            times += [edge * block_seconds - _RAMP_SECONDS, edge * block_seconds]
            gains += [float(not opens), float(opens)]
        self._times, self._gains = np.array(times), np.array(gains)

    def gains(self, first_sample: int, count: int, sample_rate: int) -> np.ndarray:
        """Return the gain, 0..1, of each of `count` samples from `first_sample`: float32."""
        seconds = (first_sample + np.arange(count)) / sample_rate
        return np.interp(seconds, self._times, self._gains).astype(np.float32)
