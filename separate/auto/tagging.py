"""Tags: which of AudioSet's classes sound in a file, how likely, and when.

A tagger gives likelihoods of the 527 classes in each block of two seconds. There are two: the one
that ships (the query net's audio tower), and EfficientAT's checkpoints by name or path.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from separate.audio import AudioReader, resample, to_mono
from separate.errors import SettingsError
from separate.queries import vocabulary
from separate.queries.encoders import load_encoder

BLOCK_SECONDS = 2.0  # as USS tags
THRESHOLD = 0.2  # USS's: a class that is likelier sounds
SHIPPED = "embedded"
_SAMPLE_RATE = 32_000  # Hz, of both taggers
_SILENT_PEAK = 1e-3  # a block that stays below (-60 dBFS) holds nothing
_LEVEL = 0.5  # peak to which each block is scaled for EfficientAT
_SHORTEST_SAMPLES = 64  # what is shorter is followed by silence


class Tagger(Protocol):
    """What tags."""

    name: str

    def likelihoods(self, waveform: Tensor) -> Tensor:
        """Map mono waveforms `(batch, time)` at 32 kHz to likelihoods `(batch, 527)`."""
        ...


class ShippedTagger:
    """The audio tower of the embedded query net, which was taught by EfficientAT."""

    name = SHIPPED

    def __init__(self) -> None:
        self._encoder = load_encoder("embedded")

    def likelihoods(self, waveform: Tensor) -> Tensor:
        """See `Tagger`; the tower does not depend on the level."""
        likelihoods: Tensor = self._encoder.embed_and_tag(waveform, _SAMPLE_RATE)[1]  # type: ignore[attr-defined]
        return likelihoods


class EfficientAt:
    """One of EfficientAT's MobileNets."""

    def __init__(self, path: Path) -> None:
        """Load a checkpoint.

        Raises:
            CheckpointError: It is missing, damaged, or of another network.
        """
        from separate.models.tagger import load_efficientat

        self.name = path.stem
        self._net = load_efficientat(path)

    def likelihoods(self, waveform: Tensor) -> Tensor:
        """See `Tagger`; each waveform is brought to one level first."""
        peak = waveform.abs().amax(dim=1, keepdim=True).clamp_min(_SILENT_PEAK)
        logits: Tensor = self._net(waveform * (_LEVEL / peak))[0]
        return logits.sigmoid()


def open_tagger(name: str | None = None) -> Tagger:
    """Load a tagger.

    Args:
        name: "embedded" (or None) for the one that ships, the name of foreign weights that are
            fetched into the cache (`efficientat-mn04`), or the path of a `.pt` file.

    Raises:
        SettingsError: There is no tagger of that name.
        WeightsError: It can't be fetched.
        CheckpointError: It is damaged, or of another network.
    """
    if name in (None, SHIPPED):
        return ShippedTagger()
    assert name is not None
    if name.endswith(".pt") or Path(name).is_file():
        return EfficientAt(Path(name))
    from separate.weights.store import PRETRAINED, fetch

    known = [key for key in PRETRAINED if key.startswith("efficientat-")]
    if name not in known:
        raise SettingsError(
            f"--tagger {name!r}: take one of {SHIPPED}, {', '.join(known)}, or the path of an"
            " EfficientAT .pt file"
        )
    return EfficientAt(fetch(name))


@dataclass(frozen=True)
class TagLikelihoods:
    """Likelihoods of all classes in each block of a file."""

    likelihoods: np.ndarray  # (blocks, 527) float32, 0..1
    start_seconds: float  # of the first block in the file
    seconds: float  # tagged length; the last block may be shorter than the others

    def span(self, first: int, last: int) -> tuple[float, float]:
        """Return start and end of blocks `first..last`, in seconds of the file."""
        end = min((last + 1) * BLOCK_SECONDS, self.seconds)
        return self.start_seconds + first * BLOCK_SECONDS, self.start_seconds + end


