"""Models of fixed stems that work on the waveform, behind the separator's interface.

In: a stereo segment `(2, n)` and names of stems. Out: `(stems + 1, 2, n)`. `cascade` routes queries
to stems.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from separate.backends.base import Sums, with_sums
from separate.models.hdemucs import HOP_SAMPLES, SAMPLE_RATE, HDemucs
from separate.models.registry import Card
from separate.queries.query import Query
from separate.settings import Settings
from separate.stream import Segmentation

_DEFAULT_SECONDS = 10.0
_DEFAULT_OVERLAP = 0.1


class WaveformStems:
    """Hybrid Demucs; each query is the name of a stem."""

    sample_rate = SAMPLE_RATE
    hop_samples = HOP_SAMPLES

    def __init__(self, net: HDemucs, card: Card, settings: Settings) -> None:
        self.name, self.sha256 = card.name, card.sha256
        self.stems = net.config.stems
        self._net = net
        self._device = torch.device(settings.device)

    def segmentation(self, settings: Settings) -> Segmentation:
        """See `SourceModel`."""
        seconds = _DEFAULT_SECONDS if settings.segment is None else settings.segment
        overlap = _DEFAULT_OVERLAP if settings.overlap is None else settings.overlap
        samples = round(seconds * self.sample_rate)
        return Segmentation(samples, int(samples * overlap))

    def prepare(self, queries: Sequence[Query]) -> list[int]:
        """Return the outputs that are wanted."""
        return [self.stems.index(query.name) for query in queries]

    def separate(self, stereo: Tensor, prepared: Any, sums: Sums = ()) -> Tensor:
        """See `SourceModel`; the last output is the sum of the stems."""
        stems = self._net(stereo.to(self._device)[None])[0][prepared]
        return with_sums(torch.cat([stems, stems.sum(dim=0, keepdim=True)]), sums)

    def routes(self, prepared: Any) -> dict[str, str]:
        """See `SourceModel`; there is only one route."""
        return {}

    def answered_as(self, prepared: Any) -> list[str | None]:
        """See `SourceModel`; stems are asked for by their names."""
        return [None] * len(prepared)
