"""LAION-CLAP as a query encoder: text and audio through the `laion-clap` package (extra `clap`).

Vectors have unit length and 512 dimensions. The package's own loader downloads without a hash and
unpickles any object in the file; so the checkpoint is fetched by our own code or given by path, and
nothing but tensors and plain numbers is read from it. Its models crop sounds of over 10 s at
random; so audio is cut into pieces first.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from separate.errors import CheckpointError, QueryError, one_line
from separate.files import replacing, sha256_of
from separate.models.torch_file import read_torch_file
from separate.weights.store import cache_dir, fetch

NAMES = {"clap": "clap-630k-audioset", "clap-music": "clap-music-audioset"}  # encoder: weights
SAMPLE_RATE = 48_000  # Hz
PIECE_SAMPLES = 480_000  # longer pieces would be cropped at random
_DIM = 512
_BATCH = 32
_WIDTHS = {96: "HTSAT-tiny", 128: "HTSAT-base"}  # of the audio branch's first layer
_UNUSED = ("text_branch.embeddings.position_ids",)  # in old checkpoints; the model counts itself
# Numbers of numpy, which LAION's checkpoints hold beside the tensors.
_PLAIN = (np.dtype, np.core.multiarray.scalar, *map(type, map(np.dtype, ("f4", "f8", "i8"))))  # type: ignore[attr-defined]


class ClapEncoder:
    """CLAP behind the `QueryEncoder` interface; its vectors are cached."""

    dim = _DIM

    def __init__(self, net: Any, name: str, fingerprint: str) -> None:
        """Take a loaded `laion_clap.CLAP_Module`.

        Args:
            net: The module, in evaluation mode.
            name: Of the encoder.
            fingerprint: Hash of its weights.
        """
        self._net = net
        self.name, self.fingerprint = name, fingerprint
        self._folder = cache_dir() / "embeddings" / fingerprint[:32]

    @torch.no_grad()
    def embed_text(self, phrases: Sequence[str]) -> Tensor:
        """Embed phrases `(n, 512)`, of unit length.

        Raises:
            QueryError: One is empty.
        """
        if any(not phrase.strip() for phrase in phrases):
            raise QueryError("the query is empty; say what to separate")
        keys = [_key(b"text", phrase.encode()) for phrase in phrases]

        def embed(rows: list[int]) -> Tensor:
            # The package squeezes a single phrase into a vector without a batch: give it two.
            asked = [phrases[row] for row in rows]
            vectors: Tensor = self._net.get_text_embedding([*asked, asked[-1]], use_tensor=True)
            return vectors[: len(rows)]

        return self._through_cache(keys, embed)

    def embed_audio(self, waveform: Tensor, sample_rate: int) -> Tensor:
        """Embed sounds `(batch, time)`: `(batch, 512)`; of long ones the mean over their pieces.

        Gradients flow where the waveform asks for them; such sounds are not cached.
        """
        if waveform.requires_grad:
            return self._embed_pieces(waveform, sample_rate)
        keys = [
            _key(b"audio %d" % sample_rate, sound.cpu().numpy().tobytes()) for sound in waveform
        ]
        with torch.no_grad():
            return self._through_cache(
                keys, lambda rows: self._embed_pieces(waveform[rows], sample_rate)
            ).to(waveform.device)

    def _embed_pieces(self, waveform: Tensor, sample_rate: int) -> Tensor:
        if sample_rate != SAMPLE_RATE:
            from separate.models.torchaudio_compat import torchaudio

            waveform = torchaudio.functional.resample(waveform, sample_rate, SAMPLE_RATE)
        pieces = waveform.split(PIECE_SAMPLES, dim=-1)
        if len(pieces) > 1 and pieces[-1].shape[-1] < SAMPLE_RATE:
            pieces = pieces[:-1]  # less than a second: its vector is unreliable
        vectors = [
            self._net.get_audio_embedding_from_data(piece, use_tensor=True) for piece in pieces
        ]
        return functional.normalize(torch.stack(vectors).mean(dim=0), dim=-1)

    def _through_cache(self, keys: Sequence[str], embed: Callable[[list[int]], Tensor]) -> Tensor:
        """Read cached vectors and embed the others in batches."""
        vectors = [_read(self._folder / f"{key}.npy") for key in keys]
        missing = [row for row, vector in enumerate(vectors) if vector is None]
        for first in range(0, len(missing), _BATCH):
            rows = missing[first : first + _BATCH]
            for row, vector in zip(rows, embed(rows).cpu(), strict=True):
                vectors[row] = vector
                _write(vector, self._folder / f"{keys[row]}.npy")
        return torch.stack([vector for vector in vectors if vector is not None])


@torch.random.fork_rng(devices=[])  # loading must not move the generator of a caller
def open_clap(name: str) -> ClapEncoder:
    """Load CLAP.

    Args:
        name: A key of `NAMES`, whose checkpoint is fetched into the cache, or a checkpoint's path.

    Raises:
        QueryError: The package, or the tokenizer that it downloads, is not here.
        WeightsError: The checkpoint can't be fetched.
        CheckpointError: It is missing, damaged, or no CLAP model of a known size.
    """
    package = _package()  # first: without it a download of gigabytes would be in vain
    path = fetch(NAMES[name]) if name in NAMES else Path(name)
    state = _state(path)
    net = _built(package, _size(state, path))
    _load(net.model, state, path)
    return ClapEncoder(net.eval().requires_grad_(False), name, sha256_of(path))


def _package() -> Any:
    """Import `laion_clap`; what it needs of torchaudio is made importable first."""
    from separate.models import torchaudio_compat

    assert torchaudio_compat.torchaudio is not None
    try:
        import laion_clap
    except ModuleNotFoundError as error:
        raise QueryError(
            f"the query net clap needs the extra (no module {error.name!r}):"
            " pip install 'separate-audio[clap]'"
        ) from error
    except Exception as error:  # the package downloads tokenizers when it is imported
        raise _offline(error) from error
    return laion_clap


def _built(package: Any, size: str) -> Any:
    try:
        return package.CLAP_Module(enable_fusion=False, amodel=size, device="cpu")
    except Exception as error:  # it downloads its text encoder when it is built
        raise _offline(error) from error


def _offline(error: Exception) -> QueryError:
    reason = one_line(error)[:120]
    return QueryError(
        "the query net clap can't be opened: laion-clap loads the tokenizers of roberta-base,"
        " bert-base-uncased and facebook/bart-base from the Hugging Face hub the first time; go"
        f" online once, or use --query-net embedded ({type(error).__name__}: {reason})"
    )


def _state(path: Path) -> dict[str, Tensor]:
    """Read a checkpoint's tensors; nothing else in it is executed."""
    content = read_torch_file(path, _PLAIN)
    state = content.get("state_dict", content) if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise CheckpointError(f"{path}: not a checkpoint of LAION-CLAP")
    return {name.removeprefix("module."): tensor for name, tensor in state.items()}