@dataclass(frozen=True)
class Tag:
    """A class that sounds."""

    name: str  # one of AudioSet's, or of our labels
    likelihood: float  # of its likeliest block, 0..1
    spans: tuple[tuple[float, float], ...]  # seconds from..to


@torch.inference_mode()
def tag_file(
    path: str | Path,
    tagger: Tagger,
    *,
    start_seconds: float = 0.0,
    end_seconds: float | None = None,
    stream: int = 0,
    on_progress: Callable[[float], None] | None = None,
) -> TagLikelihoods:
    """Tag a file block by block; memory grows by 527 numbers a block.

    Args:
        path: The file.
        tagger: Loaded.
        start_seconds: What lies before is not heard.
        end_seconds: What lies behind is not heard; None: the end.
        stream: Which audio stream of the file, from 0.
        on_progress: Called with the part done, 0..1; what it raises ends the tagging.

    Returns:
        Likelihoods; zero in blocks that are silent.

    Raises:
        InputError: The file can't be read.
    """
    rows = []
    samples = 0
    reader = AudioReader(path, start_seconds=start_seconds, end_seconds=end_seconds, stream=stream)
    with reader:
        rate = reader.info.sample_rate
        for block in reader.blocks(max(1, round(BLOCK_SECONDS * rate))):
            samples += block.shape[1]
            rows.append(_tag_block(to_mono(block)[None], rate, tagger))
            if on_progress is not None and reader.samples:
                on_progress(min(1.0, samples / reader.samples))
    return TagLikelihoods(np.stack(rows), start_seconds, samples / rate)


def _tag_block(mono: np.ndarray, rate: int, tagger: Tagger) -> np.ndarray:
    """Tag `(1, time)`: `(527,)`."""
    if np.abs(mono).max(initial=0.0) < _SILENT_PEAK:
        return np.zeros(len(vocabulary.audioset_classes()), np.float32)
    at_rate = mono if rate == _SAMPLE_RATE else resample(mono, rate, _SAMPLE_RATE)
    short = max(0, _SHORTEST_SAMPLES - at_rate.shape[1])
    waveform = torch.from_numpy(np.pad(at_rate, ((0, 0), (0, short))))
    found: np.ndarray = tagger.likelihoods(waveform)[0].float().numpy()
    return found


def tags_of(
    track: TagLikelihoods, threshold: float = THRESHOLD, most: int | None = None
) -> list[Tag]:
    """List the classes that sound, likeliest first.

    Args:
        track: Likelihoods of the file.
        threshold: A class sounds in the blocks where it is at least so likely, 0..1.
        most: At most so many; None: all.
    """
    best = track.likelihoods.max(axis=0)
    names = vocabulary.audioset_classes()
    order = [int(row) for row in np.argsort(-best, kind="stable") if best[row] >= threshold]
    return [
        Tag(names[row], round(float(best[row]), 3), spans_of(track, row, threshold))
        for row in order[:most]
    ]


def spans_of(track: TagLikelihoods, row: int, threshold: float) -> tuple[tuple[float, float], ...]:
    """Return when a class (its row of 0..526) sounds."""
    return join_blocks(track, track.likelihoods[:, row] >= threshold)


def join_blocks(track: TagLikelihoods, active: np.ndarray) -> tuple[tuple[float, float], ...]:
    """Join neighbouring blocks in which something sounds.

    Args:
        track: The likelihoods, for the times of the blocks.
        active: `(blocks,)` bool.

    Returns:
        Seconds from..to of each run.
    """
    edges = np.flatnonzero(np.diff(np.pad(active.astype(np.int8), 1)))
    return tuple(
        track.span(int(first), int(after) - 1)
        for first, after in zip(edges[::2], edges[1::2], strict=True)
    )


def as_labels(tags: Sequence[Tag]) -> str:
    """Return a label track of Audacity: a line `start<TAB>end<TAB>name` a span, in time order."""
    lines = sorted((start, end, tag.name) for tag in tags for start, end in tag.spans)
    return "".join(f"{start:.6f}\t{end:.6f}\t{name}\n" for start, end, name in lines)
