"""Presence: the likelihood that a query's source is in the mixture at all.

The estimate of an absent source is quiet, or resembles another source. So the loudest segments of
each estimate are embedded, and the mixture where the estimate is loudest; a logistic regression of
these features (`Clues`) gives the likelihood. Its weights are in `queries/presence.json`; `python
-m separate.train.query_net presence` fits them on mixtures of held-out sounds. Memory does not grow
with length.
"""

import heapq
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from separate.audio import to_mono
from separate.errors import QueryError
from separate.queries import vocabulary
from separate.queries.base import QueryEncoder
from separate.queries.query import Query, embed_query, nearest_label

NOT_FOUND = 0.1  # below this presence a source was not found
ABSENT_GAIN = 10 ** (-30 / 20)  # of the estimate of a source that was not found
RULE_PATH = Path(__file__).with_name("presence.json")
_LOUDEST = 2  # segments of an estimate that are embedded
_SECONDS = 10  # of each
_SILENCE_DB = -70.0  # an estimate this far below the mixture is nothing
_KIN = 0.6  # labels nearer to a query are taken as the same source (cosine)
_NEAR_CLASS = 0.5  # AudioSet classes nearer to a query are used for it (cosine)
_SHARPNESS = 0.05  # of the average over near classes
_KIT = ("kick", "snare", "hi-hat", "cymbals", "toms")  # parts of every drum kit
_NO_SOURCES = ("music", "silence")  # labels that are no sources
_ENERGY_ALONE_DB = -25.0  # likelihood one half, for an encoder without an audio tower
_ENERGY_ALONE_WEIGHT = 0.2  # per dB

_Sound = tuple[Tensor, Tensor | None]  # its vector (dim,), likelihoods of the classes (527,)


@dataclass(frozen=True)
class Clues:
    """Features of one query's estimate."""

    similarity: float  # cosine of the estimate's sound to the query, its best segment
    lead: float  # that cosine less the one to the nearest label of another source
    tags: float  # logit of the likelihood of the AudioSet classes near the query; 0: not known
    mixture_similarity: float  # cosine of the mixture's sound to the query
    mixture_tags: float  # as `tags`, of the mixture
    energy_db: float  # of the estimate against the mixture


@dataclass(frozen=True, order=True)
class _Segment:
    energy: float  # of the estimate
    number: int  # in the stream: no two segments compare equal
    estimate: np.ndarray = field(compare=False)  # (time,), mono
    mixture: np.ndarray = field(compare=False)  # (time,), mono


@dataclass
class _Collected:
    energy: float = 0.0
    loudest: list[_Segment] = field(default_factory=list)  # a heap


def judged_as(encoder: QueryEncoder, query: Query, broader: str | None) -> Query:
    """Return the query by which an estimate is judged.

    Args:
        encoder: The query net.
        query: What is asked for.
        broader: The label that is separated instead, see `SourceModel.answered_as`.

    Returns:
        The broader label, where the query names a kind of it ("rapping" of "vocals"): its estimate
        has all kinds. For a part of a drum kit the kit: the tower knows a kit better than its
        parts, and a kit has them all. Else the query.
    """
    if not query.text or query.like:
        return query
    line = list(vocabulary.ancestors(nearest_label(encoder, embed_query(encoder, query)[0])))
    if broader is not None and broader in line:
        return Query(broader, (broader,))
    return Query("drums", ("drums",)) if line[0] in _KIT else query


