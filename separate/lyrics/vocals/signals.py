"""Mixture and vocals of a recording at 16 kHz, mono, on disk, so that memory stays constant."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from separate.audio import Downmix, Resampler
from separate.errors import OutputError
from separate.lyrics.segmentation.vad import Loudness, relative
from separate.lyrics.settings import SAMPLE_RATE, VadSettings

_BYTES = 4  # of a float32 sample


class Signal:
    """One signal on disk, at 16 kHz, mono; and its loudness in memory."""

    def __init__(self, path: Path, sample_rate: int, vad: VadSettings) -> None:
        """Begin an empty signal.

        Args:
            path: The file to write.
            sample_rate: Of the blocks that are appended, in Hz.
            vad: Frames of the loudness.
        """
        self._path = path
        self._resampler = Resampler(1, sample_rate, SAMPLE_RATE)
        self._downmix: Downmix | None = None  # made for the channels of the first block
        self._loudness = Loudness(vad)
        self._rms: np.ndarray | None = None
        self._hop = vad.hop_length
        path.touch()

    @property
    def samples(self) -> int:
        """Length at 16 kHz."""
        return self._loudness.samples

    def append(self, block: np.ndarray) -> None:
        """Append samples `(channels, time)`; one channel is kept, see `Downmix`.

        Raises:
            OutputError: The disk is full.
        """
        if self._downmix is None:
            self._downmix = Downmix(len(block))
        self._write(self._resampler.process(self._downmix.process(block)[None])[0])

    def finish(self) -> None:
        """Append the samples that downmix and resampler still hold.

        Raises:
            OutputError: The disk is full.
        """
        rest = np.zeros((1, 0), np.float32)
        if self._downmix is not None:
            rest = self._downmix.end()[None]
        self._write(self._resampler.process(rest, last=True)[0])

    def fill(self, blocks: Iterable[np.ndarray]) -> "Signal":
        """Append all blocks `(channels, time)`, finish, and return this signal.

        Raises:
            OutputError: The disk is full.
        """
        for block in blocks:
            self.append(block)
        self.finish()
        return self

    def _write(self, mono: np.ndarray) -> None:
        self._loudness.append(mono)
        self._rms = None
        try:
            with self._path.open("ab") as file:
                file.write(mono.astype("<f4").tobytes())
        except OSError as error:
            raise OutputError(
                f"{self._path.parent}: no room for a recording's 16 kHz copy"
                f" ({error.strerror or error}); set TMPDIR to a larger disk"
            ) from error

    def read(self, start: float, end: float) -> np.ndarray:
        """Return a stretch `(time,)`, from and to seconds."""
        first = max(0, round(start * SAMPLE_RATE))
        count = max(0, min(self.samples, round(end * SAMPLE_RATE)) - first)
        with self._path.open("rb") as file:
            file.seek(first * _BYTES)
            return np.frombuffer(file.read(count * _BYTES), "<f4").astype(np.float32)

    @property
    def rms(self) -> np.ndarray:
        """The RMS of each frame, `(frames,)`."""
        if self._rms is None:
            self._rms = self._loudness.rms()
        return self._rms

    def power(self) -> float:
        """Mean power of the whole."""
        return float(np.square(self.rms).mean()) if len(self.rms) else 0.0

    def energy(self, start: float, end: float) -> float:
        """Sum of the frames' power from and to seconds."""
        frame = SAMPLE_RATE / self._hop
        return float(np.square(self.rms[int(start * frame) : int(end * frame) + 1]).sum())

    def level(self, start: float, end: float) -> float:
        """The loudest frame from and to seconds, relative to the loudest of all, 0..1."""
        frame = SAMPLE_RATE / self._hop
        first = max(0, int(start * frame))
        levels = relative(self.rms)[first : max(first + 1, int(np.ceil(end * frame)) + 1)]
        return float(levels.max(initial=0.0))


class Signals:
    """Mixture and, where they were separated, vocals."""

    def __init__(self, mixture: Signal, vocals: Signal | None) -> None:
        self.mixture, self.vocals = mixture, vocals

    @property
    def seconds(self) -> float:
        """Duration."""
        return self.mixture.samples / SAMPLE_RATE

    def read(self, audio: str, start: float, end: float, blend_db: float = 0.0) -> np.ndarray:
        """Return the input of Whisper, `(time,)` at 16 kHz.

        Args:
            audio: "mixture", "vocals", or "blend": the vocals plus the rest `blend_db` louder.
            start: Seconds.
            end: Seconds.
            blend_db: 0 is the mixture itself.
        """
        mixture = self.mixture.read(start, end)
        if audio == "mixture" or self.vocals is None:
            return mixture
        vocals = _fit(self.vocals.read(start, end), len(mixture))
        if audio == "vocals":
            return vocals
        return (vocals + np.float32(10 ** (blend_db / 20)) * (mixture - vocals)).astype(np.float32)

    def vocals_db(self) -> float | None:
        """Level of the vocals against the mixture, in dB; None where there are none."""
        if self.vocals is None:
            return None
        mixture, vocals = self.mixture.power(), self.vocals.power()
        if mixture < 1e-14:
            return -120.0
        return float(10 * np.log10(max(vocals / mixture, 1e-12)))


def _fit(signal: np.ndarray, samples: int) -> np.ndarray:
    return np.pad(signal, (0, max(0, samples - len(signal))))[:samples]


def in_blocks(array: np.ndarray, samples: int = 262_144) -> Iterator[np.ndarray]:
    """Cut `(channels, time)` into blocks."""
    for start in range(0, array.shape[1], samples):
        yield array[:, start : start + samples]
