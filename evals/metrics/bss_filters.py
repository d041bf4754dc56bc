"""BSS Eval in bounded memory: SDR, ISR, SIR and SAR of estimates `(channels, time)`.

The decomposition of BSS Eval v4 (Stoeter, Liutkus and Ito, "The 2018 Signal Separation Evaluation
Campaign", 2018) and of `bss_eval_sources` of v3 (Vincent, Gribonval and Fevotte, 2006), as museval
computes it: an estimate is projected onto delayed copies (0 to 511 samples) of its own reference
and of all references. museval holds the spectra of whole songs (over 6 GB for four minutes) and
convolves each pair of channels separately; here correlations are summed over blocks, and the
projections of a frame share their transforms. Tests compare both.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import fft, linalg

FILTER_TAPS = 512  # delays of the distortion filters, BSS Eval's own
_BLOCK_SAMPLES = 1 << 15  # of the correlations


@dataclass(frozen=True)
class Decomposition:
    """Scores by source and frame, each dB `(sources, frames)`; NaN where some source is silent."""

    sdr: np.ndarray
    isr: np.ndarray
    sir: np.ndarray
    sar: np.ndarray


def bss_eval(
    references: Sequence[np.ndarray],
    estimates: Sequence[np.ndarray],
    frame_samples: int | None = None,
    *,
    allow_filter: bool = False,
    taps: int = FILTER_TAPS,
) -> Decomposition:
    """Score estimates against their references.

    Args:
        references: One `(channels, time)` a source, none of them silent from end to end.
        estimates: The same, in the same order.
        frame_samples: Length of frames without overlap, the rest at the end does not count; None
            or more than the length: one frame. The filters are those of the whole signal.
        allow_filter: Count a filtered reference as the source itself (`bss_eval_sources` of v3);
            there is no ISR then.
        taps: Length of the distortion filters in samples.

    Raises:
        ValueError: The shapes differ or a source is silent from end to end.
    """
    _check(references, estimates)
    length = references[0].shape[1]
    step = length if frame_samples is None else min(frame_samples, length)
    filters = _Filters(references, estimates, taps, step)
    sources, frames = len(references), length // step
    scores = np.full((4, sources, frames), np.nan)
    for frame in range(frames):
        cut = slice(frame * step, (frame + 1) * step)
        truth = _stack(references, cut)
        guess = _stack(estimates, cut)
        if _is_silent(truth) or _is_silent(guess):
            continue
        own, whole = filters.project(truth)
        for source in range(sources):
            parts = truth[source], guess[source], own[source], whole[source]
            scores[:, source, frame] = _ratios(*parts, allow_filter)
    return Decomposition(*scores)


def _check(references: Sequence[np.ndarray], estimates: Sequence[np.ndarray]) -> None:
    shapes = {np.shape(array) for array in (*references, *estimates)}
    if len(references) != len(estimates) or len(shapes) != 1 or len(next(iter(shapes))) != 2:
        raise ValueError(
            f"references and estimates must be as many arrays (channels, time) of one shape,"
            f" got {len(references)} and {len(estimates)} of {sorted(shapes)}"
        )
    if not all(np.any(array) for array in (*references, *estimates)):
        raise ValueError("a reference or an estimate is silent from end to end; leave it out")


def _stack(arrays: Sequence[np.ndarray], cut: slice) -> np.ndarray:
    """Cut sources out as float64 `(sources, channels, time)`."""
    return np.stack([array[:, cut].astype(np.float64) for array in arrays])


def _is_silent(sources: np.ndarray) -> bool:
    """Return whether the channels of some source sum to zero at every sample, museval's rule."""
    return bool((sources.sum(axis=1) == 0).all(axis=1).any())


