"""Decode with the ffmpeg program what libsndfile can't read (m4a, mp4, video).

ffmpeg runs with the one demuxer that `info.sniff` chose, with files and pipes as its only protocols
and without a terminal, so that no file can make it open another file or an address. Sound that
begins later than the file (audio of a video) is preceded by silence, so that times in the samples
are times of the video.
"""

import json
import os
import shutil
import struct
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from separate.audio.decoder import skip
from separate.audio.info import AudioInfo, checked_info
from separate.audio.layout import checked_mask
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
_RIFF_HEADER_BYTES = 12
_MASK_AT = 20  # byte of the channel mask in the format chunk of a WAV
_LOST_SECONDS = 0.5  # a mov file whose sound ends this much early is taken for cut off


def available() -> bool:
    """Whether both programs are on PATH."""
    return shutil.which("ffmpeg") is not None and shutil.which("ffprobe") is not None


class FfmpegDecoder:
    """A file that ffmpeg decodes from its first sample on."""

    def __init__(self, path: Path, kind: str, *, stream: int = 0) -> None:
        """Read the header with ffprobe and start the decoder.

        Args:
            path: An existing regular file.
            kind: The demuxer to read it with, one of `DEMUXERS`.
            stream: Which of the file's audio streams, from 0.

        Raises:
            InputError: ffmpeg is not installed, or the file is damaged or has no such stream.
        """
        self._path, self._kind, self._stream = path, kind, stream
        self._errors: Any = None
        self._done_samples = 0
        info, self._lead_seconds = _probe(path, kind, stream)
        self.info = checked_info(path, info)
        self._process: subprocess.Popen[bytes] | None = self._start()
        try:
            self._read_header(self._process)
        except InputError:
            self.close()
            raise

    def seek(self, sample: int) -> None:
        """Go to a later sample by decoding up to it; seeking is inexact in most containers."""
        skip(self, sample - self._done_samples)

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
        silent = min(count_samples, max(0, self._lead_samples - self._done_samples))
        frame_bytes = 4 * self.info.channels
        data = process.stdout.read((count_samples - silent) * frame_bytes)
        got = len(data) // frame_bytes
        self._done_samples += silent + got
        if silent + got < count_samples:
            self._check_end(process)
        block = np.frombuffer(data, "<f4", got * self.info.channels)
        block = block.reshape(got, self.info.channels).astype(np.float32)
        return np.pad(block, ((silent, 0), (0, 0))) if silent else block

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
            "-guess_layout_max", "0", *_input_arguments(self._path, self._kind),
            "-map", f"0:a:{self._stream}", "-af", "asetpts=N/SR/TB",  # times may jump in a file
            "-c:a", "pcm_f32le", "-fflags", "+bitexact", "-f", "wav", "pipe:1",
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
        """Take rate, channels and layout from the decoded stream, which is a WAV.

        The header of the file can differ from what is decoded (AAC with SBR, ADTS).
        """
        assert process.stdout is not None
        header, form, name = process.stdout.read(_RIFF_HEADER_BYTES), b"", b""
        while header[:4] == b"RIFF" and name != b"data":
            head = process.stdout.read(8)
            name, size = head[:4], int.from_bytes(head[4:], "little")
            if len(head) < 8:
                break
            if name != b"data":
                content = process.stdout.read(size)
                form = content if name == b"fmt " else form
        if name != b"data" or len(form) < 16:
            self._check_end(process)
            raise InputError(f"{self._path}: holds no sound that ffmpeg can decode")
        channels, rate = struct.unpack_from("<HI", form, 2)
        mask = struct.unpack_from("<I", form, _MASK_AT)[0] if len(form) > _MASK_AT + 4 else 0
        seconds = self.info.seconds
        self._lead_samples = round(self._lead_seconds * rate)
        info = replace(
            self.info,
            sample_rate=rate,
            channels=channels,
            samples=None if seconds is None else round(seconds * rate),
            channel_mask=checked_mask(mask, channels),
        )
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
        raise InputError(f"{path}: files of kind {kind!r} are not read with ffmpeg")
    return [
        "-protocol_whitelist", "file,pipe", "-format_whitelist", kind, "-f", kind,
        "-i", f"file:{path.absolute()}",
    ]  # fmt: skip


def _environment() -> dict[str, str]:
    """Return our environment, without what makes ffmpeg colour messages or write a report."""
    kept = {name: value for name, value in os.environ.items() if name != "FFREPORT"}
    return {**kept, "AV_LOG_FORCE_NOCOLOR": "1"}


def _probe(path: Path, kind: str, stream: int) -> tuple[AudioInfo, float]:
    """Return what the file declares, and after how many seconds its sound begins."""
    if not available():
        raise InputError(f"{path}: needs the ffmpeg program to be read; {_INSTALL}")
    command = ["ffprobe", "-hide_banner", "-v", "error", *_input_arguments(path, kind)]
    command += ["-select_streams", "a", "-show_streams", "-show_format", "-of", "json"]
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
        return _parse_probe(path, kind, json.loads(done.stdout), stream)
    except (ValueError, KeyError) as error:
        raise InputError(f"{path}: ffprobe finds nothing usable in it ({error})") from error


def _parse_probe(
    path: Path, kind: str, found: dict[str, Any], stream: int
) -> tuple[AudioInfo, float]:
    streams, whole = found.get("streams", []), found.get("format", {})
    if not streams:
        raise InputError(f"{path}: has no sound")
    if stream >= len(streams):
        raise InputError(
            f"{path}: has no audio stream {stream}, only {_counted(len(streams))}; "
            f"take --stream 0{f' to {len(streams) - 1}' if len(streams) > 1 else ''}"
        )
    chosen = streams[stream]
    rate, channels = int(chosen["sample_rate"]), int(chosen["channels"])
    lead = max(0.0, float(chosen.get("start_time", 0)) - float(whole.get("start_time", 0)))
    seconds = float(chosen.get("duration") or 0)
    seconds = seconds + lead if seconds > 0 else float(whole.get("duration") or 0)
    samples = round(seconds * rate) if seconds > 0 else None
    return AudioInfo(rate, channels, samples, _subtype(chosen), kind, is_estimated=True), lead


def _counted(streams: int) -> str:
    return f"{streams} stream{'s' if streams > 1 else ''}"


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
