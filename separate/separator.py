"""The Python interface: a mixture and queries give estimates and a residual."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from separate.audio import channel_groups
from separate.backends.base import SourceModel, Sums
from separate.backends.nets import open_model
from separate.errors import InputError, QueryError, SettingsError
from separate.memory import release_memory
from separate.queries.combination import Combination
from separate.queries.encoders import load_encoder
from separate.queries.grammar import split_queries
from separate.queries.presence import ABSENT_GAIN, PresenceMeter, judged_as
from separate.queries.query import Query, parse_query
from separate.renamed import renamed
from separate.settings import Settings
from separate.stream import Segmentation, StreamBlock, separate_stream

_BLOCK_SECONDS = 10
_SEGMENTS_KEPT = 16  # after so many freed memory is returned to the system


@dataclass(frozen=True)
class Separation:
    """The result of one mixture."""

    estimates: dict[str, Tensor]  # by query name, each (channels, time)
    residual: Tensor  # (channels, time): the mixture without all queries together
    presence: dict[str, float]  # likelihood of each query's source in the mixture, 0..1
    sample_rate: int  # Hz
    answered_as: dict[str, str] = field(default_factory=dict)  # by query name, what was separated
    # instead where the model has no finer source: "vocals" for "female singer"


@renamed(sources="models")
class Separator:
    """Loaded models and an encoder, ready for any number of mixtures."""

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        model: str | None = None,
        models: Sequence[SourceModel] | None = None,
    ) -> None:
        """Load what the settings name.

        Args:
            settings: Model, device, threads, segments; the defaults suit most.
            model: Overrides `settings.model`.
            models: Models that are loaded already, instead of those that the settings name.

        Raises:
            CheckpointError: A model is missing or damaged.
            SettingsError: The models do not fit together.
        """
        settings = settings or Settings()
        self.settings = replace(settings, model=model) if model else settings
        on_cpu = torch.device(self.settings.device).type == "cpu"
        self.threads = (self.settings.threads or torch.get_num_threads()) if on_cpu else 1
        self.models: list[SourceModel] = list(models or []) or [
            open_model(name.strip(), self.settings) for name in self.settings.model.split(",")
        ]
        rates = {loaded.sample_rate for loaded in self.models}
        if len(rates) != 1:
            raise SettingsError("models of different sample rates can't be averaged; name one")
        self.sample_rate = rates.pop()
        self.model_sha256 = ",".join(loaded.sha256 for loaded in self.models)
        self._encoder = load_encoder("embedded")

    def separate(
        self,
        mixture: Tensor | np.ndarray,
        sample_rate: int,
        queries: Sequence[str | Query],
    ) -> Separation:
        """Separate a mixture that is in memory.

        Args:
            mixture: `(channels, time)` or `(time,)`, float; it is not changed.
            sample_rate: Its rate in Hz.
            queries: What to separate: words, or `Query` objects.

        Returns:
            Estimates and residual at the mixture's rate, channels and length.

        Raises:
            InputError: The mixture is empty or holds NaN or infinity.
            QueryError: A query is empty, given twice, or not for this model.
        """
        array = _as_array(mixture)
        block_samples = _BLOCK_SECONDS * sample_rate
        blocks = (array[:, i : i + block_samples] for i in range(0, array.shape[1], block_samples))
        stream = self.stream(blocks, sample_rate, array.shape[0], queries)
        estimates = np.empty((len(stream.names), *array.shape), np.float32)
        residual = np.empty(array.shape, np.float32)
        start = 0
        for block in stream:
            some = slice(start, start + block.residual.shape[-1])
            estimates[..., some], residual[:, some] = block.estimates, block.residual
            start = some.stop
        for name in stream.absent:
            lost = (1 - ABSENT_GAIN) * estimates[stream.names.index(name)]
            estimates[stream.names.index(name)] -= lost
            if len(stream.names) == 1:  # else other queries may have it
                residual += lost
        return Separation(
            dict(zip(stream.names, torch.from_numpy(estimates), strict=True)),
            torch.from_numpy(residual),
            stream.presence,
            sample_rate,
            stream.answered_as,
        )

    def stream(
        self,
        blocks: Iterable[np.ndarray],
        sample_rate: int,
        channels: int,
        queries: Sequence[str | Query],
        on_progress: Callable[[int], None] | None = None,
        *,
        channel_mask: int = 0,
    ) -> "SeparationStream":
        """Separate a mixture that arrives in blocks, in constant memory.

        Args:
            blocks: float32 `(channels, time)` each, of any lengths.
            sample_rate: Their rate in Hz.
            channels: Their number of channels. Left and right speakers are separated in pairs,
                the others (centre, LFE) each by itself.
            queries: What to separate.
            on_progress: Called with the number of samples done; what it raises ends the stream.
            channel_mask: Speakers of the channels, as `AudioInfo` has it; 0: the usual ones.

        Returns:
            An iterable of `StreamBlock`; its `presence` is complete once it is exhausted.
        """
        parsed = check_queries(queries)
        groups = channel_groups(channels, channel_mask)
        return SeparationStream(self, blocks, sample_rate, parsed, on_progress, groups)

    def segmentation(self) -> Segmentation:
        """Return the segments that define a result, in samples at the model's rate."""
        return self.models[0].segmentation(self.settings)


