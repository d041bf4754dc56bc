"""Draw a spectrogram as a PNG: logarithmic frequency, a range of 80 dB.

The cost does not grow with length: each column is computed from a few frames of its time span.
"""

import struct
import zlib

import numpy as np

_ROWS, _COLUMNS = 160, 720
_FRAMES = 3  # a column
_N_FFT = 2048
_DEEP_DB = 80.0
_LOWEST_HZ = 40.0
# Anchor colours from quiet to loud, dark blue over red to light yellow.
_COLOURS = np.array(
    [(0, 0, 20), (60, 15, 110), (150, 45, 120), (235, 90, 70), (255, 180, 90), (255, 255, 215)],
    dtype=float,
)


def spectrogram_png(audio: np.ndarray, sample_rate: int) -> bytes:
    """Draw the mean power of the channels.

    Args:
        audio: `(channels, time)`, float in [-1, 1] or 16-bit integers; may be mapped from a file.
        sample_rate: Hz.

    Returns:
        A PNG, 720 by 160; time goes right, low frequencies are at the bottom.
    """
    scale = 32768.0 if audio.dtype == np.int16 else 1.0
    starts = np.linspace(0, max(0, audio.shape[1] - _N_FFT), _COLUMNS * _FRAMES).astype(int)
    window = np.hanning(_N_FFT + 1)[:-1].astype(np.float32)
    power = np.zeros((_COLUMNS, _N_FFT // 2 + 1), np.float32)
    for frame in range(_FRAMES):  # of each column the loudest
        pieces = _cut(audio, starts[frame::_FRAMES]) / scale * window
        spectrum = np.square(np.abs(np.fft.rfft(pieces))).mean(axis=0)
        np.maximum(power, spectrum, out=power)
    level_db = 10 * np.log10(np.maximum(power.T, 1e-12))
    hz = np.geomspace(sample_rate / 2, min(_LOWEST_HZ, sample_rate / 4), _ROWS)
    rows = np.clip((hz * _N_FFT / sample_rate).round().astype(int), 0, _N_FFT // 2)
    # 0 dB is a full-scale sine in a Hann window of this length.
    top_db = 20 * np.log10(_N_FFT / 4)
    return _png(_colour(np.clip((level_db[rows] - top_db + _DEEP_DB) / _DEEP_DB, 0, 1)))


def _cut(audio: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Return frames `(channels, starts, 2048)`; behind the end there is silence."""
    places = starts[:, None] + np.arange(_N_FFT)
    inside = places < audio.shape[1]
    pieces = audio[:, np.minimum(places, audio.shape[1] - 1)].astype(np.float32)
    return np.where(inside, pieces, np.float32(0))


def _colour(share: np.ndarray) -> np.ndarray:
    """Map 0..1 to RGB bytes."""
    places = np.linspace(0, 1, len(_COLOURS))
    channels = [np.interp(share, places, _COLOURS[:, channel]) for channel in range(3)]
    return np.stack(channels, axis=-1).astype(np.uint8)


def _png(pixels: np.ndarray) -> bytes:
    """Encode `(rows, columns, 3)` bytes (PNG specification, colour type 2, no filter)."""
    rows, columns, _ = pixels.shape
    header = struct.pack(">IIBBBBB", columns, rows, 8, 2, 0, 0, 0)
    lines = b"".join(b"\0" + row.tobytes() for row in pixels)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )
