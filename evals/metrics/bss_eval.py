"""BSS Eval v4 as museval applies it to a song; comes in: stems by name; goes out: frames of scores.

The protocol is museval's (1 s frames, 512-tap filters of the whole song, one source silent in a
frame leaves the frame out for all); the arithmetic is ours in bounded memory (`bss_filters`) or, by
`engine="museval"`, the library itself, whose axes `(stems, time, channels)` occur here alone.
museval (through musdb and stempeg) cannot be imported without the programs ffmpeg and ffprobe.
"""

import shutil
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType

import numpy as np

from separate.errors import DataError, SettingsError

METRICS = ("SDR", "SIR", "SAR", "ISR")
ENGINES = ("blocks", "museval", "fast")


@dataclass(frozen=True)
class BssScores:
    """Frames of one song by stem and metric."""

    frames: dict[str, dict[str, np.ndarray]]  # stem -> metric -> dB (frames,), NaN: not counted
    silent: tuple[str, ...]  # stems whose whole reference is silent: not scored
    silent_estimates: tuple[str, ...]  # scored 0 dB SDR, NaN else
    nan_frames: int  # frames that museval's rule leaves out: some source is silent there


def require_museval() -> ModuleType:
    """Import museval.

    Raises:
        DataError: ffmpeg or ffprobe is missing, or museval itself.
    """
    require_ffmpeg("museval")
    try:
        import museval
    except ImportError as error:
        raise DataError(f"museval can't be imported ({error}); pip install museval") from error
    return museval


def require_ffmpeg(package: str) -> None:
    """Do nothing where ffmpeg and ffprobe are on the path.

    Raises:
        DataError: One is missing.
    """
    missing = [program for program in ("ffmpeg", "ffprobe") if shutil.which(program) is None]
    if missing:
        raise DataError(
            f"{package} needs the program {' and '.join(missing)}: install ffmpeg"
            " (apt install ffmpeg, brew install ffmpeg, or https://ffmpeg.org/download.html)"
        )


def evaluate(
    references: Mapping[str, np.ndarray],
    estimates: Mapping[str, np.ndarray],
    sample_rate: int,
    engine: str = "blocks",
) -> BssScores:
    """Score the stems of one song together.

    museval refuses a source that is silent from end to end; here such a reference is left out and
    named, so that it does not remove the others. A silent estimate gets the 0 dB SDR that the
    formula gives it, and its reference still counts as interference for the others. Frames in
    which any source is silent are NaN for all stems: that is museval's rule, and they are counted.

    Args:
        references: `(channels, time)` by stem.
        estimates: The same shapes, for the stems to score; at least those of two references.
        sample_rate: Hz; a frame is so many samples.
        engine: "blocks" (ours), "museval" (the library), or "fast": SDR alone, without filters.

    Returns:
        Scores of the stems in both.

    Raises:
        SettingsError: The engine is none.
        DataError: museval is wanted and can't be imported.
    """
    if engine not in ENGINES:
        raise SettingsError(f"--engine {engine!r}: take one of {', '.join(ENGINES)}")
    common = [stem for stem in references if stem in estimates]
    silent = tuple(stem for stem in common if not references[stem].any())
    stems = [stem for stem in common if stem not in silent]
    mute = tuple(stem for stem in stems if not estimates[stem].any())
    if not stems:
        return BssScores({}, silent, mute, 0)
    truth = [references[stem] for stem in stems]
    guess = [(references if stem in mute else estimates)[stem] for stem in stems]
    run = {"blocks": _by_blocks, "museval": _by_museval, "fast": _by_power}[engine]
    values = run(truth, guess, sample_rate)
    left_out = np.isnan(values["SDR"]).any(axis=0)
    frames = {}
    for index, stem in enumerate(stems):
        rows = {metric: value[index] for metric, value in values.items()}
        frames[stem] = {m: np.where(np.isinf(row), np.nan, row) for m, row in rows.items()}
    for stem in mute:
        frames[stem] = {metric: np.full(left_out.shape, np.nan) for metric in values}
        frames[stem]["SDR"] = np.where(left_out, np.nan, 0.0)
    return BssScores(frames, silent, mute, int(left_out.sum()))


def _by_blocks(
    truth: Sequence[np.ndarray], guess: Sequence[np.ndarray], frame_samples: int
) -> dict[str, np.ndarray]:
    from separate.evals.metrics.bss_filters import bss_eval

    found = bss_eval(truth, guess, frame_samples)
    return {"SDR": found.sdr, "SIR": found.sir, "SAR": found.sar, "ISR": found.isr}


def _by_museval(
    truth: Sequence[np.ndarray], guess: Sequence[np.ndarray], frame_samples: int
) -> dict[str, np.ndarray]:
    museval = require_museval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sdr, isr, sir, sar = museval.evaluate(
            _museval_axes(truth),
            _museval_axes(guess),
            win=frame_samples,
            hop=frame_samples,
            padding=False,
        )
    return {"SDR": sdr, "SIR": sir, "SAR": sar, "ISR": isr}


def _by_power(
    truth: Sequence[np.ndarray], guess: Sequence[np.ndarray], frame_samples: int
) -> dict[str, np.ndarray]:
    """SDR needs no filters: reference against all that differs from it."""
    length = truth[0].shape[1]
    step = min(frame_samples, length)
    sdr = np.full((len(truth), length // step), np.nan)
    for frame in range(sdr.shape[1]):
        cut = slice(frame * step, (frame + 1) * step)
        pairs = [(a[:, cut].astype(np.float64), b[:, cut]) for a, b in zip(truth, guess)]  # noqa: B905
        if any(not array.astype(np.float64).sum(axis=0).any() for pair in pairs for array in pair):
            continue
        for source, (reference, estimate) in enumerate(pairs):
            error = np.square(reference - estimate).sum()
            with np.errstate(divide="ignore"):
                sdr[source, frame] = 10 * np.log10(np.square(reference).sum() / error)
    return {"SDR": sdr}


def _museval_axes(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Stack `(channels, time)` arrays as float64 `(stems, time, channels)`."""
    return np.stack([array.T.astype(np.float64) for array in arrays])
