"""Containers, codings, layouts, levels, polarities and rates: what ffmpeg writes is read right.

A covering set, in which every two values of different columns meet, runs with the other tests.
`python tests/separate/audio/test_matrix.py` runs the full product and prints what fails.
"""

import shutil
import subprocess
import sys
from functools import lru_cache
from itertools import combinations, product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from separate.audio import read_audio, to_mono

FILES = (
    "wav pcm_s16le", "wav pcm_u8", "wav pcm_f32le", "wav adpcm_ima_wav", "wav gsm_ms",
    "wav libmp3lame", "wav g726", "w64 pcm_s24le", "flac flac", "aiff pcm_s16be", "caf pcm_s16be",
    "caf alac", "au adpcm_g726le", "au pcm_mulaw", "ogg libvorbis", "ogg flac", "opus libopus",
    "mp3 libmp3lame", "m4a aac", "m4a alac", "aac aac", "mka flac", "mka ac3", "ts mp2",
    "wma wmav2", "wv wavpack",
)  # fmt: skip
MORE_FILES = (
    "wav pcm_s24le", "wav pcm_s32le", "wav pcm_f64le", "wav pcm_alaw", "wav adpcm_ms", "wav ac3",
    "wav mp2", "wav g722", "w64 pcm_s16le", "w64 gsm_ms", "aiff pcm_f32be", "aiff adpcm_ima_qt",
    "caf pcm_f32be", "caf libopus", "au pcm_f32be", "oga libspeex", "mp2 mp2", "ac3 ac3",
    "eac3 eac3", "dts dca", "tta tta", "webm libopus", "mka pcm_s16le", "mp4 aac", "mp4 ac3",
    "mov pcm_s16be", "avi libmp3lame", "flv aac", "vob ac3", "m2ts pcm_bluray",
)  # fmt: skip
LAYOUTS = {
    "mono": "FC", "stereo": "FL FR", "2.1": "FL FR LFE", "quad": "FL FR BL BR",
    "5.0": "FL FR FC BL BR", "5.1": "FL FR FC LFE BL BR", "7.1": "FL FR FC LFE BL BR SL SR",
}  # fmt: skip
LEVELS_DB = (-12, -40)
POLARITIES = ("own tones", "opposite")
RATES = (8_000, 16_000, 44_100, 48_000, 96_000)
COLUMNS = (FILES, tuple(LAYOUTS), LEVELS_DB, POLARITIES, RATES)
_TONES = {
    "FL": 310,
    "FR": 470,
    "FC": 620,
    "LFE": 60,
    "BL": 790,
    "BR": 930,
    "SL": 1_110,
    "SR": 1_270,
}
_EXACT = ("pcm", "flac", "alac", "wavpack", "tta")
# libsndfile and ffmpeg predict a little differently here; both are right at their own files.
_COARSE = ("adpcm", "g726", "gsm", "g722", "pcm_u8", "law")


class Case(NamedTuple):
    """One file."""

    file: str
    layout: str
    level_db: int
    polarity: str
    rate: int

    @property
    def speakers(self) -> list[str]:
        return LAYOUTS[self.layout].split()


@lru_cache
def covering() -> list[Case]:
    """Choose cases greedily until every two values of different columns have met."""
    pairs = list(combinations(range(len(COLUMNS)), 2))
    missing = {(i, a, j, b) for i, j in pairs for a in COLUMNS[i] for b in COLUMNS[j]}

    def gain(row: tuple) -> int:
        return sum((i, row[i], j, row[j]) in missing for i, j in pairs)

    rows = []
    for file, layout in product(FILES, LAYOUTS):
        row = max(((file, layout, *rest) for rest in product(*COLUMNS[2:])), key=gain)
        missing -= {(i, row[i], j, row[j]) for i, j in pairs}
        rows.append(Case(*row))
    while missing:
        i, a, j, b = min(missing, key=str)
        free = ([a] if at == i else [b] if at == j else c for at, c in enumerate(COLUMNS))
        row = max(product(*free), key=gain)
        missing -= {(i, row[i], j, row[j]) for i, j in pairs}
        rows.append(Case(*row))
    return rows


def ffmpeg(*arguments: object) -> bytes:
    command = ["ffmpeg", "-nostdin", "-v", "error", "-y", *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True).stdout


