"""Sound files in and out: what comes back is what went in; resampling, clipping, finding."""

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
from audio_helpers import RATE, check_error, read_in_blocks, tone

from separate import audio
from separate.audio import AudioReader, Resampler
from separate.errors import InputError


@pytest.mark.parametrize(
    ("format", "subtype", "tolerance"),
    [
        ("wav", "PCM_U8", 2**-8),
        ("wav", "PCM_16", 2**-16),
        ("wav", "PCM_24", 2**-24),
        ("wav", "PCM_32", 2**-24),
        ("wav", "FLOAT", 0.0),
        ("wav", "DOUBLE", 0.0),
        ("flac", "PCM_16", 2**-16),
        ("flac", "PCM_24", 2**-24),
    ],
)
def test_lossless_round_trip_is_rounded(
    tmp_path: Path, format: str, subtype: str, tolerance: float
) -> None:
    mixture = tone(10_001)
    path = audio.write_audio(
        tmp_path / "Größe 音楽 🎵.x", mixture, RATE, format=format, subtype=subtype
    )
    back, rate = audio.read_audio(path)
    info = audio.probe(path)
    assert (rate, back.shape, back.dtype) == (RATE, mixture.shape, np.float32)
    assert (info.subtype, info.samples, info.channels) == (subtype, 10_001, 2)
    assert np.abs(back - mixture).max() <= tolerance
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("format", ["ogg", "mp3"])
@pytest.mark.parametrize("samples", [1, 2, 1_151, 50_000])
def test_lossy_formats_keep_the_length(tmp_path: Path, format: str, samples: int) -> None:
    mixture = tone(samples)
    back, rate = audio.read_audio(audio.write_audio(tmp_path / f"a.{format}", mixture, RATE))
    assert (rate, back.shape) == (RATE, mixture.shape)
    if samples == 50_000:
        assert np.corrcoef(back.ravel(), mixture.ravel())[0, 1] > 0.95


@pytest.mark.parametrize("rate", [8_000, 11_025, 48_000, 96_000, 192_000])
@pytest.mark.parametrize("channels", [1, 3, 8])
def test_rates_and_channels_are_kept(tmp_path: Path, rate: int, channels: int) -> None:
    mixture = tone(999, channels, rate)
    for format in ("wav", "flac", "ogg"):
        path = audio.write_audio(tmp_path / f"a.{format}", mixture, rate)
        info = audio.probe(path)
        assert (info.sample_rate, info.channels, info.samples) == (rate, channels, 999)


def test_integers_pass_through_bit_by_bit(tmp_path: Path) -> None:
    values = np.arange(-32_768, 32_768, dtype=np.int16)
    soundfile.write(tmp_path / "in.wav", values, RATE, subtype="PCM_16")
    mixture, rate = audio.read_audio(tmp_path / "in.wav")
    for format in ("wav", "flac"):
        path = audio.write_audio(tmp_path / f"out.{format}", mixture, rate, subtype="PCM_16")
        assert np.array_equal(soundfile.read(path, dtype="int16")[0], values)


def test_equal_sound_makes_equal_float_files(tmp_path: Path) -> None:
    first = audio.write_audio(tmp_path / "a.wav", tone(100), RATE, subtype="FLOAT")
    data = first.read_bytes()
    at = data.index(b"PEAK")
    assert data[at + 12 : at + 16] == bytes(4)  # the time of writing
    assert audio.read_audio(first)[0].shape == (2, 100)


def test_input_is_not_changed_and_saturates(tmp_path: Path) -> None:
    mixture = np.array([[-3.0, -1.0, 0.0, 1.0, 3.0]], dtype=np.float32)
    before = mixture.copy()
    path = audio.write_audio(tmp_path / "a.wav", mixture, RATE, subtype="PCM_16")
    assert np.array_equal(mixture, before)
    values = soundfile.read(path, dtype="int16")[0]
    assert values.tolist() == [-32_768, -32_768, 0, 32_767, 32_767]


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3"])
def test_blocks_and_spans_equal_the_whole(tmp_path: Path, name: str) -> None:
    path = audio.write_audio(tmp_path / name, tone(RATE), RATE)
    whole, _ = audio.read_audio(path)
    for block_samples in (777, 10_000, 10 * RATE):
        assert np.array_equal(read_in_blocks(path, block_samples), whole)
    span = read_in_blocks(path, 500, start_seconds=0.25, end_seconds=0.75)
    assert np.array_equal(span, whole[:, 11_025:33_075])
    tail = read_in_blocks(path, 500, start_seconds=0.9, end_seconds=99.0)
    assert np.array_equal(tail, whole[:, 39_690:])


