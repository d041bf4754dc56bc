"""The TensorFlow reader and the exact U-Net, on a checkpoint that the test writes itself."""

import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from separate.models.errors import CheckpointError
from separate.models.spleeter import (
    Spleeter,
    SpleeterConfig,
    SpleeterUNet,
    convert,
    from_variables,
    published_config,
    wiener_mask,
)
from separate.models.tf_checkpoint import read_checkpoint


def varint(value: int) -> bytes:
    out = b""
    while value >= 0x80:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def entry(shape: tuple[int, ...], offset: int, size: int) -> bytes:
    dims = b"".join(
        b"\x12" + varint(len(dim)) + dim for dim in (b"\x08" + varint(n) for n in shape)
    )
    return (
        b"\x08\x01"
        + b"\x12"
        + varint(len(dims))
        + dims
        + b"\x20"
        + varint(offset)
        + b"\x28"
        + varint(size)
        + b"\x35\x00\x00\x00\x00"  # the checksum, a 32-bit field
    )


def block(items: list[tuple[bytes, bytes]]) -> bytes:
    out, previous = b"", b""
    for key, value in items:
        shared = 0
        while shared < min(len(key), len(previous)) and key[shared] == previous[shared]:
            shared += 1
        out += (
            varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        )
        previous = key
    return out + struct.pack("<II", 0, 1)


def write_checkpoint(folder: Path, variables: dict[str, np.ndarray]) -> tuple[Path, Path]:
    data, items = b"", [(b"", b"\x08\x01")]
    for name in sorted(variables):
        raw = variables[name].astype("<f4").tobytes()
        items.append((name.encode(), entry(variables[name].shape, len(data), len(raw))))
        data += raw
    table = block(items)
    handle = varint(0) + varint(len(table))
    table += b"\x00" + b"\x00" * 4
    index_block = block([(b"~", handle)])
    index_offset = len(table)
    table += index_block + b"\x00" * 5
    footer = varint(0) + varint(0) + varint(index_offset) + varint(len(index_block))
    footer = footer.ljust(40, b"\x00") + bytes.fromhex("57fb808b247547db")
    index, shard = folder / "model.index", folder / "model.data-00000-of-00001"
    index.write_bytes(table + footer)
    shard.write_bytes(data)
    return index, shard


def tf_variables(config: SpleeterConfig) -> dict[str, np.ndarray]:
    """Variables under TensorFlow's names whose values tell them apart."""
    rng = np.random.default_rng(0)
    variables: dict[str, np.ndarray] = {}

    def add(name: str, *shape: int) -> None:
        variables[name] = rng.normal(size=shape).astype(np.float32) * 0.05

    def numbered(base: str, n: int) -> str:
        return base if n == 0 else f"{base}_{n}"

    down, up = (2, 16, 32, 64, 128, 256, 512), (256, 128, 64, 32, 16, 1)
    into = (512, 512, 256, 128, 64, 32)
    for i in range(len(config.stems)):
        for level in range(6):
            name = numbered("conv2d", 7 * i + level)
            add(f"{name}/kernel", 5, 5, down[level], down[level + 1])
            add(f"{name}/bias", down[level + 1])
            name = numbered("conv2d_transpose", 6 * i + level)
            add(f"{name}/kernel", 5, 5, up[level], into[level])
            add(f"{name}/bias", up[level])
        add(f"{numbered('conv2d', 7 * i + 6)}/kernel", 4, 4, 1, 2)
        add(f"{numbered('conv2d', 7 * i + 6)}/bias", 2)
        for level, width in enumerate((*down[1:], *up)):
            name = numbered("batch_normalization", 12 * i + level)
            for part in ("gamma", "beta", "moving_mean", "moving_variance"):
                add(f"{name}/{part}", width)
            variables[f"{name}/moving_variance"] = np.abs(variables[f"{name}/moving_variance"]) + 1
    return variables


def test_reader_returns_what_was_written(tmp_path: Path) -> None:
    written = {"a/kernel": np.arange(6.0).reshape(2, 3), "a/bias": np.ones(3), "b": np.zeros(1)}
    read = read_checkpoint(*write_checkpoint(tmp_path, written))
    assert set(read) == set(written)
    for name, value in written.items():
        np.testing.assert_array_equal(read[name], value.astype(np.float32))


def test_reader_refuses_other_files(tmp_path: Path) -> None:
    index, shard = write_checkpoint(tmp_path, {"a": np.ones(4)})
    whole = index.read_bytes()
    for damaged in (b"", b"hello", whole[:-1], b"\xff" * len(whole[:-48]) + whole[-48:]):
        index.write_bytes(damaged)
        with pytest.raises(CheckpointError):
            read_checkpoint(index, shard)
    index.write_bytes(whole)
    shard.write_bytes(b"\x00")
    with pytest.raises(CheckpointError, match="ends before"):
        read_checkpoint(index, shard)


@pytest.mark.parametrize("name", ["spleeter-2stems", "spleeter-4stems", "spleeter-5stems"])
def test_convert_loads_strictly_and_masks(tmp_path: Path, name: str) -> None:
    config = published_config(name)
    paths = write_checkpoint(tmp_path, tf_variables(config))
    state, plain = convert(name, *paths)
    assert plain["stems"] == config.stems
    model = Spleeter(config).eval()
    model.load_state_dict(state)
    magnitude = torch.rand(1, 2, 64, 1024, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        estimates = model(magnitude)
    assert estimates.shape == (1, len(config.stems), 2, 64, 1024)
    assert (estimates >= 0).all() and (estimates <= magnitude[:, None] + 1e-6).all()
    if config.softmax:
        torch.testing.assert_close(estimates.sum(1), magnitude, atol=1e-4, rtol=1e-4)


def test_missing_variable_is_named(tmp_path: Path) -> None:
    variables = tf_variables(published_config("spleeter-2stems"))
    del variables["conv2d_3/kernel"]
    with pytest.raises(CheckpointError, match="conv2d_3/kernel"):
        convert("spleeter-2stems", *write_checkpoint(tmp_path, variables))


def test_same_padding_is_tensorflows() -> None:
    """Stride 2 pads 1 before and 2 after; the transposed convolution cuts 1 before, 2 after."""
    config = SpleeterConfig(("one",))
    net = SpleeterUNet()
    state = from_variables(tf_variables(config), config)
    net.load_state_dict({k.removeprefix("nets.one."): v for k, v in state.items()})
    kernel = tf_variables(config)["conv2d/kernel"]
    image = np.zeros((64, 1024, 2), dtype=np.float32)
    image[10, 21] = (1.0, 2.0)
    out = net.encoder.convs[0](torch.from_numpy(image).permute(2, 0, 1)[None])[0]
    # Output (r, c) sees input 2r - 1 + i, 2c - 1 + j with tap (i, j).
    bias = torch.from_numpy(tf_variables(config)["conv2d/bias"])
    expected = torch.from_numpy(kernel[10 - 2 * 5 + 1, 21 - 2 * 10 + 1].T @ np.array([1.0, 2.0]))
    torch.testing.assert_close(out[:, 5, 10] - bias, expected.float(), atol=1e-5, rtol=1e-5)


def test_wiener_mask_by_hand() -> None:
    mask = wiener_mask(torch.tensor([3.0, 0.0, 1.0]), torch.tensor([4.0, 0.0, 0.0]))
    torch.testing.assert_close(mask, torch.tensor([9 / 25, 0.0, 1.0]))
