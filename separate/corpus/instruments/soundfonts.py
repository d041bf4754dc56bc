"""Compressed soundfonts (SF3) -> plain ones (SF2), which fluidsynth opens in a moment.

SF3 keeps each sample as an Ogg Vorbis file; here all are decoded once.
"""

import io
import struct
from pathlib import Path

import numpy as np
import soundfile

_HEADER = struct.Struct("<20s5IBbHH")  # name, start, end, loop, loop, rate, key, tune, link, type
_COMPRESSED = 0x10
_GAP = 46  # zeros that the format wants after each sample


def convert_sf3(source: Path, target: Path) -> None:
    """Write a soundfont with its samples decoded.

    Args:
        source: An SF3 (or SF2) file.
        target: The SF2 file to write.
    """
    data = source.read_bytes()
    top = _chunks(data, 12, len(data))
    lists = {data[at : at + 4]: (at, size) for _, at, size in top}
    samples_at, samples_size = lists[b"sdta"]
    presets_at, presets_size = lists[b"pdta"]
    inner = _chunks(data, samples_at + 4, samples_at + samples_size)
    smpl_at = next(at for name, at, _ in inner if name == b"smpl")
    pieces: list[bytes] = []
    headers: list[bytes] = []
    position = 0
    parts = _chunks(data, presets_at + 4, presets_at + presets_size)
    shdr_at, shdr_size = next((at, size) for name, at, size in parts if name == b"shdr")
    for at in range(shdr_at, shdr_at + shdr_size, _HEADER.size):
        name, start, end, loop, loop_end, *rest, kind = _HEADER.unpack_from(data, at)
        if kind & _COMPRESSED:
            pcm = _decoded(data[smpl_at + start : smpl_at + end])
        else:
            pcm = data[smpl_at + 2 * start : smpl_at + 2 * end]
            loop, loop_end = loop - start, loop_end - start
        length = len(pcm) // 2
        bounds = (position, position + length, position + loop, position + loop_end)
        headers.append(_HEADER.pack(name, *bounds, *rest, kind & ~_COMPRESSED))
        if length:
            pieces += [pcm, b"\0\0" * _GAP]
            position += length + _GAP
    sdta = b"sdta" + _chunk(b"smpl", b"".join(pieces))
    pdta = b"pdta" + b"".join(
        _chunk(name, b"".join(headers) if name == b"shdr" else data[at : at + size])
        for name, at, size in parts
    )
    info_at, info_size = lists[b"INFO"]
    info = data[info_at : info_at + info_size].replace(
        b"ifil\x04\0\0\0\x03\0", b"ifil\x04\0\0\0\x02\0"
    )
    body = b"sfbk" + b"".join(_chunk(b"LIST", part) for part in (info, sdta, pdta))
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(_chunk(b"RIFF", body))


def _decoded(ogg: bytes) -> bytes:
    audio, _ = soundfile.read(io.BytesIO(ogg), dtype="int16", always_2d=True)
    return np.ascontiguousarray(audio[:, 0]).tobytes()


def _chunks(data: bytes, start: int, end: int) -> list[tuple[bytes, int, int]]:
    """Return (name, offset of the content, size) of the chunks in a stretch of the file."""
    found = []
    while start + 8 <= end:
        size = struct.unpack_from("<I", data, start + 4)[0]
        found.append((data[start : start + 4], start + 8, size))
        start += 8 + size + size % 2
    return found


def _chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)
