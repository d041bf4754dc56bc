"""SDR without filters, in dB, of an estimate and its reference, both `(channels, time)`.

All that differs from the reference is an error. `frame_sdr` is the "images" SDR of BSS Eval v4
(museval), which uses no filter either, with the same frames. Only the frames that count differ:
here those in which the reference sounds, in museval those in which no reference and no estimate is
silent; where none is, both agree to 1e-6 dB.

- SDR of a frame: 10 log10(|ref|^2 / |ref - est|^2), energies over all channels; a song's score is
  the median over its frames in which the reference *sounds*, a data set's the mean over songs.
- Global SDR ("usdr" in result files): the same ratio over the whole song at once.
- SI-SDR: the reference is first scaled to fit the estimate (Le Roux et al., "SDR - half-baked or
  well done?", 2019), one factor for all channels, means not removed.
- An improvement is a score minus that of the mixture taken as the estimate.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from separate.sdr import FLOOR_POWER, check_shapes

FRAME_SECONDS = 1.0
_PIECE_SAMPLES = 1 << 18  # converted to float64 at once
_RANGE_DB = 140.0  # float32's rounding noise is so far below full scale


@dataclass(frozen=True)
class Interval:
    """A mean over songs and its 95 % bootstrap interval."""

    mean: float
    low: float | None  # None with fewer than two songs
    high: float | None
    songs: int
    median: float = math.nan  # over songs


def median_of_frames(values: np.ndarray) -> float:
    """Return the median of the frames that are not NaN; NaN if all are."""
    counted = values[~np.isnan(values)]
    return float(np.median(counted)) if counted.size else math.nan


def global_sdr(reference: np.ndarray, estimate: np.ndarray) -> float:
    """Return the SDR of a whole song, NaN for a silent reference.

    Args:
        reference: `(channels, time)`.
        estimate: The same shape.
    """
    check_shapes(reference, estimate)
    power = error = 0.0
    for truth, guess in _pieces(reference, estimate):
        power += float(np.square(truth).sum())
        error += float(np.square(truth - guess).sum())
    return _decibels(power / reference.size, error / reference.size)


def si_sdr(reference: np.ndarray, estimate: np.ndarray) -> float:
    """Return the scale-invariant SDR of a whole song, NaN for a silent reference.

    Args:
        reference: `(channels, time)`.
        estimate: The same shape; without any component of the reference, the value is -140 dB.
    """
    check_shapes(reference, estimate)
    energy = product = noise = 0.0
    for truth, guess in _pieces(reference, estimate):
        energy += float(np.vdot(truth, truth))
        product += float(np.vdot(truth, guess))
    if energy == 0:
        return math.nan
    factor = product / energy
    for truth, guess in _pieces(reference, estimate):
        noise += float(np.square(guess - factor * truth).sum())
    target = factor * product / reference.size
    noise /= reference.size
    return max(-_RANGE_DB, _decibels(target, noise)) if target > 0 else -_RANGE_DB


def _pieces(*arrays: np.ndarray) -> Iterator[list[np.ndarray]]:
    """Yield pieces of `(channels, time)` arrays as float64, to save memory."""
    for start in range(0, arrays[0].shape[1], _PIECE_SAMPLES):
        yield [a[:, start : start + _PIECE_SAMPLES].astype(np.float64) for a in arrays]


def _decibels(power: float, error: float) -> float:
    return math.nan if power == 0 else 10 * math.log10(power / max(error, FLOOR_POWER))


def bootstrap(values: Sequence[float], *, resamples: int = 10_000, seed: int = 0) -> Interval:
    """Average over songs, with the 95 % percentile interval of the bootstrap over songs.

    Args:
        values: One score a song; NaN (the song lacks the source) does not count.
        resamples: Number of draws of songs with replacement.
        seed: Seed of the draws: the same values give the same interval.
    """
    scores = np.array([value for value in values if not math.isnan(value)], dtype=np.float64)
    if scores.size < 2:
        mean = float(scores.mean()) if scores.size else math.nan
        return Interval(mean, None, None, int(scores.size), mean)
    low, high = percentiles(scores[draws(scores.size, resamples, seed)].mean(axis=1))
    median = float(np.median(scores))
    return Interval(float(scores.mean()), low, high, int(scores.size), median)


def draws(songs: int, resamples: int = 10_000, seed: int = 0) -> np.ndarray:
    """Draw indices of songs with replacement, `(resamples, songs)`."""
    return np.random.default_rng(seed).integers(songs, size=(resamples, songs))


def percentiles(values: np.ndarray) -> tuple[float, float]:
    """Return the bounds of the 95 % interval of resampled values."""
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)
