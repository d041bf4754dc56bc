"""Sound through the ffmpeg program, for what libsndfile can't read (m4a, mp4, video).

Comes in: a path and the kind that `audio_info.sniff` found; goes out: float32 samples as they are
decoded. ffmpeg runs with one demuxer, named by us, with files and pipes as its only protocols and
without a terminal, so that no file can make it open another file or an address.
"""

import json
import os
import shutil
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from separate.audio.info import AudioInfo, checked_info
from separate.errors import InputError

# Every demuxer that may run; none of them opens other files (no hls, concat, dash, sdp, image2).
DEMUXERS = frozenset({
    "mov", "matroska", "avi", "asf", "flv", "mpegts", "mpeg", "aac", "ac3", "eac3", "amr",
    "ape", "wv", "tta", "mpc", "mpc8", "dts", "wav", "w64", "aiff", "au", "caf", "flac", "ogg",
    "mp3",
})  # fmt: skip
_INSTALL = (
    "install ffmpeg (Debian, Ubuntu: sudo apt-get install ffmpeg; macOS: brew install ffmpeg; "
    "Windows: winget install ffmpeg)"
)
_PROBE_TIMEOUT_SECONDS = 60
_AU_HEADER_BYTES = 24
_LOST_SECONDS = 0.5  # a mov file whose sound ends this much early is taken for cut off


def available() -> bool:
    """Whether both programs are on PATH."""
    return shutil.which("ffmpeg") is not None and shutil.which("ffprobe") is not None


