"""Read sound files block by block, as float32 `(channels, time)`.

libsndfile reads wav, flac, ogg, opus, mp3, aiff, w64, rf64, au and caf; ffmpeg reads the others.
Channels come in the order of WAV where the file has a known layout (`audio.layout`). Memory does
not grow with the length of the file.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import numpy as np
import soundfile

from separate.audio import ffmpeg as audio_ffmpeg
from separate.audio import mp3 as audio_mp3
from separate.audio.decoder import Decoder, skip
from separate.audio.info import (
    AudioInfo,
    checked_info,
    fs_name,
    ogg_is_simple,
    require_file,
    sniff,
)
from separate.audio.layout import mask_of, read_layout, speakers_of
from separate.errors import InputError, one_line

_SOUNDFILE_KINDS = frozenset({"wav", "flac", "ogg", "mp3", "aiff", "au", "caf", "w64"})
_SOUNDFILE_FORMATS = frozenset({
    "WAV", "WAVEX", "RF64", "W64", "FLAC", "OGG", "MP3", "AIFF", "AU", "CAF",
})  # fmt: skip
# libsndfile notes a data chunk that is longer than the file in its log, and reads what is there.
_CUT_OFF = re.compile(
    r"^\s*(?:data|SSND|riff|Riff size|Data Size)\s*: (\d+) \(should be (-?\d+)\)", re.M
)
_FACT = re.compile(r"^fact : \d+\n\s*frames\s*: (\d+)", re.M)  # libsndfile logs it, no more
_AU_BYTES = re.compile(r"^\s*Data Size\s*: (\d+)", re.M)
_G72X_BITS = {"G721_32": 4, "G723_24": 3, "G723_40": 5}
_UNKNOWN_SIZES = ((0x7FFF_0000, 0x8000_0000), (0xFFFF_FF00, 0xFFFF_FFFF))  # of streamed WAVs
_MP3_SLACK_FRAMES = 3  # encoders disagree by so many on what the Xing header counts
_OGG_SLACK_SAMPLES = 8_192  # some encoders count a block more than can be decoded


class _UnreadableError(Exception):
    """libsndfile doesn't open the file."""


class _Sequential(soundfile.SoundFile):
    """Read without soundfile's seek after each read, which is inexact in variable-rate MP3."""

    def seekable(self) -> bool:
        """Return False, so that soundfile does not seek by itself."""
        return False