class _Filters:
    """The distortion filters of a whole signal, as spectra that project frames."""

    def __init__(
        self,
        references: Sequence[np.ndarray],
        estimates: Sequence[np.ndarray],
        taps: int,
        frame_samples: int,
    ) -> None:
        sources, channels = len(references), references[0].shape[0]
        self._taps = taps
        self._size = fft.next_fast_len(frame_samples + taps - 1, real=True)
        gram, cross = _correlations(references, estimates, taps)
        # `whole` maps all references to an estimate, `own` an estimate's own reference alone.
        solved = _solve(gram, cross).reshape(sources * channels, taps, sources, channels)
        self._whole = fft.rfft(solved, self._size, axis=1)
        width = channels * taps
        own = []
        for source in range(sources):
            rows = slice(source * width, (source + 1) * width)
            columns = slice(source * channels, (source + 1) * channels)
            own.append(_solve(gram[rows, rows], cross[rows, columns]))
        shape = (sources, channels, taps, channels)
        self._own = fft.rfft(np.stack(own).reshape(shape), self._size, axis=2)

    def project(self, frame: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Filter references of a frame `(sources, channels, time)`.

        Returns:
            Each estimate's projection onto its own reference and onto all references, both
            `(sources, channels, time + taps - 1)`.
        """
        spectra = fft.rfft(frame, self._size, axis=-1)
        own = np.einsum("sif,sifo->sof", spectra, self._own)
        flat = spectra.reshape(-1, spectra.shape[-1])
        whole = np.einsum("if,ifso->sof", flat, self._whole, optimize=True)
        length = frame.shape[-1] + self._taps - 1
        return tuple(fft.irfft(x, self._size, axis=-1)[..., :length] for x in (own, whole))  # type: ignore[return-value]


def _solve(gram: np.ndarray, cross: np.ndarray) -> np.ndarray:
    """Solve least squares by the normal equations, as museval does."""
    try:
        return np.asarray(np.linalg.solve(gram, cross))
    except np.linalg.LinAlgError:
        return np.asarray(np.linalg.lstsq(gram, cross, rcond=None)[0])


def _correlations(
    references: Sequence[np.ndarray], estimates: Sequence[np.ndarray], taps: int
) -> tuple[np.ndarray, np.ndarray]:
    """Inner products of delayed references with each other and with the estimates.

    Returns:
        `(n taps, n taps)` for n channels of all references, and `(n taps, channels)` for the
        channels of all estimates.
    """
    lags = _lagged_products(references, estimates, taps)
    count = lags.shape[0]
    zero = taps - 1  # index of lag 0
    gram = np.empty((count, taps, count, taps))
    for j in range(count):
        for i in range(j + 1):
            # Row a, column b: <x_j delayed by a, x_i delayed by b>, lag b - a of x_j behind x_i.
            block = linalg.toeplitz(lags[i, j, zero::-1], lags[i, j, zero:])
            gram[j, :, i, :] = block
            gram[i, :, j, :] = block.T
    # <x_j delayed by a, estimate>: lag -a of x_j, that is lag a of the estimate behind x_j.
    cross = np.moveaxis(lags[:, count:, zero:], 1, 2).reshape(count * taps, -1)
    matrix = gram.reshape(count * taps, count * taps)
    matrix[np.diag_indices_from(matrix)] += np.finfo(np.float64).eps  # as museval does
    return matrix, cross


def _lagged_products(
    references: Sequence[np.ndarray], estimates: Sequence[np.ndarray], taps: int
) -> np.ndarray:
    """Return sum_n x_i[n] y_j[n + k] for k from -(taps - 1) to taps - 1, block by block.

    x are the channels of the references, y those of the references and then of the estimates.
    """
    channels = references[0].shape[0]
    count, length = len(references) * channels, references[0].shape[1]
    size = fft.next_fast_len(_BLOCK_SAMPLES + 2 * (taps - 1), real=True)
    total = np.zeros((count, 2 * count, size // 2 + 1), np.complex128)
    for start in range(0, length, _BLOCK_SAMPLES):
        stop = min(start + _BLOCK_SAMPLES, length)
        before, after = max(0, start - taps + 1), min(length, stop + taps - 1)
        lead = taps - 1 - (start - before)  # zeros where the signal has not begun
        wide = np.zeros((2 * count, size))
        rows = [row for array in (*references, *estimates) for row in array]
        for row, signal in zip(wide, rows, strict=True):
            row[lead : lead + after - before] = signal[before:after]
        narrow = wide[:count, taps - 1 : taps - 1 + stop - start]
        left = np.conj(fft.rfft(narrow, size, axis=-1))
        right = fft.rfft(wide, axis=-1)
        for i in range(count):
            total[i] += left[i] * right
    return np.asarray(fft.irfft(total, size, axis=-1)[..., : 2 * taps - 1])


def _ratios(
    truth: np.ndarray, guess: np.ndarray, own: np.ndarray, whole: np.ndarray, allow_filter: bool
) -> tuple[float, float, float, float]:
    """Return SDR, ISR, SIR, SAR of one source in one frame; arrays are `(channels, time)`."""
    tail = own.shape[-1] - truth.shape[-1]
    source, estimate = (np.pad(array, ((0, 0), (0, tail))) for array in (truth, guess))
    spatial, interference, artefacts = own - source, whole - own, estimate - whole
    if allow_filter:
        sdr = _decibels(_energy(own), _energy(estimate - own))
        isr = np.nan
    else:
        sdr = _decibels(_energy(source), _energy(estimate - source))
        isr = _decibels(_energy(source), _energy(spatial))
    sir = _decibels(_energy(own), _energy(interference))
    return sdr, isr, sir, _decibels(_energy(whole), _energy(artefacts))


def _energy(array: np.ndarray) -> float:
    return float(np.square(array).sum())


def _decibels(power: float, error: float) -> float:
    with np.errstate(divide="ignore"):
        return float(np.inf if error == 0 else 10 * np.log10(power / error))