class FfmpegDecoder:
    """A file read through ffmpeg from its first sample on; a read may be short only at the end."""

    def __init__(self, path: Path, kind: str, *, stream: int = 0) -> None:
        """Look at the file with ffprobe and start the decoder.

        Args:
            path: An existing regular file.
            kind: The demuxer to read it with, one of `DEMUXERS`.
            stream: Which of the file's audio streams, from 0.

        Raises:
            InputError: ffmpeg is missing, or the file is damaged or has no such stream.
        """
        self._path, self._kind, self._stream = path, kind, stream
        self._errors: Any = None
        self._done_samples = 0
        self.info = checked_info(path, _probe(path, kind, stream))
        self._process: subprocess.Popen[bytes] | None = self._start()
        try:
            self._read_header(self._process)
        except InputError:
            self.close()
            raise

    def seek(self, sample: int) -> None:
        """Go to a sample by decoding up to it; the only way that is exact in every container."""
        while self._done_samples < sample:
            if not len(self.read(min(262_144, sample - self._done_samples))):
                return

    def read(self, count_samples: int) -> np.ndarray:
        """Decode the next samples.

        Returns:
            float32 `(time, channels)`; shorter than asked for only at the end of the sound.

        Raises:
            InputError: The data are damaged or end before the file says they do.
        """
        process = self._process
        if process is None or process.stdout is None:
            raise ValueError(f"{self._path}: is closed")
        frame_bytes = 4 * self.info.channels
        data = process.stdout.read(count_samples * frame_bytes)
        got = len(data) // frame_bytes
        self._done_samples += got
        if got < count_samples:
            self._check_end(process)
        block = np.frombuffer(data, ">f4", got * self.info.channels)
        return block.reshape(got, self.info.channels).astype(np.float32)

    def close(self) -> None:
        """Stop the decoder, if it runs."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            if process.stdout is not None:
                process.stdout.close()
            process.wait()
        if self._errors is not None:
            self._errors.close()
            self._errors = None

    def _start(self) -> "subprocess.Popen[bytes]":
        # A pipe could fill up and block the decoder; the file is closed with the decoder.
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        command = [
            "ffmpeg", "-nostdin", "-hide_banner", "-v", "error", "-xerror",
            *_input_arguments(self._path, self._kind),
            "-map", f"0:a:{self._stream}", "-c:a", "pcm_f32be", "-f", "au", "pipe:1",
        ]  # fmt: skip
        try:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                env=_environment(),
            )
        except OSError as error:
            self._errors.close()
            raise InputError(f"{self._path}: ffmpeg doesn't start ({error}); {_INSTALL}") from error

    def _read_header(self, process: "subprocess.Popen[bytes]") -> None:
        """Take rate and channels from the AU stream: the decoder knows better than a header."""
        assert process.stdout is not None
        header = process.stdout.read(_AU_HEADER_BYTES)
        if len(header) < _AU_HEADER_BYTES or header[:4] != b".snd":
            self._check_end(process)
            raise InputError(f"{self._path}: holds no sound that ffmpeg can decode")
        fields = np.frombuffer(header, ">u4")
        process.stdout.read(int(fields[1]) - _AU_HEADER_BYTES)
        rate, channels, seconds = int(fields[4]), int(fields[5]), self.info.seconds
        samples = None if seconds is None else round(seconds * rate)
        info = replace(self.info, sample_rate=rate, channels=channels, samples=samples)
        self.info = checked_info(self._path, info)

    def _check_end(self, process: "subprocess.Popen[bytes]") -> None:
        status = process.wait()
        if status != 0:
            self._errors.seek(0)
            reason = _last_line(self._errors.read(), self._path)
            at = self._done_samples / self.info.sample_rate
            raise InputError(f"{self._path}: broken or cut off at {at:.1f} s ({reason})")
        lost = (self.info.samples or 0) - self._done_samples
        if self._kind == "mov" and lost > _LOST_SECONDS * self.info.sample_rate:
            raise InputError(
                f"{self._path}: says {self.info.seconds:.1f} s but ends "
                f"{lost / self.info.sample_rate:.1f} s early; get a complete copy"
            )


def _input_arguments(path: Path, kind: str) -> list[str]:
    if kind not in DEMUXERS:
        raise InputError(f"{path}: ffmpeg is not let loose on files of kind {kind!r}")
    return [
        "-protocol_whitelist", "file,pipe", "-format_whitelist", kind, "-f", kind,
        "-i", f"file:{path.absolute()}",
    ]  # fmt: skip


def _environment() -> dict[str, str]:
    """Ours, without what would make ffmpeg colour its messages or write a report file."""
    kept = {name: value for name, value in os.environ.items() if name != "FFREPORT"}
    return {**kept, "AV_LOG_FORCE_NOCOLOR": "1"}


def _probe(path: Path, kind: str, stream: int) -> AudioInfo:
    if not available():
        raise InputError(f"{path}: needs the ffmpeg program to be read; {_INSTALL}")
    command = ["ffprobe", "-hide_banner", "-v", "error", *_input_arguments(path, kind)]
    command += ["-select_streams", f"a:{stream}", "-show_streams", "-show_format", "-of", "json"]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PROBE_TIMEOUT_SECONDS,
            env=_environment(),
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InputError(f"{path}: ffprobe fails on it ({type(error).__name__})") from error
    if done.returncode != 0:
        raise InputError(f"{path}: cannot be read ({_last_line(done.stderr, path)})")
    try:
        return _parse_probe(path, kind, json.loads(done.stdout))
    except (ValueError, KeyError) as error:
        raise InputError(f"{path}: ffprobe tells nothing usable about it ({error})") from error


def _parse_probe(path: Path, kind: str, found: dict[str, Any]) -> AudioInfo:
    if not found.get("streams"):
        raise InputError(f"{path}: has no such audio stream")
    stream = found["streams"][0]
    rate, channels = int(stream["sample_rate"]), int(stream["channels"])
    seconds = float(stream.get("duration") or found.get("format", {}).get("duration") or 0)
    samples = round(seconds * rate) if seconds > 0 else None
    return AudioInfo(rate, channels, samples, _subtype(stream), kind)


def _subtype(stream: dict[str, Any]) -> str:
    """The bit depth of a lossless stream; lossy ones are like 16 bits."""
    if not str(stream.get("codec_name", "")).startswith(("pcm_", "alac", "flac", "ape", "wavpack")):
        return "PCM_16"
    if str(stream.get("sample_fmt", "")).startswith(("flt", "dbl")):
        return "FLOAT"
    bits = int(stream.get("bits_per_raw_sample") or stream.get("bits_per_sample") or 16)
    return "PCM_16" if bits <= 16 else "PCM_24" if bits <= 24 else "PCM_32"


def _last_line(errors: bytes, path: Path) -> str:
    """The last message of ffmpeg, without the names of its parts and of the file."""
    lines = errors.decode("utf-8", "replace").strip().splitlines()
    line = lines[-1] if lines else "ffmpeg gives no reason"
    if line.startswith("[") and "] " in line:
        line = line.split("] ", 1)[1]
    return line.removeprefix(f"file:{path.absolute()}: ")[:200]
