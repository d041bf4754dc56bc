"""BSS Eval v4 of a song by museval's protocol: the scores of each frame, by stem.

The protocol has 1 s frames and 512-tap filters of the whole song; a frame in which one source is
silent is left out for all sources. The scores are computed in bounded memory (`bss_filters`) or,
with `engine="museval"`, by the library itself; only this module has its axes `(stems, time,
channels)`. museval imports musdb and stempeg, which need the programs ffmpeg and ffprobe.
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
    """Scores of one song's frames, by stem and metric."""

    frames: dict[str, dict[str, np.ndarray]]  # stem -> metric -> dB (frames,), NaN: not counted
    silent: tuple[str, ...]  # stems with a silent reference: not scored
    silent_estimates: tuple[str, ...]  # stems with a silent estimate: SDR is 0 dB, the rest NaN
    nan_frames: int  # frames that are left out because a source is silent


def require_museval() -> ModuleType:
    """Import museval.

    Raises:
        DataError: ffmpeg, ffprobe or museval is missing.
    """
    require_ffmpeg("museval")
    try:
        import museval
    except ImportError as error:
        raise DataError(f"museval can't be imported ({error}); pip install museval") from error
    return museval


def require_ffmpeg(package: str) -> None:
    """Refuse to go on without ffmpeg and ffprobe.

    Raises:
        DataError: A program is missing.
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

    museval refuses songs with a source that is silent from end to end; here such a reference is
    left out and named, and the others are scored. A silent estimate has an SDR of 0 dB, as the
    formula says, and its reference counts as interference for the others. Frames in which any
    source is silent are NaN for all stems, as in museval, and they are counted.

    Args:
        references: `(channels, time)` by stem.
        estimates: The same shapes, for the stems to score; at least those of two references.
        sample_rate: Hz; a frame is so many samples.
        engine: "blocks" (ours), "museval" (the library), or "fast": SDR alone, without filters.

    Returns:
        Scores of the stems in both.

    Raises:
        SettingsError: The engine is unknown.
        DataError: museval can't be imported.
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
    """Compute the SDR, which needs no filters: power of the reference over power of the error."""
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
