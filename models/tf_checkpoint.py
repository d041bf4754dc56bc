"""Reads TensorFlow V2 checkpoints with numpy alone.

In: the two files `<prefix>.index` and `<prefix>.data-00000-of-00001`. Out: arrays by variable name.

The index is an uncompressed LevelDB table: a footer points to the index block, whose entries point
to the data blocks; keys are prefix-compressed. Each value is a `BundleEntryProto` with the
place of a tensor's bytes in the data file. Nothing is executed.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from separate.models.errors import CheckpointError

_MAGIC = 0xDB4775248B80FB57  # little-endian bytes 57 fb 80 8b 24 75 47 db
_FOOTER_BYTES = 48
_DTYPES: dict[int, np.dtype[Any]] = {
    1: np.dtype("<f4"),
    2: np.dtype("<f8"),
    3: np.dtype("<i4"),
    9: np.dtype("<i8"),
}


def read_checkpoint(index_path: Path, data_path: Path) -> dict[str, np.ndarray]:
    """Read every numeric tensor of a checkpoint.

    Args:
        index_path: The `.index` file.
        data_path: The single shard `.data-00000-of-00001`.

    Returns:
        Arrays by variable name, in the shapes that TensorFlow stored.

    Raises:
        CheckpointError: The files are no such checkpoint, or end too early.
    """
    data = Path(data_path).read_bytes()
    tensors: dict[str, np.ndarray] = {}
    for key, value in read_table(Path(index_path)):
        if not key:  # the header entry
            continue
        dtype_code, shape, offset, size = _bundle_entry(value)
        dtype = _DTYPES.get(dtype_code)
        if dtype is None:  # strings and the like: not weights
            continue
        if offset + size > len(data):
            raise CheckpointError(f"{data_path}: ends before tensor {key!r}; fetch it again")
        tensors[key] = np.frombuffer(data[offset : offset + size], dtype=dtype).reshape(shape)
    if not tensors:
        raise CheckpointError(f"{index_path}: holds no tensors; is it a TensorFlow checkpoint?")
    return tensors


def read_table(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the (key, value) pairs of an uncompressed LevelDB table.

    Args:
        path: The table file.

    Raises:
        CheckpointError: It does not end in the table's magic number, or is compressed or damaged.
    """
    raw = path.read_bytes()
    if len(raw) < _FOOTER_BYTES or struct.unpack("<Q", raw[-8:])[0] != _MAGIC:
        raise CheckpointError(f"{path}: not the index of a TensorFlow checkpoint; fetch it again")
    try:
        footer = raw[-_FOOTER_BYTES:]
        _, position = _varint(footer, 0)  # the metaindex block's offset and size: not needed
        _, position = _varint(footer, position)
        index_offset, position = _varint(footer, position)
        index_size, _ = _varint(footer, position)
        for _, handle in _block(raw, index_offset, index_size):
            offset, position = _varint(handle, 0)
            size, _ = _varint(handle, position)
            for key, value in _block(raw, offset, size):
                yield key.decode(), value
    except (IndexError, struct.error, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path}: a damaged checkpoint index; fetch it again") from error


def _block(raw: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    if raw[offset + size] != 0:
        raise CheckpointError("a compressed checkpoint index is not supported; fetch it again")
    block = raw[offset : offset + size]
    restarts = struct.unpack("<I", block[-4:])[0]
    end = len(block) - 4 * (restarts + 1)
    position, key = 0, b""
    while position < end:
        shared, position = _varint(block, position)
        unshared, position = _varint(block, position)
        length, position = _varint(block, position)
        key = key[:shared] + block[position : position + unshared]
        position += unshared
        yield key, block[position : position + length]
        position += length


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield (field number, value) of a protocol-buffer message."""
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            value, position = _varint(data, position)
            yield number, value
        elif wire == 2:
            length, position = _varint(data, position)
            yield number, data[position : position + length]
            position += length
        else:  # 32- or 64-bit fields: the checksum, not needed
            position += 4 if wire == 5 else 8


def _bundle_entry(value: bytes) -> tuple[int, tuple[int, ...], int, int]:
    """Return (dtype code, shape, offset, size) of a BundleEntryProto."""
    dtype = offset = size = 0
    shape: list[int] = []
    for number, field in _fields(value):
        if number == 1:
            dtype = int(field)
        elif number == 2 and isinstance(field, bytes):
            for _, dim in _fields(field):
                sizes = dict(_fields(dim)) if isinstance(dim, bytes) else {}
                shape.append(int(sizes.get(1, 0)))
        elif number == 4:
            offset = int(field)
        elif number == 5:
            size = int(field)
    return dtype, tuple(shape), offset, size
