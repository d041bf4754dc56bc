"""Find the frames of an MP3 file: where its sound lies and how long it is.

libsndfile takes the length of an MP3 from its Xing/Info header; without one it estimates it from
the first frame's bit rate and stops there, so a variable-rate file loses most of its sound. Here
the header is read beforehand. A file without a usable one is piped to libsndfile, which then
decodes to the end. ffprobe could count the frames too, but MP3 files have to be readable, with
their exact length, where ffmpeg is not installed.
"""

import mmap
import os
import struct
import threading
from dataclasses import dataclass
from pathlib import Path

_BITRATES = {  # kbit/s by (is MPEG-1, layer), index 1..14 of the frame header
    (True, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES = (44_100, 48_000, 32_000)  # Hz for MPEG-1; halved for MPEG-2, quartered for 2.5
_TAG_SLACK_BYTES = 65_536  # what may follow the frames without being another recording


@dataclass(frozen=True)
class Frame:
    """One frame header."""

    size: int  # bytes, header included
    samples: int  # per channel
    layer: int  # 1, 2 or 3
    sample_rate: int  # Hz


@dataclass(frozen=True)
class Mp3Layout:
    """Position and length of the sound in an MP3 file."""

    start: int  # byte of the first frame with sound (a Xing/Info frame is not counted)
    end: int  # byte behind the last frame, tags cut off
    samples_per_frame: int
    declared_frames: int | None  # of the Xing/Info header
    declared_bytes: int | None  # of the Xing/Info header

    @property
    def missing_bytes(self) -> int:
        """Bytes that the header promises and the file lacks, 0 when within one percent."""
        missing = (self.declared_bytes or 0) - (self.end - self.start)
        return missing if missing > max(4_096, (self.declared_bytes or 0) // 100) else 0

    @property
    def needs_pipe(self) -> bool:
        """Whether libsndfile would take a wrong length: no header, or more behind its end."""
        if not self.declared_frames:
            return True
        if self.declared_bytes is None:
            return False
        extra = self.end - self.start - self.declared_bytes
        return extra > max(_TAG_SLACK_BYTES, self.declared_bytes // 50)


def parse_header(header: bytes) -> Frame | None:
    """Parse four bytes as the header of an MPEG audio frame; None if they are no header."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return None
    version, layer_bits = header[1] >> 3 & 3, header[1] >> 1 & 3
    bitrate_index, rate_index = header[2] >> 4, header[2] >> 2 & 3
    if version == 1 or layer_bits == 0 or bitrate_index in (0, 15) or rate_index == 3:
        return None
    mpeg1, layer = version == 3, 4 - layer_bits
    sample_rate = _RATES[rate_index] // {3: 1, 2: 2, 0: 4}[version]
    bits = _BITRATES[mpeg1, layer][bitrate_index - 1] * 1000
    padding = header[2] >> 1 & 1
    if layer == 1:
        return Frame((12 * bits // sample_rate + padding) * 4, 384, 1, sample_rate)
    samples = 576 if layer == 3 and not mpeg1 else 1152
    return Frame(samples // 8 * bits // sample_rate + padding, samples, layer, sample_rate)


def id3_end(path: Path) -> int:
    """Return the position after the ID3v2 tags at the beginning, 0 without one."""
    position = 0
    with path.open("rb") as handle:
        while (tag := handle.read(10))[:3] == b"ID3" and len(tag) == 10:
            size = tag[6] << 21 | tag[7] << 14 | tag[8] << 7 | tag[9]
            position += 10 + size + (10 if tag[5] & 0x10 else 0)
            handle.seek(position)
    return position


def find_first_frame(path: Path, start: int, reach: int) -> int | None:
    """Return the first position in `[start, start + reach]` with two frames in a row."""
    with path.open("rb") as handle:
        handle.seek(start)
        data = handle.read(reach + 8_192)
    position = 0
    while 0 <= position <= min(reach, len(data) - 4):
        frame = parse_header(data[position : position + 4])
        if frame is not None:
            after = data[position + frame.size : position + frame.size + 4]
            follower = parse_header(after)
            alone = len(after) < 4  # a file of a single frame
            if alone or (follower and follower.sample_rate == frame.sample_rate):
                return start + position
        position = data.find(b"\xff", position + 1)
    return None


def read_layout(path: Path) -> Mp3Layout | None:
    """Read the first frame and the tags.

    Returns:
        The layout, or None where no frame is found (libsndfile then decides alone).
    """
    first = find_first_frame(path, id3_end(path), 65_536)
    if first is None:
        return None
    end = _tags_start(path)
    with path.open("rb") as handle:
        handle.seek(first)
        data = handle.read(4_096)
    frame = parse_header(data)
    if frame is None:
        return None
    found = [data.find(mark, 4, 48) for mark in (b"Xing", b"Info")]
    at = max(found) if frame.layer == 3 else -1
    if at < 0:
        return Mp3Layout(first, end, frame.samples, None, None)
    flags = struct.unpack_from(">I", data, at + 4)[0]
    fields = struct.unpack_from(">2I", data, at + 8)
    frames = fields[0] if flags & 1 else None
    total_bytes = (fields[1] if flags & 1 else fields[0]) if flags & 2 else None
    if total_bytes is not None:  # the header's count includes its own frame
        total_bytes = max(0, total_bytes - frame.size)
    return Mp3Layout(first + frame.size, end, frame.samples, frames, total_bytes or None)


def _tags_start(path: Path) -> int:
    """Return the position of the ID3v1 and APE tags at the end; without any, the file's size."""
    end = path.stat().st_size
    with path.open("rb") as handle:
        if end >= 128:
            handle.seek(end - 128)
            if handle.read(3) == b"TAG":
                end -= 128
        if end >= 32:
            handle.seek(end - 32)
            footer = handle.read(32)
            if footer[:8] == b"APETAGEX":
                size, _, flags = struct.unpack_from("<3I", footer, 12)
                end = max(0, end - size - (32 if flags & 0x8000_0000 else 0))
    return end


def count_samples(path: Path, layout: Mp3Layout) -> int | None:
    """Count the samples per channel frame by frame; None where a header is not found."""
    total = 0
    position = layout.start
    with path.open("rb") as handle, mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as data:
        while position + 4 <= layout.end:
            frame = parse_header(data[position : position + 4])
            if frame is None:
                return None
            if position + frame.size > layout.end:
                break
            total += frame.samples
            position += frame.size
    return total


def open_pipe(path: Path, layout: Mp3Layout) -> int:
    """Write the frames of a file into a pipe from a thread.

    Returns:
        The descriptor to read from; closing it ends the thread.
    """
    read_end, write_end = os.pipe()

    def feed() -> None:
        try:
            with os.fdopen(write_end, "wb") as sink, path.open("rb") as source:
                source.seek(layout.start)
                left = layout.end - layout.start
                while left > 0 and (data := source.read(min(65_536, left))):
                    sink.write(data)
                    left -= len(data)
        except OSError:  # the reader closed its end; a failing disk shows as a short stream
            return

    threading.Thread(target=feed, name="mp3-feed", daemon=True).start()
    return read_end
