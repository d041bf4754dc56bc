"""Find the sources of a file: labels with likelihoods and times, likeliest first.

A tagger alone finds "music" and little else in a mixture. So pieces spread over the file are
separated for the stems of music and for the labels nearest to them, and each estimate is scored
by the presence rule (`separate.queries.presence`). The work does not grow with the length.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from separate.audio import AudioInfo, AudioReader, to_mono
from separate.queries import vocabulary
from separate.queries.encoders import load_encoder
from separate.separator import Separator

PIECES = 16
PIECE_SECONDS = 3.0
LEAST_PRESENCE = 0.3  # what is less likely is not listed
_ALWAYS = ("vocals", "drums", "bass")
_CANDIDATES = 8  # further labels, the nearest
_TOO_WIDE = ("music", "other", "accompaniment", "silence", "noise")
_SILENT_DB = -60.0  # a piece below is silent
_AUDIBLE_DB = -20.0  # an estimate so far below its piece counts as inaudible


@dataclass(frozen=True)
class FoundSource:
    """A source that is present."""

    name: str  # a label of the vocabulary
    likelihood: float  # 0..1
    spans: tuple[tuple[float, float], ...]  # seconds from..to, as fine as the pieces are spaced


def find_sources(
    separator: Separator,
    path: str | Path,
    *,
    end_seconds: float | None = None,
    stream: int = 0,
    on_progress: Callable[[float], None] | None = None,
) -> list[FoundSource]:
    """List the sources of a file.

    Args:
        separator: A separator that accepts any query.
        path: The file.
        end_seconds: What lies behind is not listened to.
        stream: Which audio stream of the file, from 0.
        on_progress: Called with the part done, 0..1; what it raises ends the search.

    Returns:
        The sources, likeliest first; none for silence.

    Raises:
        InputError: The file cannot be read.
    """
    report = on_progress or (lambda part: None)
    pieces, places, info = _read_pieces(path, end_seconds, stream)
    report(0.1)
    levels = np.array([_power(piece) for piece in pieces])
    if 10 * np.log10(levels.max() + 1e-12) < _SILENT_DB:
        return []
    names = [*_ALWAYS, *_alike(pieces, info.sample_rate)]
    total = sum(piece.shape[1] for piece in pieces)
    separated = separator.stream(
        iter(pieces),
        info.sample_rate,
        info.channels,
        names,
        lambda done: report(0.15 + 0.85 * min(1.0, done / total)),
        channel_mask=info.channel_mask,
    )
    estimates = np.concatenate([block.estimates for block in separated], axis=-1)
    cuts = np.cumsum([piece.shape[1] for piece in pieces])[:-1]
    parts = np.split(estimates, cuts, axis=-1)  # (stems, channels, time) a piece
    powers = np.array([np.square(part).mean(axis=(1, 2)) for part in parts])  # (pieces, stems)
    found = []
    for number, (name, likelihood) in enumerate(separated.presence.items()):
        level_db = 10 * np.log10((powers[:, number] + 1e-12) / (levels + 1e-9))
        is_audible = (level_db > _AUDIBLE_DB) & (10 * np.log10(levels + 1e-12) > _SILENT_DB)
        if likelihood >= LEAST_PRESENCE and is_audible.any():
            found.append(FoundSource(name, round(likelihood, 3), _spans(is_audible, places)))
    return _without_doubles(sorted(found, key=lambda source: -source.likelihood))


def _without_doubles(found: Sequence[FoundSource]) -> list[FoundSource]:
    """Keep of each stem's family the stem itself and one finer label that is likelier."""
    kept: list[FoundSource] = []
    for source in found:
        stem = vocabulary.labels()[source.name].stem
        family = [other for other in kept if vocabulary.labels()[other.name].stem == stem]
        if stem not in _ALWAYS or source.name == stem or not family:
            kept.append(source)
    return kept


def _power(piece: np.ndarray) -> float:
    return float(np.square(piece).mean())


def _read_pieces(
    path: str | Path, end_seconds: float | None, stream: int
) -> tuple[list[np.ndarray], list[tuple[float, float]], AudioInfo]:
    """Read pieces spread evenly over a file, in one pass.

    Returns:
        Pieces `(channels, time)`, the time span (from, to) that each stands for, and the header.
    """
    with AudioReader(path, end_seconds=end_seconds, stream=stream) as reader:
        sample_rate = reader.info.sample_rate
        length = max(1, int(PIECE_SECONDS * sample_rate))
        kept: list[tuple[int, np.ndarray]] = []
        every, samples = 1, 0
        for number, block in enumerate(reader.blocks(length)):
            samples += block.shape[1]
            if number % every == 0:
                kept.append((number, block))
            if len(kept) == 2 * PIECES:  # a bound on memory for any length
                kept, every = kept[::2], 2 * every
    chosen = kept[:: max(1, round(len(kept) / PIECES))]
    starts = [first * PIECE_SECONDS for first, _ in chosen]
    places = list(zip(starts, [*starts[1:], samples / sample_rate], strict=True))
    return [block for _, block in chosen], places, reader.info


@torch.inference_mode()
def _alike(pieces: Sequence[np.ndarray], sample_rate: int) -> list[str]:
    """Return the labels whose vectors are nearest to any of the pieces."""
    encoder = load_encoder("embedded")
    labels = [name for name in vocabulary.labels() if name not in _TOO_WIDE and name not in _ALWAYS]
    sounds = [
        encoder.embed_audio(torch.from_numpy(to_mono(piece))[None], sample_rate)[0]
        for piece in pieces
        if piece.shape[1] >= sample_rate // 4
    ]
    if not sounds:
        return []
    likeness = (torch.stack(sounds) @ encoder.embed_text(labels).T).amax(dim=0)
    return [labels[index] for index in likeness.argsort(descending=True)[:_CANDIDATES]]


def _spans(
    is_audible: np.ndarray, places: Sequence[tuple[float, float]]
) -> tuple[tuple[float, float], ...]:
    """Join neighbouring stretches in which a source is audible."""
    spans: list[tuple[float, float]] = []
    for audible, (start, end) in zip(is_audible, places, strict=True):
        if audible and spans and spans[-1][1] == start:
            spans[-1] = (spans[-1][0], end)
        elif audible:
            spans.append((start, end))
    return tuple(spans)
