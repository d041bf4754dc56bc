"""The interface of an open sound file; libsndfile and ffmpeg have one class each."""

from typing import Protocol

import numpy as np

from separate.audio.info import AudioInfo

_SKIP_SAMPLES = 262_144


class Decoder(Protocol):
    """A sound file that is open for reading, from its first sample on."""

    info: AudioInfo

    def seek(self, sample: int) -> None:
        """Go to a sample that has not been read yet."""

    def read(self, count_samples: int) -> np.ndarray:
        """Read float32 `(time, channels)`, shorter than asked for only at the end."""

    def close(self) -> None:
        """Close the file."""


def skip(decoder: Decoder, count_samples: int) -> None:
    """Decode so many samples, or up to the end, and drop them."""
    while count_samples > 0:
        got = len(decoder.read(min(_SKIP_SAMPLES, count_samples)))
        if not got:
            return
        count_samples -= got
