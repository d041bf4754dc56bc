"""Sound for a page that works offline; comes in: arrays; goes out: data URIs."""

import base64
import io

import numpy as np
import soundfile

from separate.audio import pictures


def spectrogram_png(audio: np.ndarray, sample_rate: int) -> str:
    """Draw the mean of the channels `(channels, time)`; see `separate.audio.pictures`."""
    png = pictures.spectrogram_png(audio, sample_rate)
    return "data:image/png;base64," + base64.b64encode(png).decode()


def audio_uri(audio: np.ndarray, sample_rate: int) -> str:
    """Encode `(channels, time)` for an audio player; samples beyond full scale are cut off."""
    stream = io.BytesIO()
    samples = np.clip(audio, -1, 1).T
    soundfile.write(stream, samples, sample_rate, format="OGG", subtype="VORBIS")
    return "data:audio/ogg;base64," + base64.b64encode(stream.getvalue()).decode()