class SeparationStream:
    """A separation under way: iterate over its blocks, then read `presence`."""

    def __init__(
        self,
        separator: Separator,
        blocks: Iterable[np.ndarray],
        sample_rate: int,
        queries: Sequence[Query],
        on_progress: Callable[[int], None] | None,
        groups: Sequence[Sequence[int]],
    ) -> None:
        self._groups = [list(group) for group in groups]  # channels that are separated together
        self.names = [query.name for query in queries]
        self._queries = queries
        self._models = separator.models
        self._settings = separator.settings
        self._segments = 0
        self._combination = Combination(queries)
        sources = self._combination.sources
        self._prepared = [model.prepare(sources) for model in self._models] if sources else []
        broader = self._broader()
        judged = [judged_as(separator._encoder, s, broader.get(s)) for s in sources]
        self._meter = PresenceMeter(separator._encoder, judged, separator.sample_rate)
        self._blocks = separate_stream(
            blocks,
            sample_rate,
            separator.sample_rate,
            separator.segmentation(),
            self._separate_segment,
            on_progress,
            threads=separator.threads,
            on_segment=self._observe,
        )

    def __iter__(self) -> Iterator[StreamBlock]:
        """Yield the blocks in order."""
        return self._blocks if self._combination.is_plain else map(self._combined, self._blocks)

    @property
    def presence(self) -> dict[str, float]:
        """How likely each query's source is in what has been separated so far, 0..1."""
        found = self._combination.presence(self._meter.result())
        return dict(zip(self.names, found, strict=True))

    @property
    def absent(self) -> list[str]:
        """Queries whose sources were not found and whose estimates are to be made softer.

        Blocks are yielded before this is known, as they are separated; `Separator.separate` and
        `separate run` apply it. Estimates that sum to the mixture stay as they are.
        """
        if self._settings.keep_absent or (self._settings.sum_to_mixture and len(self.names) > 1):
            return []
        found = self._combination.absent(list(self.presence.values()))
        return [self.names[at] for at in found]

    @property
    def routes(self) -> dict[str, str]:
        """Each query's route in words, by its name, where a model has several."""
        found: dict[str, str] = {}
        for model, prepared in zip(self._models, self._prepared, strict=False):
            found.update(model.routes(prepared))
        return found

    @property
    def answered_as(self) -> dict[str, str]:
        """The broader sources that queries get, in words, by name; others are left out."""
        broader = self._broader()
        said = ((query.name, query.answered_as(broader)) for query in self._queries)
        return {name: words for name, words in said if words is not None}

    def _broader(self) -> dict[Query, str]:
        """The broader label of each single source that is answered by one."""
        broader: dict[Query, str] = {}
        for model, prepared in zip(self._models, self._prepared, strict=False):
            pairs = zip(self._combination.sources, model.answered_as(prepared), strict=True)
            broader.update({source: name for source, name in pairs if name is not None})
        return broader

    def _combined(self, block: StreamBlock) -> StreamBlock:
        """Turn estimates of single sources into those of the queries."""
        estimates = self._combination.estimates(block.mixture, block.estimates)
        residual = self._combination.residual(block.estimates, block.residual)
        return StreamBlock(estimates, residual, block.mixture)

    def _separate_segment(self, segment: np.ndarray) -> np.ndarray:
        """Map `(channels, n)` to `(sources + sums + 1, channels, n)`, group by group."""
        if not self._combination.sources:
            return np.zeros((1, *segment.shape), np.float32)
        if len(self._groups) == 1:
            return self._separate_pair(segment)
        parts = [self._separate_pair(segment[group]) for group in self._groups]
        result = np.empty((len(parts[0]), *segment.shape), np.float32)
        for group, part in zip(self._groups, parts, strict=True):
            result[:, group] = part
        return result

    def _observe(self, segment: np.ndarray, result: np.ndarray) -> None:
        sources = len(self._combination.sources)
        outputs = result if len(result) == sources + 1 else result[[*range(sources), -1]]
        self._meter.update(segment, outputs)
        self._segments += 1
        if self._segments % _SEGMENTS_KEPT == 0:
            release_memory()

    def _separate_pair(self, pair: np.ndarray) -> np.ndarray:
        stereo = torch.from_numpy(np.array(np.broadcast_to(pair, (2, pair.shape[1]))))
        total: Tensor | None = None
        sums = self._combination.sums
        with torch.inference_mode():
            for model, prepared in zip(self._models, self._prepared, strict=True):
                result = _shifted(model, stereo, prepared, sums, self._settings.shifts)
                total = result if total is None else total + result
            assert total is not None
            if len(self._models) > 1:
                total = total / len(self._models)
            if pair.shape[0] == 1:
                total = total.mean(dim=1, keepdim=True)
        return total.cpu().numpy()


