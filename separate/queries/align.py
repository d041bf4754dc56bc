"""Alignment: map another encoder's vectors into the space that a separator was trained with.

Both encoders embed the same phrases (our labels' captions and the names of AudioSet's ontology); a
ridge regression maps one onto the other. It is scored on phrases that were held out, and a poor fit
is refused. The fit is kept in the user's cache under a fingerprint of both encoders and of the
phrases; where the cache can't be written, the fit is computed again (seconds).
"""

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from separate.errors import QueryError
from separate.files import replacing
from separate.queries import vocabulary
from separate.queries.base import QueryEncoder
from separate.weights.store import cache_dir

LEAST_COSINE = 0.6  # of held-out phrases, in the mean
LEAST_RETRIEVAL = 0.5
_HELD_OUT = 7  # one of so many phrases is held out
_RIDGES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # against the mean square of the source's dimensions
_BATCH = 128
_VERSION = 1


@dataclass(frozen=True)
class Alignment:
    """An affine map from one space into another, and how well it fits."""

    matrix: Tensor  # (source dim + 1, dim); the last row is the offset
    cosine: float  # of mapped and true vectors of held-out phrases, mean
    retrieval: float  # share of those whose nearest true vector means the same
    held_out: int  # phrases

    def __call__(self, vectors: Tensor) -> Tensor:
        """Map `(n, source dim)` to `(n, dim)`, of unit length; gradients flow."""
        matrix = self.matrix.to(vectors.device)
        return functional.normalize(vectors @ matrix[:-1] + matrix[-1], dim=-1)

    @property
    def is_good(self) -> bool:
        """Whether the fit is good enough for queries."""
        return self.cosine >= LEAST_COSINE and self.retrieval >= LEAST_RETRIEVAL


class AlignedEncoder:
    """Embeds with one encoder into another's space."""

    def __init__(self, source: QueryEncoder, native: QueryEncoder, alignment: Alignment) -> None:
        self.source, self.alignment = source, alignment
        self.name, self.dim = source.name, native.dim
        self.space = native.name
        self.fingerprint = f"{source.fingerprint}>{native.fingerprint}"

    def embed_text(self, phrases: Sequence[str]) -> Tensor:
        """See `QueryEncoder`."""
        return self.alignment(self.source.embed_text(phrases))

    def embed_audio(self, waveform: Tensor, sample_rate: int) -> Tensor:
        """See `QueryEncoder`."""
        return self.alignment(self.source.embed_audio(waveform, sample_rate))


def aligned(source: QueryEncoder, native: QueryEncoder) -> AlignedEncoder:
    """Align an encoder with another one, from the cache where that is possible.

    Raises:
        QueryError: The fit is too poor for queries to keep their meaning.
    """
    path = _cached_at(source, native)
    alignment = _read(path)
    if alignment is None:
        alignment = fit_alignment(source, native)
        _write(alignment, path)
    if not alignment.is_good:
        raise QueryError(
            f"the query net {source.name!r} does not fit this separator: of phrases that were held"
            f" out the mean cosine is {alignment.cosine:.2f} (needed: {LEAST_COSINE}) and"
            f" {alignment.retrieval:.0%} are recognised (needed: {LEAST_RETRIEVAL:.0%}); use"
            f" --query-net {native.name}"
        )
    return AlignedEncoder(source, native, alignment)


def phrases() -> dict[str, str]:
    """Return what both encoders embed: each phrase with the label or class that it means."""
    found = {
        caption: label.name for label in vocabulary.labels().values() for caption in label.captions
    }
    for name in vocabulary.audioset_parents():
        found.setdefault(vocabulary.spoken(name), name)
    return found


@torch.no_grad()
def fit_alignment(source: QueryEncoder, native: QueryEncoder) -> Alignment:
    """Fit the map; its scores are of phrases that it was not fitted on.

    Args:
        source: Whose vectors are mapped.
        native: Into whose space.
    """
    meanings = phrases()
    texts = list(meanings)
    inputs = _with_one(_embed(source, texts))
    targets = _embed(native, texts)
    order = torch.randperm(len(texts), generator=torch.Generator().manual_seed(0))
    held_out = order[: len(texts) // _HELD_OUT]
    tuned, rest = order[len(held_out) : 2 * len(held_out)], order[2 * len(held_out) :]
    ridge = max(
        _RIDGES,
        key=lambda value: _cosines(
            inputs[tuned] @ _solve(inputs[rest], targets[rest], value), targets[tuned]
        ),
    )
    known = torch.cat([tuned, rest])
    tested = inputs[held_out] @ _solve(inputs[known], targets[known], ridge)
    groups = [meanings[texts[row]] for row in held_out.tolist()]
    nearest = (functional.normalize(tested, dim=1) @ targets[held_out].T).argmax(dim=1).tolist()
    right = [groups[row] == groups[found] for row, found in enumerate(nearest)]
    return Alignment(
        _solve(inputs, targets, ridge).float(),
        round(_cosines(tested, targets[held_out]), 4),
        round(sum(right) / len(right), 4),
        len(right),
    )


def _embed(encoder: QueryEncoder, texts: list[str]) -> Tensor:
    parts = [encoder.embed_text(texts[i : i + _BATCH]) for i in range(0, len(texts), _BATCH)]
    return torch.cat(parts).double()


def _with_one(vectors: Tensor) -> Tensor:
    return torch.cat([vectors, torch.ones_like(vectors[:, :1])], dim=1)


def _solve(inputs: Tensor, targets: Tensor, ridge: float) -> Tensor:
    """Ridge regression; the offset, the last row, is not penalised."""
    gram = inputs.T @ inputs
    penalty = torch.full((len(gram),), ridge * float(gram.diagonal()[:-1].mean()))
    penalty[-1] = 1e-9
    return torch.linalg.solve(gram + penalty.double().diag(), inputs.T @ targets)


def _cosines(mapped: Tensor, targets: Tensor) -> float:
    return float(functional.cosine_similarity(mapped, targets, dim=1).mean())


def _cached_at(source: QueryEncoder, native: QueryEncoder) -> Path:
    """Return where a fit is kept: both encoders and all phrases decide the name."""
    parts = [_VERSION, source.fingerprint, native.fingerprint, phrases()]
    key = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]
    return cache_dir() / "alignments" / f"{key}.safetensors"


def _read(path: Path) -> Alignment | None:
    """Read a fit; None where there is none, or a damaged one."""
    try:
        with safe_open(path, "pt") as file:
            facts = file.metadata()
            return Alignment(
                file.get_tensor("matrix"),
                float(facts["cosine"]),
                float(facts["retrieval"]),
                int(facts["held_out"]),
            )
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return None


def _write(alignment: Alignment, path: Path) -> None:
    facts = {name: str(getattr(alignment, name)) for name in ("cosine", "retrieval", "held_out")}
    with suppress(OSError, SafetensorError), replacing(path) as temporary:
        save_file({"matrix": alignment.matrix.contiguous()}, temporary, metadata=facts)