class SoundfileDecoder:
    """A file read by libsndfile."""

    def __init__(self, path: Path, kind: str) -> None:
        """Open the file and check what its header declares.

        Raises:
            InputError: The header has values out of range, or declares more sound than there is.
        """
        self._path, self._kind = path, kind
        self._done_samples = 0
        self._slack_samples: int | None = 0  # None: the declared length is an estimate
        self._order: list[int] | None = None  # of the file's channels, to that of WAV
        self._file: _Sequential | None = None
        layout = audio_mp3.read_layout(path) if kind == "mp3" else None
        if layout is not None and layout.missing_bytes:
            declared = (layout.declared_bytes or 0) / 1e6
            raise InputError(
                f"{path}: is cut off, {layout.missing_bytes / 1e6:.2f} of {declared:.2f} MB "
                "are missing; get a complete copy"
            )
        piped = layout is not None and layout.needs_pipe
        try:
            source = audio_mp3.open_pipe(path, layout) if layout and piped else fs_name(path)
            self._file = _Sequential(source)
        except (soundfile.SoundFileError, TypeError, OSError) as error:
            raise _UnreadableError(_one_line(error)) from error
        samples: int | None = self._file.frames
        if layout is not None:
            self._slack_samples = _MP3_SLACK_FRAMES * layout.samples_per_frame
            samples = audio_mp3.count_samples(path, layout) if piped else samples
        if kind == "ogg":
            self._slack_samples = _OGG_SLACK_SAMPLES
        try:
            self._check_header(samples)
        except InputError:
            self.close()
            raise

    def _check_header(self, samples: int | None) -> None:
        file = self._opened()
        if file.format not in _SOUNDFILE_FORMATS:
            raise InputError(f"{self._path}: is a {file.format_info} file; convert it to WAV first")
        if file.format != "MP3" and file.subtype.startswith("MPEG"):  # an MP3 inside a WAV
            self._slack_samples = None
        samples = _without_padding(file, samples)
        names = read_layout(self._path, self._kind, file.channels, file.subtype, file.extra_info)
        mask = mask_of(" ".join(names))
        order = [names.index(name) for name in speakers_of(mask)]
        self._order = order if order != sorted(order) else None
        info = AudioInfo(
            file.samplerate,
            file.channels,
            samples,
            file.subtype,
            file.format,
            mask,
            is_estimated=self._slack_samples is None,
        )
        self.info = checked_info(self._path, info)
        for declared, present in _CUT_OFF.findall(file.extra_info):
            streamed = any(low <= int(declared) <= high for low, high in _UNKNOWN_SIZES)
            if int(declared) > int(present) and not (streamed and file.format.startswith("WAV")):
                raise InputError(
                    f"{self._path}: is cut off, it declares {int(declared)} bytes of sound and "
                    f"has {int(present)}; get a complete copy"
                )

    def _opened(self) -> _Sequential:
        if self._file is None:
            raise ValueError(f"{self._path}: is closed")
        return self._file

    def seek(self, sample: int) -> None:
        """Go to a sample; where libsndfile can't seek exactly, by decoding up to it.

        Raises:
            InputError: The data are damaged.
        """
        file = self._opened()
        if file.subtype.startswith("MPEG") or not soundfile.SoundFile.seekable(file):
            skip(self, sample - self._done_samples)
            return
        try:
            file.seek(min(sample, file.frames))
        except (soundfile.SoundFileError, OSError) as error:
            raise InputError(self._broken(_one_line(error))) from error
        self._done_samples = sample

    def read(self, count_samples: int) -> np.ndarray:
        """Read the next samples.

        Returns:
            float32 `(time, channels)`; shorter than asked for only at the end of the sound.

        Raises:
            InputError: The data are damaged or end before the file says they do.
        """
        file, declared = self._opened(), self.info.samples or 0
        ends = self._kind in ("wav", "w64", "au") and self._slack_samples == 0
        wanted = (
            min(count_samples, max(0, declared - self._done_samples)) if ends else count_samples
        )
        try:
            block = file.read(wanted, dtype="float32", always_2d=True)
        except (soundfile.SoundFileError, OSError) as error:
            raise InputError(self._broken(_one_line(error))) from error
        self._done_samples += len(block)
        if file.format == "OGG" and "reports a hole" in file.extra_info:
            raise InputError(self._broken("pages are missing"))
        slack = self._slack_samples
        missing = slack is not None and self._done_samples < declared - slack
        if len(block) < count_samples and missing:
            raise InputError(self._broken(f"{declared / self.info.sample_rate:.1f} s declared"))
        return block if self._order is None else block[:, self._order]

    def _broken(self, reason: str) -> str:
        at = self._done_samples / self.info.sample_rate
        return f"{self._path}: broken or cut off at {at:.1f} s ({reason}); get a complete copy"

    def close(self) -> None:
        """Close the file."""
        file, self._file = self._file, None
        if file is not None:
            file.close()


def _without_padding(file: _Sequential, samples: int | None) -> int | None:
    """Return the length without what fills up the last block of a coding without seek."""
    if samples is None or soundfile.SoundFile.seekable(file):
        return samples
    if file.format == "AU" and file.subtype in _G72X_BITS:
        found = _AU_BYTES.search(file.extra_info)
        size = int(found[1]) * 8 // _G72X_BITS[file.subtype] if found else samples
    else:
        found = _FACT.search(file.extra_info)
        size = int(found[1]) if found else samples
    return min(samples, size) or samples


def open_source(path: Path, *, stream: int = 0) -> Decoder:
    """Open a file with libsndfile or ffmpeg, by its content.

    Raises:
        InputError: There is no file, it is no audio, or it is damaged.
    """
    require_file(path)
    kind = sniff(path)
    if kind not in _SOUNDFILE_KINDS or stream or (kind == "ogg" and not ogg_is_simple(path)):
        return audio_ffmpeg.FfmpegDecoder(path, kind, stream=stream)
    try:
        return SoundfileDecoder(path, kind)
    except _UnreadableError as error:
        if not audio_ffmpeg.available():
            hint = "installing ffmpeg may help"
            raise InputError(f"{path}: cannot be read ({error}); {hint}") from error
    return audio_ffmpeg.FfmpegDecoder(path, kind)


