"""One mono view of any number of channels, in which no channel cancels another.

The mean of the channels is silent for a stereo pair of opposite polarity. Here the channels get
phases spread over half a turn before they are added: for stereo the middle (L + R) / 2 plus the
Hilbert transform of the side (R - L) / 2. Equal channels come out as they are; channels of opposite
polarity keep their power; channels that differ add up to their mean power. The filter is the same
at all times, so the result doesn't depend on how a stream is cut.
"""

from functools import lru_cache

import numpy as np

_HALF_TAPS = 1_024  # the transform is flat from about 50 Hz on at 44.1 kHz
_PIECE_SAMPLES = 131_072


class Downmix:
    """Folds a stream of channels into one."""

    def __init__(self, channels: int) -> None:
        """Begin a stream of 1 or more channels."""
        index, pairs = np.arange(channels), (channels + 1) // 2
        # The two of a pair a quarter turn apart, so that neither polarity cancels the other.
        angles = (index % 2 - 0.5) * np.pi / 2 + index // 2 * np.pi / (2 * pairs)
        scale = np.sqrt(channels)
        self._real = (np.cos(angles) / scale).astype(np.float32)
        self._imaginary = (np.sin(angles) / scale).astype(np.float32)
        self._is_filtered = channels > 1
        self._kept = np.zeros((2, 0), np.float32)  # real and imaginary part, not done yet
        self._before = np.zeros(_HALF_TAPS, np.float32)  # imaginary part of what is done

    def process(self, block: np.ndarray, last: bool = False) -> np.ndarray:
        """Append samples, and return those that are complete.

        Args:
            block: Float `(channels, time)`; time may be 0.
            last: This is the last block: return all that is left.

        Returns:
            float32 `(time,)`; in all as many samples as came in.
        """
        if block.ndim != 2 or len(block) != len(self._real):
            raise ValueError(f"block must be ({len(self._real)}, time), got {block.shape}")
        if not self._is_filtered:
            return block[0].astype(np.float32, copy=False)
        parts = np.stack([self._real @ block, self._imaginary @ block]).astype(np.float32)
        self._kept = np.concatenate([self._kept, parts], axis=1)
        ready = self._kept.shape[1] - (0 if last else _HALF_TAPS)
        done = [self._next(min(_PIECE_SAMPLES, ready - i)) for i in range(0, ready, _PIECE_SAMPLES)]
        return np.concatenate(done) if done else np.zeros(0, np.float32)

    def end(self) -> np.ndarray:
        """Return all that is left, `(time,)`."""
        return self.process(np.zeros((len(self._real), 0), np.float32), last=True)

    def _next(self, samples: int) -> np.ndarray:
        """Filter the next samples and drop them."""
        ahead = self._kept[1, : samples + _HALF_TAPS]
        around = np.concatenate([self._before, ahead])
        around = np.pad(around, (0, samples + 2 * _HALF_TAPS - len(around)))
        mono: np.ndarray = self._kept[0, :samples]
        if around.any():
            mono = mono + _filtered(around)[2 * _HALF_TAPS : 2 * _HALF_TAPS + samples]
        self._before = around[samples : samples + _HALF_TAPS]
        self._kept = self._kept[:, samples:]
        return mono.astype(np.float32)


def to_mono(audio: np.ndarray) -> np.ndarray:
    """Fold the channels of an array into one, see `Downmix`.

    Args:
        audio: Float `(channels, time)`.

    Returns:
        float32 `(time,)`.
    """
    return Downmix(len(audio)).process(audio, last=True)


def _filtered(signal: np.ndarray) -> np.ndarray:
    """Return the Hilbert transform of `(time,)`, later by half the filter's length."""
    size = 1 << (len(signal) + 2 * _HALF_TAPS).bit_length()
    product = np.fft.rfft(signal, size) * _response(size)
    return np.fft.irfft(product, size)


@lru_cache(maxsize=8)
def _response(size: int) -> np.ndarray:
    """Return the spectrum of a Hilbert transformer (Oppenheim and Schafer, 12.4; Hann window)."""
    place = np.arange(-_HALF_TAPS, _HALF_TAPS + 1)
    odd = place % 2 != 0
    taps = np.where(odd, 2 / (np.pi * np.where(odd, place, 1)), 0.0)
    return np.fft.rfft(taps * np.hanning(len(taps) + 2)[1:-1], size)
