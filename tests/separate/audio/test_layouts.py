"""Channel layouts keep their order and mask; no channel is lost in the mono view."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
from audio_helpers import ffmpeg, needs_ffmpeg

from separate.audio import (
    AudioWriter,
    Downmix,
    channel_groups,
    probe,
    read_audio,
    to_mono,
    write_audio,
)
from separate.audio.layout import default_mask, mask_of, speakers_of, xiph_order
from separate.errors import OutputError
from separate.lyrics.settings import SAMPLE_RATE, VadSettings
from separate.lyrics.vocals.signals import Signal
from separate.queries.encoders import load_encoder
from separate.queries.query import embed_example

RATE = 48_000
HZ = (310, 470, 620, 60, 790, 930, 1_110, 1_270)
LAYOUTS = ("FL FR LFE", "FL FR BL BR", "FL FR FC BL BR", "FL FR FC LFE BL BR",
           "FL FR FC LFE SL SR", "FL FR FC LFE BC SL SR", "FL FR FC LFE BL BR SL SR")  # fmt: skip


def tones(names: str) -> np.ndarray:
    """Return one second with one tone a channel; LFE's is low."""
    order = LAYOUTS[-1].split()
    hz = [HZ[order.index(name)] if name in order else 1_430 for name in names.split()]
    time = np.arange(RATE) / RATE
    return (0.2 * np.sin(2 * np.pi * np.array(hz)[:, None] * time)).astype(np.float32)


def peaks(audio: np.ndarray) -> list[int]:
    return [round(int(np.abs(np.fft.rfft(row)).argmax()) * RATE / len(row)) for row in audio]


@pytest.mark.parametrize("names", LAYOUTS)
@pytest.mark.parametrize("format", ["wav", "flac", "ogg"])
def test_written_layouts_come_back(tmp_path: Path, names: str, format: str) -> None:
    mask, path = mask_of(names), tmp_path / f"a.{format}"
    if format == "ogg" and "FL FR LFE" in names:
        with pytest.raises(OutputError, match="no layout"):
            AudioWriter(path, RATE, 3, format=format, channel_mask=mask)
        return
    audio = tones(names)
    with AudioWriter(path, RATE, len(audio), format=format, channel_mask=mask) as writer:
        writer.write(audio)
        writer.commit()
    info = probe(path)
    if format == "ogg":  # Vorbis has the rear speakers alone
        assert xiph_order(len(audio), info.channel_mask) == xiph_order(len(audio), mask)
    else:
        assert speakers_of(info.channel_mask) == names.split()
    for expected, found in zip(peaks(audio), peaks(read_audio(path)[0]), strict=True):
        assert abs(expected - found) < 5


@needs_ffmpeg
@pytest.mark.parametrize("format", ["wav", "flac", "ogg"])
@pytest.mark.parametrize("names", ["FL FR BL BR", "FL FR FC LFE BL BR", "FL FR FC LFE SL SR"])
def test_other_programs_see_the_layout(tmp_path: Path, names: str, format: str) -> None:
    audio, path = tones(names), tmp_path / f"a.{format}"
    mask = mask_of(names)
    with AudioWriter(path, RATE, len(audio), format=format, channel_mask=mask) as writer:
        writer.write(audio)
        writer.commit()
    layouts = dict(zip(LAYOUTS[1:5:1], ("quad", "5.0", "5.1", "5.1(side)"), strict=True))
    wanted = layouts[names] if format != "ogg" else layouts[names].replace("(side)", "")
    ffmpeg("-i", path, "-c:a", "pcm_s16le", tmp_path / "b.wav")
    back = probe(tmp_path / "b.wav").channel_mask
    assert back == mask_of({text: key for key, text in layouts.items()}[wanted])
    decoded = soundfile.read(tmp_path / "b.wav", always_2d=True)[0].T
    assert all(abs(a - b) < 5 for a, b in zip(peaks(audio), peaks(decoded), strict=True))


