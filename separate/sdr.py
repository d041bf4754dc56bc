"""SDR of one-second frames without filters, as training monitors and evaluation reports it."""

import numpy as np

SOUNDING_DBFS = -89.0  # mean power of a frame above which a reference sounds; 0 dBFS = power 1
FLOOR_POWER = 1e-14  # mean error power that counts as none (-140 dBFS, float32's own noise)


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
    power, error = frame_powers(reference, estimate, min(frame_samples, reference.shape[1]))
    sounds = power > 10 ** (sounding_dbfs / 10)
    ratio = np.full(power.shape, np.nan)
    np.divide(power, np.maximum(error, FLOOR_POWER), out=ratio, where=sounds)
    return 10 * np.log10(ratio)


def frame_powers(
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
