"""How near an estimate comes to its reference, in dB; comes in: arrays `(channels, time)`.

All measures here are filter-free: what differs from the reference is an error. `frame_sdr` is the
SDR of BSS Eval v4 (museval) with the same frames: its "images" SDR uses no filter either.

- SDR of a frame: 10 log10(|ref|^2 / |ref - est|^2), energies over all channels; a song's score is
  the median over its frames in which the reference *sounds*, a data set's the mean over songs.
- uSDR: the same ratio over the whole song at once.
- SI-SDR: the reference is first scaled to fit the estimate (Le Roux et al., "SDR - half-baked or
  well done?", 2019), one factor for all channels, means not removed.
- An improvement is a score minus that of the mixture taken as the estimate.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

SOUNDING_DBFS = -89.0  # mean power of a frame above which a reference sounds; 0 dBFS = power 1
FRAME_SECONDS = 1.0
_RANGE_DB = 140.0  # float32's own noise lies so far below full scale
_FLOOR_POWER = 1e-14  # mean error power that counts as none (-140 dBFS, float32's own noise)


@dataclass(frozen=True)
class Interval:
    """A mean over songs and its 95 % bootstrap interval."""

    mean: float
    low: float | None  # None with fewer than two songs
    high: float | None
    songs: int
    median: float = math.nan  # over songs


def frame_sdr(
    reference: np.ndarray,
    estimate: np.ndarray,
    frame_samples: int,
    sounding_dbfs: float = SOUNDING_DBFS,
) -> np.ndarray:
    """Return the SDR of each whole frame.

    Args:
        reference: `(channels, time)`.
        estimate: The same shape.
        frame_samples: Length of a frame, frames do not overlap; what is left over at the end does
            not count. A signal shorter than a frame is one frame.
        sounding_dbfs: A reference sounds in a frame if its mean power there is above this.

    Returns:
        dB `(frames,)`, NaN where the reference does not sound; 140 dB below full scale is the
        least error that is told apart from none.

    Raises:
        ValueError: The shapes differ or are not `(channels, time)`.
    """
    check_shapes(reference, estimate)
    power, error = _frame_powers(reference, estimate, min(frame_samples, reference.shape[1]))
    sounds = power > 10 ** (sounding_dbfs / 10)
    ratio = np.full(power.shape, np.nan)
    np.divide(power, np.maximum(error, _FLOOR_POWER), out=ratio, where=sounds)
    return 10 * np.log10(ratio)


def _frame_powers(
    reference: np.ndarray, estimate: np.ndarray, frame_samples: int
) -> tuple[np.ndarray, np.ndarray]:
    """Mean power of reference and error of each frame, in float64, frame by frame."""
    frames = reference.shape[1] // frame_samples if frame_samples else 0
    power, error = np.zeros(frames), np.zeros(frames)
    for index in range(frames):
        cut = slice(index * frame_samples, (index + 1) * frame_samples)
        truth = reference[:, cut].astype(np.float64)
        power[index] = np.square(truth).mean()
        error[index] = np.square(truth - estimate[:, cut]).mean()
    return power, error


def median_of_frames(values: np.ndarray) -> float:
    """Return the median of the frames that count, NaN where none does."""
    counted = values[~np.isnan(values)]
    return float(np.median(counted)) if counted.size else math.nan


def usdr(reference: np.ndarray, estimate: np.ndarray) -> float:
    """Return the SDR of a whole song, NaN for a silent reference.

    Args:
        reference: `(channels, time)`.
        estimate: The same shape.
    """
    check_shapes(reference, estimate)
    power, error = _frame_powers(reference, estimate, reference.shape[1])
    return _decibels(float(power.sum()), float(error.sum()))


def si_sdr(reference: np.ndarray, estimate: np.ndarray) -> float:
    """Return the scale-invariant SDR of a whole song, NaN for a silent reference.

    Args:
        reference: `(channels, time)`.
        estimate: The same shape; one without any trace of the reference has -140 dB.
    """
    check_shapes(reference, estimate)
    truth, guess = (array.astype(np.float64).ravel() for array in (reference, estimate))
    energy = float(truth @ truth)
    if energy == 0:
        return math.nan
    factor = float(truth @ guess) / energy
    target = factor * factor * energy / truth.size
    noise = float(np.square(guess - factor * truth).mean())
    return max(-_RANGE_DB, _decibels(target, noise)) if target > 0 else -_RANGE_DB


def _decibels(power: float, error: float) -> float:
    return math.nan if power == 0 else 10 * math.log10(power / max(error, _FLOOR_POWER))


def check_shapes(reference: np.ndarray, estimate: np.ndarray) -> None:
    """Do nothing for two arrays `(channels, time)` of one shape.

    Raises:
        ValueError: They are not.
    """
    if reference.ndim != 2 or reference.shape != estimate.shape or reference.shape[1] == 0:
        raise ValueError(
            f"reference and estimate must both be (channels, time) with at least one sample,"
            f" got {reference.shape} and {estimate.shape}"
        )


def bootstrap(values: Sequence[float], *, resamples: int = 10_000, seed: int = 0) -> Interval:
    """Average over songs, with the 95 % percentile interval of the bootstrap over songs.

    Args:
        values: One score a song; NaN (the source is not in the song) does not count.
        resamples: How often songs are drawn, with replacement.
        seed: Of the draws: the same values give the same interval.
    """
    scores = np.array([value for value in values if not math.isnan(value)], dtype=np.float64)
    if scores.size < 2:
        mean = float(scores.mean()) if scores.size else math.nan
        return Interval(mean, None, None, int(scores.size), mean)
    draws = np.random.default_rng(seed).integers(scores.size, size=(resamples, scores.size))
    low, high = np.percentile(scores[draws].mean(axis=1), [2.5, 97.5])
    median = float(np.median(scores))
    return Interval(float(scores.mean()), float(low), float(high), int(scores.size), median)
