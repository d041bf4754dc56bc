"""Write sound files from blocks `(channels, time)`.

A file is written under a hidden temporary name beside its target. It gets its name when it is
complete and its last sample has been read back, so that a full disk or Ctrl-C leaves no part of it.
"""

import os
import shutil
import tempfile
import uuid
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import soundfile

from separate.audio.info import fs_name
from separate.audio.layout import default_mask, speakers_of, xiph_order
from separate.errors import OutputError, one_line

FORMATS = ("wav", "flac", "ogg", "mp3")
DEFAULT_MP3_BITRATE = 320  # kbit/s
# Below 64 kbit/s LAME's length tag doesn't fit into a frame, and the length would be lost. Low
# sample rates have a lower top (160 below 32 kHz, 64 below 16 kHz), which is taken then.
MP3_BITRATES = (64, 320)  # kbit/s

RIFF_LIMIT_BYTES = 2**32 - 65_536  # of sound in a plain WAV, with room for its other chunks
_CHUNK_SAMPLES = 65_536  # libvorbis keeps what it is given at once on the stack
_FULL_BYTES = 1_000_000  # a disk with less space than this is called full
_FLAC_KEY = b"comment="  # of libsndfile's comment, which is overwritten with the mask
_OPUS_RATES = (8_000, 12_000, 16_000, 24_000, 48_000)  # Hz
_MP3_RATES = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)  # Hz
_MAX_RATES = {"wav": 768_000, "flac": 655_350, "ogg": 200_000}  # Hz; libvorbis crashes above
_MAX_CHANNELS = {"wav": 64, "flac": 8, "ogg": 64, "mp3": 2}
SAMPLE_BYTES = {"PCM_U8": 1, "PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 8}
# Sample depth of what soundfile can read; whatever is not listed (lossy, 13 bits) is like 16 bits.
_BITS = {
    "PCM_S8": 8, "PCM_U8": 8, "DPCM_8": 8, "PCM_24": 24, "ALAC_20": 24, "ALAC_24": 24,
    "PCM_32": 32, "ALAC_32": 32, "FLOAT": 33, "DOUBLE": 64,
}  # fmt: skip


def output_subtype(format: str, subtype: str | None, sample_rate: int) -> str:
    """Return the encoding that keeps the bit depth of the input.

    Args:
        format: One of `FORMATS`.
        subtype: soundfile's name of the input's encoding (or of the one wished for); None: 16 bits.
        sample_rate: Of the output, in Hz.

    Returns:
        `subtype` where the format carries it, else the next deeper encoding, else the deepest.
    """
    if format == "mp3":
        return "MPEG_LAYER_III"
    if format == "ogg":
        return "OPUS" if subtype == "OPUS" and sample_rate in _OPUS_RATES else "VORBIS"
    bits = _BITS.get((subtype or "PCM_16").upper(), 16)
    depths = {8: "PCM_U8", 16: "PCM_16", 24: "PCM_24", 32: "PCM_32", 33: "FLOAT", 64: "DOUBLE"}
    if format == "flac":
        depths = {8: "PCM_S8", 16: "PCM_16", 24: "PCM_24"}
    return next(
        (name for depth, name in depths.items() if depth >= bits), list(depths.values())[-1]
    )


def check_format(format: str, sample_rate: int, channels: int, channel_mask: int = 0) -> None:
    """Check that a format can hold this sound; call it before any computation.

    Raises:
        OutputError: It can't; the message names a format that can.
    """
    if format not in FORMATS:
        raise OutputError(f"cannot write format {format!r}; choose one of {', '.join(FORMATS)}")
    if not 1 <= channels <= _MAX_CHANNELS[format]:
        raise OutputError(
            f"{format} holds at most {_MAX_CHANNELS[format]} channels, not {channels}; choose wav"
        )
    if format == "mp3" and sample_rate not in _MP3_RATES:
        raise OutputError(
            f"mp3 does not hold {sample_rate} Hz (only {', '.join(map(str, _MP3_RATES))} Hz); "
            "choose wav, flac or ogg"
        )
    if format != "mp3" and not 1 <= sample_rate <= _MAX_RATES[format]:
        raise OutputError(
            f"{format} holds at most {_MAX_RATES[format]} Hz, not {sample_rate} Hz; choose wav"
        )
    if format == "ogg" and xiph_order(channels, channel_mask) is None:
        names = ", ".join(speakers_of(channel_mask))
        raise OutputError(f"ogg has no layout of the channels {names}; choose wav or flac")


def check_writable(folder: str | Path, *, needed_bytes: int = 0) -> None:
    """Make the folder, and check that a temporary file can be written into it.

    On Linux the file has no name, so that a process killed meanwhile leaves nothing.

    Raises:
        OutputError: That fails, or fewer than `needed_bytes` are free there.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"x" * 4_096)
        free = shutil.disk_usage(folder).free
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(f"{folder}: cannot be written to ({reason}); choose another") from error
    if free < needed_bytes:
        raise OutputError(
            f"{folder}: has {free / 1e9:.2f} GB free where the result needs "
            f"{needed_bytes / 1e9:.2f} GB; make room or choose another"
        )


class AudioWriter:
    """Writes a sound file that gets its name when it is complete."""

    def __init__(
        self,
        path: str | Path,
        sample_rate: int,
        channels: int,
        *,
        format: str = "wav",
        subtype: str | None = None,
        mp3_bitrate: int | None = None,
        total_samples: int | None = None,
        sync: bool = False,
        channel_mask: int = 0,
    ) -> None:
        """Open a temporary file beside `path`; the folder is made where it is missing.

        Args:
            path: The target, of any extension.
            sample_rate: Hz.
            channels: 1 or more.
            format: One of `FORMATS`.
            subtype: The encoding to keep, see `output_subtype`.
            mp3_bitrate: Constant, kbit/s, see `MP3_BITRATES`; None: the highest.
            total_samples: Length to come, if known: saves copying a WAV beyond 4 GiB to RF64.
            sync: Wait on commit until the file is on the disk.
            channel_mask: Speakers of the channels (`audio.layout`), which wav, flac and ogg keep;
                0: not known.

        Raises:
            OutputError: The format can't hold this sound, or the folder can't be written to.
        """
        check_format(format, sample_rate, channels, channel_mask)
        self.path, self.sample_rate, self.channels = Path(path), sample_rate, channels
        self.format, self.subtype = format, output_subtype(format, subtype, sample_rate)
        self.samples = 0  # written so far, per channel
        self._mp3_options = _mp3_options(mp3_bitrate, sample_rate) if format == "mp3" else {}
        self._sync = sync
        self._frame_bytes = channels * SAMPLE_BYTES.get(self.subtype, 0)
        is_usual = channel_mask in (0, default_mask(channels))
        self._mask = 0 if is_usual and channels < 3 else channel_mask
        self._order = xiph_order(channels, channel_mask) if format == "ogg" else None
        large = (total_samples or 0) * self._frame_bytes > RIFF_LIMIT_BYTES
        self._container = format.upper()
        if format == "wav" and (large or self._mask):
            self._container = "RF64" if large else "WAVEX"
        self._file: soundfile.SoundFile | None = None
        self._temporary = _temporary_beside(self.path)
        self._begin()

    def _begin(self) -> None:
        try:
            if self.path.is_dir():  # also fails here, not at the end, on a name that is too long
                raise OutputError(f"{self.path}: is a folder; choose another name for the file")
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._open(self._temporary)
        except (OSError, soundfile.SoundFileError) as error:
            raise self._failed(error) from error

    def write(self, block: np.ndarray) -> None:
        """Append samples.

        Args:
            block: Float `(channels, time)`; what exceeds ±1 saturates in integer encodings.

        Raises:
            ValueError: The shape doesn't fit.
            OutputError: The disk is full or fails, or the block has NaN; no file remains.
        """
        if block.ndim != 2 or block.shape[0] != self.channels:
            raise ValueError(f"block must be ({self.channels}, time), got {block.shape}")
        if self._file is None:
            raise ValueError(f"{self.path}: is closed")
        if not np.isfinite(block).all():
            self.abort()
            at = self.samples / self.sample_rate
            raise OutputError(f"{self.path}: the result has NaN after {at:.1f} s; not written")
        try:
            for start in range(0, block.shape[1], _CHUNK_SAMPLES):
                self._write_chunk(block[:, start : start + _CHUNK_SAMPLES])
        except (OSError, soundfile.SoundFileError, AssertionError) as error:
            raise self._failed(error) from error

    def _write_chunk(self, chunk: np.ndarray) -> None:
        size = (self.samples + chunk.shape[1]) * self._frame_bytes
        if self._container in ("WAV", "WAVEX") and size > RIFF_LIMIT_BYTES:
            self._promote_to_rf64()
        assert self._file is not None
        ordered = chunk if self._order is None else chunk[self._order]
        self._file.write(_encode(ordered.T, self.subtype))
        self.samples += chunk.shape[1]

    def commit(self) -> Path:
        """Complete the file, check it and give it its name.

        Returns:
            The path.

        Raises:
            OutputError: Nothing was written, or the file is not whole; no file remains.
        """
        if self._file is None:
            raise ValueError(f"{self.path}: is closed")
        if not self.samples:
            self.abort()
            raise OutputError(f"{self.path}: there is no sound to write")
        try:
            file, self._file = self._file, None
            file.close()
            self._check_whole()
            _edit_header(self._temporary, self._mask)
            if self._sync:
                with self._temporary.open("rb+") as handle:
                    os.fsync(handle.fileno())
            self._temporary.replace(self.path)
        except (OSError, soundfile.SoundFileError) as error:
            raise self._failed(error) from error
        return self.path

    def abort(self) -> None:
        """Remove the temporary file; does nothing after `commit`."""
        file, self._file = self._file, None
        try:
            if file is not None:
                file.close()
        except (OSError, soundfile.SoundFileError):
            pass  # the file goes away anyway
        finally:
            if self._temporary.parent.is_dir():
                self._temporary.unlink(missing_ok=True)

    def __enter__(self) -> "AudioWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.abort()

    def _open(self, path: Path) -> soundfile.SoundFile:
        file = soundfile.SoundFile(
            fs_name(path),
            "w",
            self.sample_rate,
            self.channels,
            subtype=self.subtype,
            format=self._container,
            **self._mp3_options,
        )
        if self.format == "flac" and self._mask:
            file.comment = "0" * (len(_flac_comment(0)) - len(_FLAC_KEY))
        return file

    def _promote_to_rf64(self) -> None:
        """Copy what has been written into an RF64 file and continue there; samples stay equal."""
        assert self._file is not None
        self._file.close()
        self._container = "RF64"
        small, self._temporary = self._temporary, _temporary_beside(self.path)
        self._file = self._open(self._temporary)
        dtype = {"FLOAT": "float32", "DOUBLE": "float64"}.get(self.subtype, "int32")
        try:
            with soundfile.SoundFile(fs_name(small)) as source:
                for block in source.blocks(_CHUNK_SAMPLES, dtype=dtype, always_2d=True):
                    self._file.write(block)
        finally:
            small.unlink(missing_ok=True)

    def _check_whole(self) -> None:
        """Read the last sample back, because libsndfile doesn't report errors on closing."""
        with soundfile.SoundFile(fs_name(self._temporary)) as file:
            last = 0
            if file.frames == self.samples:
                file.seek(self.samples - 1)
                last = len(file.read(1, dtype="float32"))
        if not last:
            raise OSError("the file is shorter than what was written")

    def _failed(self, error: BaseException) -> OutputError:
        """Remove the file, and return the error as one line."""
        self.abort()
        folder = self.path.parent
        reason = getattr(error, "strerror", None) or getattr(error, "error_string", None) or error
        try:
            if shutil.disk_usage(folder).free < _FULL_BYTES:
                reason = "the disk is full"
        except OSError:
            pass
        reason = one_line(reason).rstrip(".")
        return OutputError(
            f"{self.path}: cannot be written ({reason}); make room or choose another folder"
        )


def _temporary_beside(path: Path) -> Path:
    """Return a hidden name that is unique and whose length doesn't depend on that of `path`."""
    return path.parent / f".separate-{os.getpid()}-{uuid.uuid4().hex[:12]}.part"


def _mp3_options(bitrate: int | None, sample_rate: int) -> dict[str, Any]:
    """Translate kbit/s into libsndfile's level, which runs from the top rate to the lowest."""
    wanted = DEFAULT_MP3_BITRATE if bitrate is None else bitrate
    if not MP3_BITRATES[0] <= wanted <= MP3_BITRATES[1]:
        raise OutputError(
            f"mp3 bit rate {wanted} kbit/s is outside {MP3_BITRATES[0]} to {MP3_BITRATES[1]}"
        )
    low, high = (
        (32, 320) if sample_rate >= 32_000 else (8, 160) if sample_rate >= 16_000 else (8, 64)
    )
    # libsndfile cuts the product off to whole kbit/s; the small summand keeps 128 from being 127.
    level = (high - min(wanted + 1e-6, high)) / (high - low)
    return {"compression_level": level, "bitrate_mode": "CONSTANT"}


def _encode(samples: np.ndarray, subtype: str) -> np.ndarray:
    """Round floats to the depth of the encoding; libsndfile rounds down, which adds an offset.

    Args:
        samples: Float `(time, channels)`.
        subtype: soundfile's name of the encoding.

    Returns:
        `(time, channels)` in a type that libsndfile stores without a change.
    """
    if subtype == "DOUBLE":
        return np.ascontiguousarray(samples, dtype=np.float64)
    bits = {"PCM_U8": 8, "PCM_S8": 8, "PCM_16": 16, "PCM_24": 24, "PCM_32": 32}.get(subtype)
    if bits is None:
        return np.ascontiguousarray(samples, dtype=np.float32)
    full = 2 ** (bits - 1)
    # float32 holds every step of up to 24 bits; only 32 bits need float64 on the way.
    exact = samples.astype(np.float64) if bits > 24 else samples
    whole = np.clip(np.rint(exact * full), -full, full - 1).astype(np.int32)
    if bits > 16:
        return np.ascontiguousarray(whole << (32 - bits))
    return np.ascontiguousarray(whole << (16 - bits), dtype=np.int16)


def _flac_comment(mask: int) -> bytes:
    """Return the comment that names a channel mask (RFC 9639, 8.6.2)."""
    return f"WAVEFORMATEXTENSIBLE_CHANNEL_MASK=0x{mask:05X}".encode()


def _edit_header(path: Path, mask: int) -> None:
    """Write what libsndfile doesn't: a mask of speakers, and zero as the time of a float WAV.

    Without a time equal sound makes equal files. A FLAC has a comment of the right length.

    Args:
        path: A complete file.
        mask: Channel mask to write; 0: none.
    """
    with path.open("rb+") as handle:
        head = handle.read(512)
        edits: list[tuple[int, bytes]] = []
        if head[:4] in (b"RIFF", b"RF64"):
            if (at := head.find(b"PEAK")) > 0:
                edits.append((at + 12, bytes(4)))
            at = head.find(b"fmt ")
            if mask and head[at + 8 : at + 10] == b"\xfe\xff":  # WAVEFORMATEXTENSIBLE
                edits.append((at + 28, mask.to_bytes(4, "little")))
        elif mask and head[:4] == b"fLaC" and (at := head.find(_FLAC_KEY)) > 0:
            edits.append((at, _flac_comment(mask)))
        for at, content in edits:
            handle.seek(at)
            handle.write(content)
