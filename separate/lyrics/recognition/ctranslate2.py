"""Convert Whisper weights from CTranslate2's form to OpenAI's, with numpy and torch alone.

The file `model.bin`, little-endian: version, name of the specification, revision, number of
tensors; then each tensor's name, rank, dimensions, type and bytes; then aliases. A name is its
length with the closing zero (two bytes) and the characters. Query, key and value of self-attention
are one matrix, key and value of cross-attention another. Nothing in the file is executed.
"""

import io
import re
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from separate.errors import WeightsError

if TYPE_CHECKING:
    from torch import Tensor

_DTYPES = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}
_SPECIFICATION = "WhisperSpec"
_MOST_TENSORS = 10_000
_MOST_BYTES = 8 << 30
_MODULES = {  # of a block: CTranslate2's name, whisper's
    "self_attention/layer_norm": "attn_ln",
    "self_attention/linear_0": "attn.query+key+value",
    "self_attention/linear_1": "attn.out",
    "attention/layer_norm": "cross_attn_ln",
    "attention/linear_0": "cross_attn.query",
    "attention/linear_1": "cross_attn.key+value",
    "attention/linear_2": "cross_attn.out",
    "ffn/layer_norm": "mlp_ln",
    "ffn/linear_0": "mlp.0",
    "ffn/linear_1": "mlp.2",
}
_WHOLE = {  # outside of the blocks
    "encoder/conv1/weight": "encoder.conv1.weight",
    "encoder/conv1/bias": "encoder.conv1.bias",
    "encoder/conv2/weight": "encoder.conv2.weight",
    "encoder/conv2/bias": "encoder.conv2.bias",
    "encoder/layer_norm/gamma": "encoder.ln_post.weight",
    "encoder/layer_norm/beta": "encoder.ln_post.bias",
    "encoder/position_encodings/encodings": "encoder.positional_embedding",
    "decoder/layer_norm/gamma": "decoder.ln.weight",
    "decoder/layer_norm/beta": "decoder.ln.bias",
    "decoder/position_encodings/encodings": "decoder.positional_embedding",
    "decoder/embeddings/weight": "decoder.token_embedding.weight",
}
_BLOCK = re.compile(r"(encoder|decoder)/layer_(\d+)/(.+)/(weight|bias|gamma|beta)")
_ENDINGS = {"gamma": "weight", "beta": "bias", "weight": "weight", "bias": "bias"}


def convert(name: str, target: Path, *parts: Path) -> None:
    """Write OpenAI's form of a model.

    Args:
        name: Of the model, for messages.
        target: The `.pt` to write.
        *parts: `model.bin`, or its parts in order.

    Raises:
        WeightsError: The parts are no Whisper model in CTranslate2's form.
    """
    import torch

    with _joined(parts) as file:
        try:
            tensors = read_tensors(file)
            state = whisper_state(tensors)
            dims = dimensions(tensors)
        except (struct.error, KeyError, ValueError, IndexError, UnicodeDecodeError) as error:
            raise WeightsError(f"{name}: not Whisper in CTranslate2's form ({error})") from error
    torch.save({"dims": dims, "model_state_dict": state}, target)


@contextmanager
def _joined(parts: Sequence[Path]) -> Iterator[IO[bytes]]:
    if len(parts) == 1:
        with parts[0].open("rb") as file:
            yield file
        return
    yield io.BytesIO(b"".join(part.read_bytes() for part in parts))


def read_tensors(file: IO[bytes]) -> dict[str, np.ndarray]:
    """Read all tensors by name.

    Raises:
        ValueError, struct.error: It is another kind of file, or cut short.
    """
    version, name = _number(file, "I"), _text(file)
    if name != _SPECIFICATION or version < 2:
        raise ValueError(f"specification {name!r}, version {version}")
    _number(file, "I")  # revision
    count = _number(file, "I")
    if count > _MOST_TENSORS:
        raise ValueError(f"{count} tensors")
    tensors = {}
    for _ in range(count):
        key = _text(file)
        shape = tuple(_number(file, "I") for _ in range(_number(file, "B")))
        dtype = np.dtype(_DTYPES[_number(file, "B")])
        size = _number(file, "I")
        if size != int(np.prod(shape, dtype=np.int64)) * dtype.itemsize or size > _MOST_BYTES:
            raise ValueError(f"{key}: {size} bytes for {shape}")
        data = file.read(size)
        if len(data) != size:
            raise ValueError("the file is cut short")
        tensors[key] = np.frombuffer(data, dtype).reshape(shape)
    return tensors


def _number(file: IO[bytes], code: str) -> int:
    return int(struct.unpack(f"<{code}", file.read(struct.calcsize(f"<{code}")))[0])


def _text(file: IO[bytes]) -> str:
    return file.read(_number(file, "H")).decode("ascii").removesuffix("\0")


def whisper_state(tensors: dict[str, np.ndarray]) -> "dict[str, Tensor]":
    """Rename and split tensors into `whisper.model.Whisper`'s state, float16 as published.

    Raises:
        ValueError: One is quantised to integers or unknown.
    """
    state: dict[str, Tensor] = {}
    for key, array in tensors.items():
        if array.ndim == 0 or key.startswith("decoder/alignment_"):
            continue  # settings of CTranslate2
        if array.dtype not in (np.float16, np.float32):
            raise ValueError(f"{key} is {array.dtype}: only float16 and float32 are converted")
        state.update(_renamed(key, array))
    return state


def _renamed(key: str, array: np.ndarray) -> "dict[str, Tensor]":
    import torch

    tensor = torch.from_numpy(array.copy())
    if key in _WHOLE:
        return {_WHOLE[key]: tensor}
    match = _BLOCK.fullmatch(key)
    if match is None or match[3] not in _MODULES:
        raise ValueError(f"unknown tensor {key}")
    ending = _ENDINGS[match[4]]
    path, _, last = _MODULES[match[3]].rpartition(".")
    prefix = f"{match[1]}.blocks.{match[2]}.{path}{'.' if path else ''}"
    names = last.split("+")
    pieces = tensor.chunk(len(names)) if len(names) > 1 else (tensor,)
    return {
        f"{prefix}{name}.{ending}": piece.clone()
        for name, piece in zip(names, pieces, strict=True)
        if not (name == "key" and ending == "bias")  # whisper's keys have none; here it is zero
    }


def dimensions(tensors: dict[str, np.ndarray]) -> dict[str, int]:
    """Read whisper's `ModelDimensions` off the tensors' shapes."""
    blocks = [match for match in map(_BLOCK.fullmatch, tensors) if match is not None]
    layers = {
        side: 1 + max(int(match[2]) for match in blocks if match[1] == side)
        for side in ("encoder", "decoder")
    }
    audio_ctx, audio_state = tensors["encoder/position_encodings/encodings"].shape
    text_ctx, text_state = tensors["decoder/position_encodings/encodings"].shape
    return {
        "n_mels": int(tensors["encoder/conv1/weight"].shape[1]),
        "n_audio_ctx": audio_ctx,
        "n_audio_state": audio_state,
        "n_audio_head": int(tensors["encoder/num_heads"]),
        "n_audio_layer": layers["encoder"],
        "n_vocab": int(tensors["decoder/embeddings/weight"].shape[0]),
        "n_text_ctx": text_ctx,
        "n_text_state": text_state,
        "n_text_head": int(tensors["decoder/num_heads"]),
        "n_text_layer": layers["decoder"],
    }
