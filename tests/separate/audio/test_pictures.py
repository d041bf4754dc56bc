import io

import numpy as np
import pytest
from PIL import Image

from separate.audio.pictures import spectrogram_png


def draw(audio, rate=16_000):
    return np.asarray(Image.open(io.BytesIO(spectrogram_png(audio, rate)))).astype(int)


def test_a_tone_is_a_line_at_its_height():
    time = np.arange(32_000) / 16_000
    rows = [draw(0.5 * np.sin(2 * np.pi * hz * time)[None]).sum(axis=(1, 2)) for hz in (200, 4000)]
    low, high = (int(np.argmax(row)) for row in rows)
    assert high < 40 and low > 80  # the high one is nearer to the top
    assert rows[0].shape == (160,)


def test_integers_and_channels_make_no_difference():
    sound = (np.random.default_rng(0).normal(0, 0.1, (2, 9000)) * 32768).astype(np.int16)
    assert np.abs(draw(sound) - draw(sound / np.float32(32768))).max() <= 1


@pytest.mark.parametrize("samples", [1, 100, 2048, 50_000])
def test_any_length_gives_the_same_size(samples):
    assert draw(np.zeros((1, samples), np.float32)).shape == (160, 720, 3)
    assert draw(np.zeros((1, samples), np.float32)).max() < 60  # silence is dark