def _shifted(
    model: SourceModel, stereo: Tensor, prepared: object, sums: Sums, shifts: int
) -> Tensor:
    """Average a segment's result over `shifts` further positions of the transform's frames."""
    total = model.separate(stereo, prepared, sums)
    for index in range(1, shifts + 1):
        lead = index * model.hop_samples // (shifts + 1)
        moved = torch.nn.functional.pad(stereo, (lead, 0))
        total = total + model.separate(moved, prepared, sums)[..., lead:]
    return total / (shifts + 1) if shifts else total


def check_queries(queries: Sequence[str | Query]) -> list[Query]:
    """Parse queries; refuse an empty list and a name that is given twice."""
    parsed: list[Query] = []
    for query in queries:
        parsed += map(parse_query, split_queries(query)) if isinstance(query, str) else [query]
    if not parsed:
        raise QueryError("no query: say what to separate, for example -q drums")
    names = [query.name for query in parsed]
    for name in names:
        if names.count(name) > 1:
            raise QueryError(f"the query {name!r} is given twice; give each once")
    return parsed


def _as_array(mixture: Tensor | np.ndarray) -> np.ndarray:
    array = mixture.detach().cpu().numpy() if isinstance(mixture, Tensor) else np.asarray(mixture)
    array = np.atleast_2d(array).astype(np.float32, copy=False)
    if array.ndim != 2 or array.shape[1] == 0:
        raise InputError("the mixture must have the shape (channels, time) and at least one sample")
    if not np.isfinite(array).all():
        raise InputError("the mixture holds NaN or infinite samples; repair it first")
    return array
