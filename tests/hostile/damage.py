"""Files that are damaged, absurd or dangerous, made of good ones; each from drawn numbers alone."""

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from audio_helpers import ffmpeg, tone
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

RATE = 22_050
SOUNDFILE = {  # format and subtype by file name
    "pcm16.wav": ("WAV", "PCM_16"),
    "pcm24.wav": ("WAV", "PCM_24"),
    "float.wav": ("WAV", "FLOAT"),
    "a.flac": ("FLAC", "PCM_16"),
    "a.ogg": ("OGG", "VORBIS"),
    "a.opus": ("OGG", "OPUS"),
    "a.mp3": ("MP3", "MPEG_LAYER_III"),
    "a.aiff": ("AIFF", "PCM_16"),
    "a.w64": ("W64", "PCM_16"),
    "a.rf64": ("RF64", "PCM_16"),
}
FFMPEG = ("a.m4a", "a.mp4", "a.mkv", "a.webm")
RATES = (1, 2, 999, 1000, 8_000, 44_100, 192_000, 768_000, 768_001, 2**31 - 1, 4_000_000_000)
CHANNELS = (0, 1, 2, 3, 8, 9, 255, 65_535)
_WAV_HEADER = 44  # bytes of a plain header


class Files(dict[str, bytes]):
    """Contents of files by name; a failed case shall not print them."""

    def __repr__(self) -> str:
        return f"{len(self)} files"


def good_files(folder: Path) -> Files:
    """Write one good file of each readable format, 0.4 s long, and return their bytes."""
    samples = tone(RATE * 4 // 10, 2, RATE)
    for name, (kind, subtype) in SOUNDFILE.items():
        rate = 24_000 if subtype == "OPUS" else RATE
        soundfile.write(folder / name, samples.T, rate, subtype, format=kind)
    for name in FFMPEG:
        codec = "libopus" if name.endswith("webm") else "aac"
        ffmpeg("-i", folder / "pcm16.wav", "-c:a", codec, "-ar", "48000", folder / name)
    return Files({name: (folder / name).read_bytes() for name in (*SOUNDFILE, *FFMPEG)})


@dataclass(frozen=True)
class Damage:
    """What is done to a good file's bytes."""

    kind: str  # none, cut, flip, splice, wav-header, samples
    numbers: tuple[int, ...] = ()

    def apply(self, data: bytes) -> bytes:
        """Return damaged bytes."""
        changed = bytearray(data)
        if self.kind == "cut":
            return data[: self.numbers[0] % (len(data) + 1)]
        if self.kind == "flip":
            for number in self.numbers:
                changed[number // 8 % len(data)] ^= 1 << number % 8
        elif self.kind == "splice":
            start, length, byte = self.numbers
            start %= len(data)
            changed[start : start + length % 2_000] = bytes([byte % 256]) * (length % 3_000)
        elif self.kind == "wav-header":
            rate, channels, size = self.numbers
            return wav_header(rate, channels, size) + data[_WAV_HEADER : _WAV_HEADER + 1_000]
        elif self.kind == "samples":
            return float_wav(self.numbers)
        return bytes(changed)


def wav_header(rate: int, channels: int, size: int) -> bytes:
    """Return a header of 16-bit PCM with any rate in Hz, channels and declared bytes of sound."""
    frame = 2 * channels % 65_536
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        *(b"RIFF", (size + 36) % 2**32, b"WAVE", b"fmt ", 16, 1, channels, rate % 2**32),
        *(rate * frame % 2**32, frame, 16, b"data", size % 2**32),
    )


def float_wav(numbers: tuple[int, ...]) -> bytes:
    """Return a short float WAV whose samples have drawn bits: NaN, infinite, denormal, huge."""
    bits = np.array([number % 2**32 for number in numbers] or [0], np.uint32)
    samples = np.resize(bits, 2_000).tobytes()
    head = struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        *(b"RIFF", len(samples) + 36, b"WAVE", b"fmt ", 16, 3, 1, RATE),
        *(RATE * 4, 4, 32, b"data", len(samples)),
    )
    return head + samples


_number = st.integers(0, 2**24)
_float_bits = st.sampled_from(
    (0x7FC00000, 0x7F800000, 0xFF800000, 0x00000001, 0x7F7FFFFF, 0x3F000000, 0x80000000)
)
_declared = (0, 1_000, 36_000 * RATE * 4, 2**32 - 1)  # bytes of sound; the third is ten hours


def damages() -> SearchStrategy[Damage]:
    """Draw what is done to a file."""
    return st.one_of(
        st.just(Damage("none")),
        st.builds(Damage, st.just("cut"), st.tuples(_number)),
        st.builds(Damage, st.just("flip"), st.lists(_number, min_size=1, max_size=40).map(tuple)),
        st.builds(Damage, st.just("splice"), st.tuples(_number, _number, _number)),
        st.builds(
            Damage,
            st.just("wav-header"),
            st.tuples(
                st.one_of(st.sampled_from(RATES), st.integers(0, 2**32 - 1)),
                st.one_of(st.sampled_from(CHANNELS), st.integers(0, 65_535)),
                st.one_of(st.sampled_from(_declared), st.integers(0, 10**6)),
            ),
        ),
        st.builds(Damage, st.just("samples"), st.lists(_float_bits, min_size=1).map(tuple)),
    )


def file_names() -> SearchStrategy[str]:
    """Draw a name without its suffix: plain, or what shells, terminals and paths trip over."""
    nasty = ("a\nb", "'a'", '"a b"', "..a", "-q", "--help", "$(id)", "a;b", "*", "\u202eabc", "🥁")
    return st.one_of(
        st.sampled_from((*nasty, "x" * 250, "é" * 120, "a\tb", "%s{track}", "\x1b[31m", " ")),
        st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), max_size=20)
        .filter(lambda name: name not in (".", "..") and len(name.encode()) < 240)
        .map(lambda name: name or "a"),
    )


def queries() -> SearchStrategy[str]:
    """Draw a query text."""
    absurd = ("", " ", "\n", "a" * 100_000, "\x00", "\x07\x1b[2J", "שירה", "غناء", "🥁🎸", "../x")
    return st.one_of(
        st.sampled_from(("drums", "female singer", "dog barking")),
        st.sampled_from((*absurd, "a/b", "-", "\u202evocals", "drums " * 200, "'; rm")),
        st.text(max_size=60),
    )