def _size(state: dict[str, Tensor], path: Path) -> str:
    if any(".mel_conv2d." in name for name in state):
        raise CheckpointError(f"{path}: a fusion model; take one without fusion")
    first = state.get("audio_branch.patch_embed.proj.weight")
    size = None if first is None else _WIDTHS.get(first.shape[0])
    if size is None:
        raise CheckpointError(f"{path}: not a checkpoint of LAION-CLAP's HTSAT-tiny or HTSAT-base")
    return size


def _load(model: nn.Module, state: dict[str, Tensor], path: Path) -> None:
    """Load strictly, but for buffers that only old versions had."""
    expected = model.state_dict()
    kept = {n: t for n, t in state.items() if n in expected or n not in _UNUSED}
    try:
        model.load_state_dict(kept, strict=True)
    except RuntimeError as error:
        reason = _last_line(str(error).splitlines())
        raise CheckpointError(f"{path}: not of this version of LAION-CLAP ({reason})") from error


def _last_line(lines: Iterable[str]) -> str:
    return [line.strip() for line in lines if line.strip()][-1][:160]


def _key(*parts: bytes) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def _read(path: Path) -> Tensor | None:
    try:
        vector = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return torch.from_numpy(vector) if vector.shape == (_DIM,) else None


def _write(vector: Tensor, path: Path) -> None:
    with suppress(OSError), replacing(path) as temporary, temporary.open("wb") as file:
        np.save(file, vector.numpy())  # a cache that can't be written is none
