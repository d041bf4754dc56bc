"""Sound for a page that works offline; comes in: arrays; goes out: data URIs.

A spectrogram as PNG (logarithmic frequency, 80 dB deep) and audio as Ogg Vorbis.
"""

import base64
import io
import struct
import zlib

import numpy as np
import soundfile
import torch

from separate.insides import StftConfig

_ROWS, _COLUMNS = 160, 480
_DEEP_DB = 80.0
_LOWEST_HZ = 40.0
# Anchor colours from quiet to loud, dark blue over red to light yellow.
_COLOURS = np.array(
    [(0, 0, 20), (60, 15, 110), (150, 45, 120), (235, 90, 70), (255, 180, 90), (255, 255, 215)],
    dtype=float,
)


def spectrogram_png(audio: np.ndarray, sample_rate: int) -> str:
    """Draw the mean of the channels.

    Args:
        audio: `(channels, time)`.
        sample_rate: Hz.

    Returns:
        A data URI; low frequencies are at the bottom.
    """
    config = StftConfig(2048, max(64, audio.shape[1] // (2 * _COLUMNS) or 64))
    mono = torch.from_numpy(np.ascontiguousarray(audio.mean(axis=0), dtype=np.float32))
    power = torch.stft(
        mono, config.n_fft, config.hop_length, window=torch.hann_window(config.n_fft),
        pad_mode="constant", return_complex=True,
    ).abs().square().numpy()  # fmt: skip
    level_db = 10 * np.log10(np.maximum(power, 1e-12))
    columns = np.linspace(0, level_db.shape[1] - 1, _COLUMNS).round().astype(int)
    hz = np.geomspace(sample_rate / 2, _LOWEST_HZ, _ROWS)
    rows = np.clip((hz * config.n_fft / sample_rate).round().astype(int), 0, level_db.shape[0] - 1)
    picture = level_db[np.ix_(rows, columns)]
    # 0 dB is a full-scale sine in a Hann window of this length.
    top = 20 * np.log10(config.n_fft / 4)
    share = np.clip((picture - top + _DEEP_DB) / _DEEP_DB, 0, 1)
    return "data:image/png;base64," + base64.b64encode(_png(_colour(share))).decode()


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


def audio_uri(audio: np.ndarray, sample_rate: int) -> str:
    """Encode `(channels, time)` for an audio player; samples beyond full scale are cut off."""
    stream = io.BytesIO()
    samples = np.clip(audio, -1, 1).T
    soundfile.write(stream, samples, sample_rate, format="OGG", subtype="VORBIS")
    return "data:audio/ogg;base64," + base64.b64encode(stream.getvalue()).decode()