class PresenceMeter:
    """Collects the energy and the loudest segments of each query's estimate in a stream."""

    def __init__(self, encoder: QueryEncoder, queries: Sequence[Query], sample_rate: int) -> None:
        """Begin.

        Args:
            encoder: The query net; without an audio tower, energies alone are used.
            queries: What is separated.
            sample_rate: Of the segments, in Hz.
        """
        self._encoder = encoder
        self._vectors = [embed_query(encoder, query)[0] for query in queries]
        self._sample_rate = sample_rate
        self._collected = [_Collected() for _ in queries]
        self._mixture_energy = 0.0
        self._segments = 0
        self._answer: list[float] | None = None

    def update(self, mixture: np.ndarray, outputs: np.ndarray) -> None:
        """Add one segment.

        Args:
            mixture: `(channels, n)`.
            outputs: `(stems + 1, channels, n)`; the last, all queries together, is not used.
        """
        self._answer = None
        self._mixture_energy += _energy(mixture)
        self._segments += 1
        for collected, estimate in zip(self._collected, outputs[:-1], strict=True):
            energy = _energy(estimate)
            collected.energy += energy
            if len(collected.loudest) == _LOUDEST and energy <= collected.loudest[0].energy:
                continue
            estimate_mono, mixture_mono = (
                to_mono(audio[:, : _SECONDS * self._sample_rate]) for audio in (estimate, mixture)
            )
            push = heapq.heappush if len(collected.loudest) < _LOUDEST else heapq.heapreplace
            push(collected.loudest, _Segment(energy, self._segments, estimate_mono, mixture_mono))

    def result(self) -> list[float]:
        """Return each query's likelihood, 0..1."""
        if self._answer is None:
            try:
                self._answer = [_likelihood(clues) for clues in self.clues()]
            except QueryError:  # this encoder has no audio tower
                energies = (self._energy_db(collected) for collected in self._collected)
                self._answer = [_likelihood_of_energy(energy_db) for energy_db in energies]
        return list(self._answer)

    def clues(self) -> list[Clues | None]:
        """Return the features of each estimate; None for a silent one.

        Raises:
            QueryError: The encoder has no audio tower.
        """
        mixtures: dict[int, _Sound] = {}  # by segment: queries often share it
        pairs = zip(self._collected, self._vectors, strict=True)
        return [self._clues(collected, vector, mixtures) for collected, vector in pairs]

    @torch.inference_mode()
    def _clues(
        self, collected: _Collected, vector: Tensor, mixtures: dict[int, _Sound]
    ) -> Clues | None:
        energy_db = self._energy_db(collected)
        if energy_db <= _SILENCE_DB:
            return None
        labels, classes = _known(self._encoder)  # type: ignore[arg-type]  # any object has a hash
        near = classes @ vector
        others = labels[labels @ vector < _KIN]

        def compared(sound: _Sound) -> tuple[float, float, float]:
            similarity = float(sound[0] @ vector)
            return similarity, similarity - float((others @ sound[0]).amax()), _tags(sound[1], near)

        best = max(compared(self._embed(segment.estimate)) for segment in collected.loudest)
        loudest = max(collected.loudest)
        if loudest.number not in mixtures:
            mixtures[loudest.number] = self._embed(loudest.mixture)
        sound, tags = mixtures[loudest.number]
        return Clues(*best, float(sound @ vector), _tags(tags, near), energy_db)

    def _embed(self, mono: np.ndarray) -> _Sound:
        """Embed a sound `(time,)`; only some encoders tag it too."""
        waveform = torch.from_numpy(mono)[None]
        embed_and_tag = getattr(self._encoder, "embed_and_tag", None)
        if embed_and_tag is None:
            return self._encoder.embed_audio(waveform, self._sample_rate)[0], None
        vectors, likelihoods = embed_and_tag(waveform, self._sample_rate)
        return vectors[0], likelihoods[0]

    def _energy_db(self, collected: _Collected) -> float:
        if self._mixture_energy < 1e-9:
            return -math.inf
        return 10 * math.log10(max(collected.energy / self._mixture_energy, 1e-12))


@lru_cache(maxsize=2)
@torch.inference_mode()
def _known(encoder: QueryEncoder) -> tuple[Tensor, Tensor]:
    """Vectors of all labels' and of all AudioSet classes' names."""
    labels = [name for name in vocabulary.labels() if name not in _NO_SOURCES]
    classes = list(map(vocabulary.spoken, vocabulary.audioset_classes()))
    return encoder.embed_text(labels), encoder.embed_text(classes)


def _tags(likelihoods: Tensor | None, near: Tensor) -> float:
    """Logit of the mean likelihood of the classes near the query; 0 where there are none.

    Args:
        likelihoods: `(527,)`, or None.
        near: Cosine of each class's name to the query, `(527,)`.
    """
    if likelihoods is None or float(near.amax()) < _NEAR_CLASS:
        return 0.0
    weights = (near / _SHARPNESS).softmax(0)
    likelihood = float((weights * likelihoods).sum().clamp(1e-4, 1 - 1e-4))
    return math.log(likelihood / (1 - likelihood))


def _energy(segment: np.ndarray) -> float:
    """Mean energy of the channels."""
    return sum(float(np.vdot(row, row)) for row in segment) / len(segment)  # rows: no copy


@lru_cache(maxsize=1)
def rule() -> dict[str, Any]:
    """Return the fitted rule: bias, a weight a clue, and what it was fitted on."""
    content: dict[str, Any] = json.loads(RULE_PATH.read_text(encoding="utf-8"))
    return content


def _likelihood(clues: Clues | None) -> float:
    if clues is None:
        return 0.0
    weights = rule()["weights"]
    return _logistic(
        rule()["bias"] + sum(weight * getattr(clues, name) for name, weight in weights.items())
    )


def _likelihood_of_energy(energy_db: float) -> float:
    if energy_db <= _SILENCE_DB:
        return 0.0
    return _logistic(_ENERGY_ALONE_WEIGHT * (energy_db - _ENERGY_ALONE_DB))


def _logistic(logit: float) -> float:
    return 1 / (1 + math.exp(-min(max(logit, -30.0), 30.0)))