def test_rf64_has_the_mask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("separate.audio.write.RIFF_LIMIT_BYTES", 10_000)
    audio, path = tones("FL FR LFE"), tmp_path / "a.wav"
    for total in (None, RATE):  # found out while writing, and known before
        with AudioWriter(
            path, RATE, 3, total_samples=total, channel_mask=mask_of("FL FR LFE")
        ) as writer:
            writer.write(audio)
            writer.commit()
        assert path.read_bytes()[:4] == b"RF64"
        assert speakers_of(probe(path).channel_mask) == ["FL", "FR", "LFE"]


def test_stereo_files_stay_plain(tmp_path: Path) -> None:
    for mask in (0, default_mask(2)):
        with AudioWriter(tmp_path / "a.wav", RATE, 2, channel_mask=mask) as writer:
            writer.write(tones("FL FR"))
            writer.commit()
        assert (tmp_path / "a.wav").read_bytes()[20:22] == b"\x01\x00"


def test_pairs_of_speakers_are_separated_together() -> None:
    assert channel_groups(1, 0) == ((0,),)
    assert channel_groups(2, 0) == ((0, 1),)
    assert channel_groups(3, mask_of("FL FR LFE")) == ((0, 1), (2,))
    assert channel_groups(6, 0) == ((0, 1), (2,), (3,), (4, 5))
    assert channel_groups(5, mask_of("FL FR LFE BL BR")) == ((0, 1), (2,), (3, 4))
    assert channel_groups(9, 0) == ((0, 1), (2, 3), (4, 5), (6, 7), (8,))


def power(signal: np.ndarray) -> float:
    return float(np.square(signal).mean())


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 6, 8])
def test_mono_view_has_the_power_of_every_channel(channels: int) -> None:
    noise = np.random.default_rng(0).standard_normal((channels, RATE)).astype(np.float32)
    assert power(to_mono(noise)) == pytest.approx(power(noise), rel=0.05)
    for channel in range(channels):
        alone = np.zeros_like(noise)
        alone[channel] = noise[channel]
        assert power(to_mono(alone)) == pytest.approx(power(alone), rel=0.05)


def test_opposite_polarity_is_not_lost() -> None:
    middle, side = np.random.default_rng(0).standard_normal((2, RATE)).astype(np.float32)
    assert np.array_equal(to_mono(np.stack([middle, middle])), middle)
    assert power(to_mono(np.stack([side, -side]))) == pytest.approx(power(side), rel=0.05)
    both = to_mono(np.stack([middle + side, middle - side]))
    assert power(both - middle) == pytest.approx(power(side), rel=0.05)


def test_mono_view_does_not_depend_on_blocks() -> None:
    audio = np.random.default_rng(0).standard_normal((2, 20_000)).astype(np.float32)
    downmix, cuts = Downmix(2), (0, 1, 700, 3_000, 20_000)
    blocks = [downmix.process(audio[:, a:b]) for a, b in pairwise(cuts)]
    assert np.allclose(np.concatenate([*blocks, downmix.end()]), to_mono(audio), atol=1e-5)


def test_opposite_polarity_is_heard_in_lyrics_and_examples(tmp_path: Path) -> None:
    sound = np.random.default_rng(0).uniform(-0.3, 0.3, 3 * RATE).astype(np.float32)
    opposite = np.stack([sound, -sound])
    blocks = [opposite[:, :999], opposite[:, 999:]]
    signal = Signal(tmp_path / "a.f32", RATE, VadSettings()).fill(blocks)
    assert signal.samples == 3 * SAMPLE_RATE
    plain = Signal(tmp_path / "b.f32", RATE, VadSettings()).fill([sound[None]])
    assert signal.power() == pytest.approx(plain.power(), rel=0.1)
    path = write_audio(tmp_path / "a.wav", opposite, RATE)
    encoder = load_encoder("embedded")
    same = write_audio(tmp_path / "b.wav", np.stack([sound, sound]), RATE)
    assert float(embed_example(encoder, path) @ embed_example(encoder, same)) > 0.95