def test_reader_can_be_run_through_twice(tmp_path: Path) -> None:
    path = audio.write_audio(tmp_path / "a.wav", tone(1_000), RATE)
    with AudioReader(path, start_seconds=0.01) as reader:
        assert reader.samples == 559
        first, second = (np.concatenate(list(reader.blocks(64)), axis=1) for _ in range(2))
    assert first.shape == (2, 559) and np.array_equal(first, second)


@pytest.mark.parametrize(("start", "end"), [(-1.0, None), (2.0, 1.0), (0.5, 0.5), (9.0, None)])
def test_spans_outside_are_refused(tmp_path: Path, start: float, end: float | None) -> None:
    path = audio.write_audio(tmp_path / "a.wav", tone(RATE), RATE)
    with pytest.raises(InputError):
        AudioReader(path, start_seconds=start, end_seconds=end)


@pytest.mark.parametrize(
    ("from_rate", "to_rate"), [(RATE, 48_000), (8_000, RATE), (192_000, RATE), (RATE, RATE)]
)
def test_resampler_does_not_depend_on_the_cut(from_rate: int, to_rate: int) -> None:
    mixture = tone(30_011)
    whole = audio.resample(mixture, from_rate, to_rate)
    assert whole.shape == (2, audio.resampled_length(30_011, from_rate, to_rate))
    resampler = Resampler(2, from_rate, to_rate)
    cuts = [mixture[:, start : start + 1_009] for start in range(0, 30_011, 1_009)]
    parts = [resampler.process(part) for part in cuts]
    parts.append(resampler.process(mixture[:, :0], last=True))
    assert np.abs(np.concatenate(parts, axis=1) - whole).max() <= 1e-6


@pytest.mark.parametrize("samples", [1, 2, 3, 441])
def test_resampled_lengths_of_short_sounds(samples: int) -> None:
    for rate in (8_000, 96_000, 192_000):
        there = audio.resample(tone(samples, 1), rate, RATE)
        assert there.shape[1] == max(1, int(samples * RATE / rate + 0.5))
        back = Resampler(1, RATE, rate).process(there, last=True, total_samples=samples)
        assert back.shape == (1, samples)


def test_resampled_tone_is_the_same_tone() -> None:
    time = np.arange(96_000) / 96_000
    there = audio.resample(np.sin(2 * np.pi * 1_000 * time)[None].astype(np.float32), 96_000, RATE)
    expected = np.sin(2 * np.pi * 1_000 * np.arange(RATE) / RATE)
    assert np.abs(there[0] - expected)[1_000:-1_000].max() < 1e-4


def test_clip_modes() -> None:
    block = np.array([[0.5, -2.0, 1.0, 1.5]], dtype=np.float32)
    before = block.copy()
    clamped, beyond = audio.apply_clip(block, "clamp")
    assert beyond == 2 and clamped.tolist() == [[0.5, -1.0, 1.0, 1.0]]
    scaled, _ = audio.apply_clip(block, "rescale", audio.rescale_gain(2.0))
    assert np.abs(scaled).max() < 1.0 and scaled[0, 0] / scaled[0, 1] == pytest.approx(-0.25)
    assert np.array_equal(audio.apply_clip(block, "none")[0], before)
    assert np.array_equal(block, before)
    assert audio.rescale_gain(1.0) == 1.0
    with pytest.raises(ValueError, match="mode"):
        audio.apply_clip(block, "loud")


def test_find_audio(tmp_path: Path) -> None:
    for name in ("b.WAV", "a/z.mp3", "a/ä.flac", ".hidden.wav", ".dir/x.wav", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = [path.relative_to(tmp_path).as_posix() for path in audio.find_audio(tmp_path)]
    assert found == ["a/z.mp3", "a/ä.flac", "b.WAV"]
    assert audio.find_audio(tmp_path / "notes.txt") == [tmp_path / "notes.txt"]
    (tmp_path / "none").mkdir()
    for missing in (tmp_path / "none", tmp_path / "nowhere"):
        with pytest.raises(InputError):
            audio.find_audio(missing)


def test_shared_recordings_are_read_whole(shared_data: Path) -> None:
    for path in audio.find_audio(shared_data / "clips" / "rain")[:5]:
        with AudioReader(path) as reader:
            decoded = sum(block.shape[1] for block in reader.blocks(10_000))
            assert reader.info.samples is not None and 0 <= reader.info.samples - decoded < 8_192


def test_header_of_absurd_length_does_not_fill_memory(tmp_path: Path) -> None:
    path = audio.write_audio(tmp_path / "a.wav", tone(100), RATE)
    data = bytearray(path.read_bytes())
    data[40:44] = struct.pack("<I", 2**31 + 12_345_678)
    path.write_bytes(data)
    with pytest.raises(InputError) as error:
        audio.read_audio(path)
    check_error(error, "cut off")