def probe(path: str | Path, *, stream: int = 0) -> AudioInfo:
    """Return what a file declares about its sound.

    Raises:
        InputError: There is no file, it is no audio, or its header is damaged.
    """
    source = open_source(Path(path), stream=stream)
    source.close()
    return source.info


class AudioReader:
    """Reads a file, or a span of it, in blocks."""

    def __init__(
        self,
        path: str | Path,
        *,
        start_seconds: float = 0.0,
        end_seconds: float | None = None,
        stream: int = 0,
    ) -> None:
        """Open the file and check its header and the span.

        Args:
            path: The file.
            start_seconds: Where to begin, 0 or more.
            end_seconds: Where to end; None or beyond the end of the file: there.
            stream: Which audio stream of a file that has several (video, stems), from 0.

        Raises:
            InputError: There is no file, it is no audio, its header is damaged, or the span
                lies outside of it.
        """
        self._path = Path(path)
        self._stream = stream
        self._source: Decoder | None = open_source(self._path, stream=stream)
        self.info = self._source.info
        self._start = round(start_seconds * self.info.sample_rate)
        self._end = None if end_seconds is None else round(end_seconds * self.info.sample_rate)
        known = self.info.samples
        if self._start < 0 or (self._end is not None and self._end <= self._start):
            self.close()
            raise InputError(f"{path}: the end must lie behind the start, and neither below 0 s")
        if known is not None and self._start >= known and not self.info.is_estimated:
            self.close()
            raise InputError(self._starts_late(known))

    @property
    def samples(self) -> int | None:
        """Samples per channel in the span as the file declares them; None: not declared."""
        known = self.info.samples
        if known is None or (self.info.is_estimated and known <= self._start):
            return None if self._end is None else self._end - self._start
        end = known if self._end is None else min(self._end, known)
        return end - self._start

    def blocks(self, block_samples: int) -> Iterator[np.ndarray]:
        """Read the span; each call begins at its start again.

        Args:
            block_samples: Length of the blocks, 1 or more.

        Yields:
            float32 `(channels, time)`, all of `block_samples` but for the last.

        Raises:
            InputError: Damaged or missing data, NaN or infinite samples, or no samples at all.
        """
        if block_samples < 1:
            raise ValueError(f"block_samples must be 1 or more, got {block_samples}")
        source = self._source or open_source(self._path, stream=self._stream)
        self._source = source
        try:
            source.seek(self._start)
            yield from self._read_on(source, block_samples)
        finally:
            self.close()

    def _read_on(self, source: Decoder, block_samples: int) -> Iterator[np.ndarray]:
        position = self._start
        while self._end is None or position < self._end:
            left = block_samples if self._end is None else self._end - position
            wanted = min(block_samples, left)
            block = np.ascontiguousarray(source.read(wanted).T)
            self._check_finite(block, position)
            position += block.shape[1]
            if block.shape[1]:
                yield block
            if block.shape[1] < wanted:
                break
        if position == self._start:
            raise InputError(
                self._starts_late(position) if position else f"{self._path}: holds no sound"
            )

    def _check_finite(self, block: np.ndarray, position: int) -> None:
        finite = np.isfinite(block).all(axis=0)
        if not finite.all():
            at = (position + int(np.argmin(finite))) / self.info.sample_rate
            raise InputError(
                f"{self._path}: has a sample that is no number (NaN or infinite) at {at:.3f} s; "
                "export it again"
            )

    def _starts_late(self, known_samples: int) -> str:
        return (
            f"{self._path}: has no sound from {self._start / self.info.sample_rate:.3f} s on "
            f"(it is {known_samples / self.info.sample_rate:.3f} s long)"
        )

    def close(self) -> None:
        """Close the file, and stop ffmpeg if it runs."""
        source, self._source = self._source, None
        if source is not None:
            source.close()

    def __enter__(self) -> "AudioReader":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _one_line(error: BaseException) -> str:
    """Return libsndfile's reason without the name of the file, which the caller puts first."""
    text = getattr(error, "error_string", None) or str(error)
    return one_line(text).rstrip(".")
