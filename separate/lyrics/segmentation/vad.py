"""RMS-VAD: find sung segments by the level of the separated vocals.

The state machine is that of Silero's speech detector, driven by the RMS of the vocals divided by
its maximum; a segment that grows longer than 30 s is cut at its last short rest, else at the
quietest frame of its second half; then neighbours are merged greedily while they fit. Parameters
and idea: "Exploiting music source separation for automatic lyrics transcription with Whisper"
(2025).
"""

from dataclasses import dataclass

import numpy as np

from separate.lyrics.settings import SAMPLE_RATE, VadSettings


@dataclass(frozen=True)
class Span:
    """A stretch of a recording, in seconds."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.end - self.start


class Loudness:
    """The RMS of a signal that arrives in blocks; memory is one number a hop (32 ms)."""

    def __init__(self, settings: VadSettings) -> None:
        self._settings = settings
        self._rest = np.zeros(0, np.float32)
        self._energies: list[np.ndarray] = []
        self.samples = 0

    def append(self, block: np.ndarray) -> None:
        """Take the next samples, `(time,)` at 16 kHz."""
        hop = self._settings.hop_length
        joined = np.concatenate([self._rest, block])
        whole = len(joined) // hop * hop
        squares = np.square(joined[:whole].astype(np.float64)).reshape(-1, hop)
        self._energies.append(squares.sum(axis=1))
        self._rest = joined[whole:]
        self.samples += len(block)

    def rms(self) -> np.ndarray:
        """Return the RMS `(frames,)`; frame i is centred on sample `i * hop_length`.

        The signal is padded with zeros on both sides, as in `librosa.feature.rms`.
        """
        hop, frame = self._settings.hop_length, self._settings.frame
        half = frame // (2 * hop)  # in hops
        last = np.array([np.square(self._rest.astype(np.float64)).sum()])
        energies = np.concatenate([np.zeros(half), *self._energies, last, np.zeros(half)])
        sums = np.concatenate([[0.0], np.cumsum(energies)])
        windows = sums[2 * half :] - sums[: -2 * half]
        count = 1 + self.samples // hop
        return np.sqrt(np.maximum(windows[:count], 0.0) / frame)


def relative(rms: np.ndarray) -> np.ndarray:
    """Divide by the maximum; silence stays silent."""
    most = float(rms.max(initial=0.0))
    return rms / most if most > 1e-7 else np.zeros_like(rms)


def find_singing(rms: np.ndarray, samples: int, settings: VadSettings) -> list[Span]:
    """Return the spans in which somebody sings, merged to at most `max_speech`.

    Args:
        rms: `(frames,)`, of the vocals; see `Loudness.rms`.
        samples: Length of the vocals at 16 kHz.
        settings: The parameters.
    """
    levels = relative(rms)
    raw = _detect(levels, samples, settings)
    return merge(_padded(raw, samples, settings), settings.max_speech)


def _detect(levels: np.ndarray, samples: int, settings: VadSettings) -> list[tuple[int, int]]:
    """Run the state machine; spans in samples, before padding."""
    hop = settings.hop_length
    most = (settings.max_speech - 2 * settings.pad) * SAMPLE_RATE - hop
    min_silence = settings.min_silence * SAMPLE_RATE
    short_rest = settings.min_silence_at_max * SAMPLE_RATE
    spans: list[tuple[int, int]] = []
    start: int | None = None  # of the segment under way
    quiet: int | None = None  # where the present rest began
    rest: tuple[int, int | None] | None = None  # the last short rest, and where singing went on

    def close(end: int) -> None:
        if start is not None and end - start > settings.min_speech * SAMPLE_RATE:
            spans.append((start, end))

    for index, level in enumerate(levels):
        at = index * hop
        if level >= settings.onset and level > 0:
            if quiet is not None and rest is not None and rest[1] is None:
                rest = (rest[0], at)
            quiet = None
            if start is None:
                start = at
                continue
        if start is None:
            continue
        if at - start > most:
            cut, go_on = _cut(levels, start, at, rest, hop)
            close(cut)
            start, quiet, rest = go_on, None, None
            if start is None:
                continue
        if level < settings.offset or level == 0:
            quiet = at if quiet is None else quiet
            if at - quiet > short_rest:
                rest = (quiet, None)
            if at - quiet >= min_silence:
                close(quiet)
                start, quiet, rest = None, None, None
    close(samples)
    return spans


def _cut(
    levels: np.ndarray, start: int, at: int, rest: tuple[int, int | None] | None, hop: int
) -> tuple[int, int | None]:
    """Where a segment that is too long ends, and where the next one begins (None: not yet)."""
    if rest is not None and rest[0] > start:
        return rest
    first, last = start // hop, at // hop
    middle = (first + last) // 2
    cut = (middle + int(np.argmin(levels[middle:last]))) * hop
    return cut, cut


def _padded(spans: list[tuple[int, int]], samples: int, settings: VadSettings) -> list[Span]:
    """Widen spans; neighbours that are too near share the rest between them."""
    pad = int(settings.pad * SAMPLE_RATE)
    padded = []
    for index, (start, end) in enumerate(spans):
        before = start if index == 0 else (start - spans[index - 1][1]) // 2
        after = samples - end if index + 1 == len(spans) else (spans[index + 1][0] - end) // 2
        left, right = min(pad, max(0, before)), min(pad, max(0, after))
        padded.append(Span((start - left) / SAMPLE_RATE, (end + right) / SAMPLE_RATE))
    return padded


def merge(spans: list[Span], longest: float) -> list[Span]:
    """Join neighbours greedily while a joined span is at most `longest` seconds."""
    merged: list[Span] = []
    for span in spans:
        if merged and span.end - merged[-1].start <= longest:
            merged[-1] = Span(merged[-1].start, span.end)
        else:
            merged.append(span)
    return merged