def encode(case: Case, folder: Path) -> Path | None:
    """Write one second; None where ffmpeg can't, or keeps another rate or number of channels."""
    container, coding = case.file.split()
    path = folder / f"a.{container}"
    options: list[object] = ["-strict", "-2", "-flags", "+bitexact"]
    if coding == "libopus" and len(case.speakers) > 2:
        options += ["-mapping_family", 1]
    sound = "|".join(
        f"{10 ** (case.level_db / 20):.6f}*{sign}*sin(2*PI*{hz}*t)" for hz, sign in _tones(case)
    )
    source = f"aevalsrc={sound}:c={case.layout}:s={case.rate}:d=1"
    try:
        ffmpeg("-f", "lavfi", "-i", source, "-c:a", coding, *options, path)
        fields = "stream=sample_rate,channels,channel_layout"
        command = ["ffprobe", "-v", "error", "-show_entries", fields, "-of", "csv=p=0", str(path)]
        found = subprocess.run(command, capture_output=True, check=True, text=True).stdout.split()
    except subprocess.CalledProcessError:
        return None
    rate, channels, layout = found[0].split(",")[:3]
    kept = (rate, channels) == (str(case.rate), str(len(case.speakers)))
    return path if kept and layout.split("(")[0] in (case.layout, "unknown", "3.0") else None


def _tones(case: Case) -> list[tuple[int, int]]:
    """Return Hz and sign of each channel; opposite: two neighbours cancel in a sum."""
    tones = [(_TONES[name], 1) for name in case.speakers]
    if case.polarity == "opposite":
        for left, right in (("FL", "FR"), ("BL", "BR"), ("SL", "SR")):
            if right in case.speakers:
                tones[case.speakers.index(right)] = (_TONES[left], -1)
    return tones


def check(case: Case, path: Path) -> None:
    """Compare with ffmpeg's own decoding and with what was encoded."""
    raw = ffmpeg("-guess_layout_max", 0, "-i", path, "-map", "0:a:0", "-f", "f32le", "-")
    expected = np.frombuffer(raw, "<f4").reshape(-1, len(case.speakers)).T
    audio, rate = read_audio(path)
    assert rate == case.rate
    coding = case.file.split()[1]
    if coding == "libvorbis":  # some versions of ffmpeg lose the first block or keep the padding
        assert audio.shape[1] == rate
    else:
        assert audio.shape == expected.shape  # to the sample
    full = 10 ** (case.level_db / 20)
    quiet_and_coarse = case.level_db < -30 and any(name in coding for name in _COARSE)
    if quiet_and_coarse:
        assert audio.any()
        return
    middle = slice(audio.shape[1] // 4, audio.shape[1] * 3 // 4)
    spectrum = np.fft.rfft(audio[:, middle] * np.hanning(audio[:, middle].shape[1]))
    places = np.abs(spectrum).argmax(axis=1) * rate / audio[:, middle].shape[1]
    for place, (hz, _), row, name in zip(places, _tones(case), audio, case.speakers, strict=True):
        assert abs(place - hz) < (25 if name == "LFE" else 6), (
            f"{name}: {place:.0f} Hz instead of {hz}"
        )
        if name == "LFE" and not coding.startswith(_EXACT):
            continue  # some encoders drop it
        level_db = 10 * np.log10(2 * np.square(row[middle]).mean() / full**2 + 1e-12)
        assert abs(level_db) < (0.1 if coding.startswith(_EXACT) else 3), f"{name}: {level_db:.1f}"
    mono = to_mono(audio)[middle]
    power_db = 10 * np.log10(np.square(mono).mean() / np.square(audio[:, middle]).mean())
    assert abs(power_db) < 4
    if case.polarity == "opposite" and len(case.speakers) > 1:
        assert float(audio[0, middle] @ audio[1, middle]) < 0


needs_ffmpeg = pytest.mark.skipif(
    not (shutil.which("ffmpeg") and shutil.which("ffprobe")), reason="ffmpeg is not installed"
)


@needs_ffmpeg
@pytest.mark.parametrize("file", FILES)
def test_matrix(tmp_path: Path, file: str) -> None:
    checked = 0
    for case in covering():
        if case.file == file and (path := encode(case, tmp_path)) is not None:
            check(case, path)
            checked += 1
    if not checked:
        pytest.skip(f"this ffmpeg writes no {file} of these layouts and rates")


def test_the_covering_set_covers() -> None:
    rows = covering()
    for i, j in combinations(range(len(COLUMNS)), 2):
        met = {(row[i], row[j]) for row in rows}
        assert met == set(product(COLUMNS[i], COLUMNS[j]))


if __name__ == "__main__":
    done = failed = 0
    folder = Path(sys.argv[1])
    for values in product((*FILES, *MORE_FILES), *COLUMNS[1:]):
        case = Case(*values)
        path = encode(case, folder)
        if path is None:
            continue
        done += 1
        try:
            check(case, path)
        except Exception as error:  # every kind is printed
            failed += 1
            print(*case, type(error).__name__, str(error).splitlines()[0][:120], sep=" | ")
    print(f"{failed} of {done} files fail")
