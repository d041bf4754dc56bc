"""Presence: how likely a query's source is in the mixture at all.

In: windows of the mixture and of each estimate, as they are made. Out: a likelihood a query.

A separator always gives something; what it gives for an absent source is quiet, or sounds like
another one. So the loudest windows of each estimate are listened to, and the mixture where the
estimate is loudest; a logistic rule joins what is heard: see `Clues`. Its weights stand in
`queries/presence.json`; `python -m separate.train.query_net presence` fits them on mixtures of
held-out sounds. Memory does not grow with length.
"""

import heapq
import json
import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from separate.errors import QueryError
from separate.queries import vocabulary
from separate.queries.base import Encoder
from separate.queries.query import Query, embed_query

RULE_PATH = Path(__file__).with_name("presence.json")
_LOUDEST = 2  # windows of an estimate that are listened to
_SECONDS = 10  # of each
_SILENCE_DB = -70.0  # an estimate this far below the mixture is nothing
_KIN = 0.6  # labels nearer to a query are meant by it, and no rivals (cosine)
_NEAR_CLASS = 0.5  # AudioSet classes nearer to a query tell of it (cosine)
_SHARPNESS = 0.05  # of the average over near classes
_NO_SOURCES = ("music", "silence")  # labels that no estimate is mistaken for
_ENERGY_ALONE_DB = -25.0  # half likely, where an encoder cannot hear
_ENERGY_ALONE_WEIGHT = 0.2  # per dB

_Sound = tuple[Tensor, Tensor | None]  # its vector (dim,), likelihoods of the classes (527,)


@dataclass(frozen=True)
class Clues:
    """What is known of one query's estimate."""

    similarity: float  # cosine of the estimate's sound to the query, its best window
    lead: float  # that cosine less the one to the nearest label that is not meant
    tags: float  # logit of the likelihood of the AudioSet classes near the query; 0: not known
    mixture_similarity: float  # cosine of the mixture's sound to the query
    mixture_tags: float  # as `tags`, of the mixture
    energy_db: float  # of the estimate against the mixture


@dataclass(frozen=True, order=True)
class _Window:
    energy: float  # of the estimate
    number: int  # in the stream: no two windows compare equal
    estimate: np.ndarray = field(compare=False)  # (time,), mono
    mixture: np.ndarray = field(compare=False)  # (time,), mono


@dataclass
class _Heard:
    energy: float = 0.0
    loudest: list[_Window] = field(default_factory=list)  # a heap


class PresenceMeter:
    """Collects what a stream of windows says of each query."""

    def __init__(self, encoder: Encoder, queries: Sequence[Query], sample_rate: int) -> None:
        """Begin.

        Args:
            encoder: The query net; if it cannot hear, energies alone decide.
            queries: What is separated.
            sample_rate: Of the windows, in Hz.
        """
        self._encoder = encoder
        self._vectors = [embed_query(encoder, query)[0] for query in queries]
        self._sample_rate = sample_rate
        self._heard = [_Heard() for _ in queries]
        self._mixture_energy = 0.0
        self._windows = 0
        self._answer: list[float] | None = None

    def update(self, mixture: np.ndarray, outputs: np.ndarray) -> None:
        """Take one window.

        Args:
            mixture: `(channels, n)`.
            outputs: `(stems + 1, channels, n)`; the last, the queries' claim, is not listened to.
        """
        self._answer = None
        self._mixture_energy += _energy(mixture)
        self._windows += 1
        for heard, estimate in zip(self._heard, outputs[:-1], strict=True):
            energy = _energy(estimate)
            heard.energy += energy
            if len(heard.loudest) == _LOUDEST and energy <= heard.loudest[0].energy:
                continue
            estimate_mono, mixture_mono = (
                audio[:, : _SECONDS * self._sample_rate].mean(0) for audio in (estimate, mixture)
            )
            push = heapq.heappush if len(heard.loudest) < _LOUDEST else heapq.heapreplace
            push(heard.loudest, _Window(energy, self._windows, estimate_mono, mixture_mono))

    def result(self) -> list[float]:
        """Return each query's likelihood, 0..1."""
        if self._answer is None:
            try:
                self._answer = [_likelihood(clues) for clues in self.clues()]
            except QueryError:  # this encoder knows text only
                energies = (self._energy_db(heard) for heard in self._heard)
                self._answer = [_likelihood_of_energy(energy_db) for energy_db in energies]
        return list(self._answer)

    def clues(self) -> list[Clues | None]:
        """Listen to the estimates; None stands for a silent one.

        Raises:
            QueryError: The encoder cannot hear.
        """
        mixtures: dict[int, _Sound] = {}  # by window: queries often share it
        pairs = zip(self._heard, self._vectors, strict=True)
        return [self._clues(heard, vector, mixtures) for heard, vector in pairs]

    @torch.inference_mode()
    def _clues(self, heard: _Heard, vector: Tensor, mixtures: dict[int, _Sound]) -> Clues | None:
        energy_db = self._energy_db(heard)
        if energy_db <= _SILENCE_DB:
            return None
        labels, classes = _known(self._encoder)  # type: ignore[arg-type]  # any object has a hash
        near = classes @ vector
        rivals = labels[labels @ vector < _KIN]
        found: list[tuple[float, float, float]] = []
        for window in heard.loudest:
            sound, tags = self._listen(window.estimate)
            similarity = float(sound @ vector)
            lead = similarity - float((rivals @ sound).amax())
            found.append((similarity, lead, _tags(tags, near)))
        loudest = max(heard.loudest)
        if loudest.number not in mixtures:
            mixtures[loudest.number] = self._listen(loudest.mixture)
        sound, tags = mixtures[loudest.number]
        return Clues(*max(found), float(sound @ vector), _tags(tags, near), energy_db)

    def _listen(self, mono: np.ndarray) -> _Sound:
        """Embed a sound `(time,)`; only some encoders tag it too."""
        waveform = torch.from_numpy(mono)[None]
        hear = getattr(self._encoder, "hear", None)
        if hear is None:
            return self._encoder.embed_audio(waveform, self._sample_rate)[0], None
        vectors, likelihoods = hear(waveform, self._sample_rate)
        return vectors[0], likelihoods[0]

    def _energy_db(self, heard: _Heard) -> float:
        if self._mixture_energy < 1e-9:
            return -math.inf
        return 10 * math.log10(max(heard.energy / self._mixture_energy, 1e-12))


@lru_cache(maxsize=2)
@torch.inference_mode()
def _known(encoder: Encoder) -> tuple[Tensor, Tensor]:
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


def _energy(window: np.ndarray) -> float:
    """Mean energy of the channels."""
    return sum(float(np.vdot(row, row)) for row in window) / len(window)  # rows: no copy


@lru_cache(maxsize=1)
def rule() -> dict[str, Any]:
    """Return the fitted rule: bias, a weight a clue, and what it was fitted on."""
    content: dict[str, Any] = json.loads(RULE_PATH.read_text(encoding="utf-8"))
    return content


def _likelihood(clues: Clues | None) -> float:
    if clues is None:
        return 0.0
    weights = rule()["weights"]
    logit = rule()["bias"] + sum(
        weight * value for weight, value in zip(weights.values(), astuple(clues), strict=True)
    )
    return _logistic(logit)


def _likelihood_of_energy(energy_db: float) -> float:
    if energy_db <= _SILENCE_DB:
        return 0.0
    return _logistic(_ENERGY_ALONE_WEIGHT * (energy_db - _ENERGY_ALONE_DB))


def _logistic(logit: float) -> float:
    return 1 / (1 + math.exp(-min(max(logit, -30.0), 30.0)))
