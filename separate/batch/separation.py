"""The separation job: take the sources of some queries out of each track."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from separate.audio import AudioReader
from separate.batch.guard import Guard
from separate.batch.job import Item, OnPart, Work, draft_record
from separate.batch.names import distinct, stem_names
from separate.batch.outputs import OutputSet
from separate.batch.record import Record
from separate.batch.tracks import Track, output_places
from separate.errors import InputError, SettingsError
from separate.files import sha256_of
from separate.open import cards_sha256, open_separator
from separate.queries.grammar import split_queries
from separate.queries.presence import ABSENT_GAIN, NOT_FOUND
from separate.queries.query import Query, parse_query, unknown_words
from separate.queries.vocabulary import STEMS
from separate.settings import RESIDUAL, Request, Settings

if TYPE_CHECKING:
    from separate.separator import Separator

_BLOCK_SAMPLES = 262_144
_CHECK_RATE = 44_100
SeparatorFactory = Callable[[Settings], "Separator"]


@dataclass(frozen=True)
class SeparationJob:
    """Take the sources of some queries out of each track; see `separate.batch.job.Job`."""

    queries: tuple[Query, ...]
    settings: Settings
    folder: Path  # of the outputs
    factory: SeparatorFactory | None = None  # makes the separator; None: `open_separator`

    @property
    def threads(self) -> int | None:
        """Processor threads of each process; None: the batch decides."""
        return self.settings.threads

    @property
    def stems(self) -> tuple[str, ...]:
        """Names of the outputs: the queries', then the residual's if it is written."""
        residual = self.settings.residual
        return (*(q.name for q in self.queries), *([] if residual is None else [residual]))

    def items(self, tracks: Sequence[Track]) -> list[Item]:
        """List one item a track, with the paths of its outputs."""
        places = output_places(tracks, stem_names(self.stems), self.settings)
        settings, queries = self.settings.fingerprint(), query_data(self.queries)
        sha256 = self._model_sha256()
        return [
            Item(track, draft_record(track, settings, queries, sha256, places=own), self._reads())
            for track, own in zip(tracks, places, strict=True)
        ]

    def _reads(self) -> tuple[Path, ...]:
        """Return the files that every item needs: examples, and weights that are named by path."""
        examples = (path for query in self.queries for path in (*query.like, *query.unlike))
        return (*examples, *map(Path, self.settings.model.split(",")))

    def _model_sha256(self) -> str:
        """Return the models' hashes, read from their cards without loading them."""
        if self.factory is not None:
            return self.factory(self.settings).model_sha256
        return cards_sha256(self.settings.model)

    def load(self, threads: int | None, guard: Guard) -> Work:
        """Load the separator; queries that it does not support fail here, once for all items."""
        separator = (self.factory or open_separator)(replace(self.settings, threads=threads))
        separator.stream(iter(()), _CHECK_RATE, 2, self.queries)
        return partial(separate_item, separator, self, guard)


def make_job(folder: Path, settings: Settings, request: Request) -> SeparationJob:
    """Make a job of a request.

    Args:
        folder: Of the outputs.
        settings: All else; `sum_to_mixture` and `residual` are decided here.
        request: The queries.

    Raises:
        SettingsError: The options exclude each other, or there is no query.
        QueryError: A query is empty or too long, or a weight is out of its range.
        InputError: An example is missing.
    """
    request = replace(
        request,
        texts=tuple(part for text in request.texts for part in split_queries(text)),
        exclude=tuple(part for text in request.exclude for part in split_queries(text)),
    )
    _check_combination(request)
    for flag, paths in (("--like", request.like), ("--not-like", request.unlike)):
        for path in paths:
            if not path.is_file():
                raise InputError(f"{path}: no such file; give an example sound to {flag}")
    queries = _parse_queries(request)
    named = {query.name.casefold() for query in queries}
    only_stems = request.stems and not queries
    if request.stems:
        queries = [Query(stem, (stem,)) for stem in STEMS if stem not in named] + queries
    shared = only_stems if request.sum_to_mixture is None else request.sum_to_mixture
    is_written = not (request.stems and shared) if request.residual is None else request.residual
    rest = f"no_{queries[0].name}" if request.two_stems is not None else RESIDUAL
    (name,) = distinct([rest], [query.name for query in queries])
    settings = replace(settings, sum_to_mixture=shared, residual=name if is_written else None)
    return SeparationJob(tuple(queries), settings, folder)


def _parse_queries(request: Request) -> list[Query]:
    """Parse all queries of a request but the four stems."""
    parse = partial(
        parse_query,
        exclude=request.exclude,
        unlike=request.unlike,
        text_weight=request.text_weight,
        negative_weight=request.negative_weight,
    )
    wanted = [request.two_stems] if request.two_stems is not None else list(request.texts)
    if request.like:
        return [parse(wanted[0] if wanted else "", like=request.like)]
    return [parse(text) for text in wanted]


def _check_combination(request: Request) -> None:
    texts, stems, two_stems = request.texts, request.stems, request.two_stems
    if two_stems is not None and (texts or stems):
        raise SettingsError("--two-stems names the one query itself: leave out -q and --stems")
    if stems and (request.like or request.exclude or request.unlike):
        raise SettingsError(
            "--stems is fixed: give --like and --not with -q, in a run of their own"
        )
    if request.like and len(texts) > 1:
        raise SettingsError("--like goes with one -q at most: run the other queries by themselves")
    if not (texts or stems or two_stems is not None or request.like):
        raise SettingsError("nothing to take out: give -q TEXT, --stems or --like EXAMPLE")
    if len(set(texts)) < len(texts):
        raise SettingsError("a query is given twice; give each once")


def query_data(queries: Sequence[Query]) -> list[dict[str, Any]]:
    """Return queries as plain values for a record; examples by their content.

    Raises:
        InputError: An example cannot be read.
    """
    data: list[dict[str, Any]] = []
    for query in queries:
        try:
            like, unlike = (
                [{"path": str(path), "sha256": sha256_of(path)} for path in paths]
                for paths in (query.like, query.unlike)
            )
        except OSError as error:
            raise InputError(f"{error.filename}: cannot be read ({error.strerror})") from error
        data.append(
            {
                "name": query.name,
                "text": list(query.text),
                "like": like,
                "exclude": list(query.exclude),
                "unlike": unlike,
                "words": query.text_weight,
                "firmness": query.negative_weight,
                **({"meaning": query.meaning} if query.is_read else {}),
            }
        )
    return data


def separate_item(
    separator: "Separator",
    job: SeparationJob,
    guard: Guard,
    item: Item,
    folder: Path,
    on_part: OnPart,
) -> Record:
    """Separate one track.

    Args:
        separator: Loaded.
        job: Queries and settings.
        guard: What the files must not replace.
        item: The track, with the path of each stem's file.
        folder: The output folder.
        on_part: Called with the part done, 0..1; what it raises ends the separation.

    Returns:
        The completed record.

    Raises:
        InputError: The track can't be read.
        OutputError: A file can't be written.
        QueryError, CheckpointError, SettingsError: The job can't be done with any track.
    """
    settings, path = job.settings, item.track.path
    if path.is_dir():
        raise InputError(f"{path}: holds no audio files; name a file or another folder")
    with (
        AudioReader(
            path, start_seconds=settings.start, end_seconds=settings.end, stream=settings.stream
        ) as reader,
        OutputSet(
            folder, item.places, reader.info, settings, reader.samples, guard=guard
        ) as outputs,
    ):
        info, total = reader.info, reader.samples

        def report(done_samples: int) -> None:
            if total:
                on_part(min(1.0, done_samples / total))

        stream = separator.stream(
            reader.blocks(_BLOCK_SAMPLES),
            info.sample_rate,
            info.channels,
            job.queries,
            report,
            channel_mask=info.channel_mask,
        )
        samples = 0
        for block in stream:
            stems = [*block.estimates, *([] if settings.residual is None else [block.residual])]
            outputs.write(dict(zip(job.stems, stems, strict=True)))
            samples += block.residual.shape[-1]
        presence = stream.presence  # takes a while: before the files get their names
        absent = list(getattr(stream, "absent", []))
        return replace(
            item.draft,
            outputs=outputs.commit(_mixes(absent, job)),
            absent=absent,
            presence={name: round(value, 4) for name, value in presence.items()},
            routes=getattr(stream, "routes", {}),
            answered_as=getattr(stream, "answered_as", {}),
            warnings=item.draft.warnings + _warnings(outputs, presence, absent, job),
            duration=samples / info.sample_rate,
        )


def _mixes(absent: Sequence[str], job: SeparationJob) -> dict[str, dict[str, float]]:
    """Return what the files of sources that were not found become, and the residual with them."""
    mixes = {name: {name: ABSENT_GAIN} for name in absent}
    residual = job.settings.residual
    if residual is not None and len(absent) == len(job.queries) == 1:  # else others may have it
        mixes[residual] = {residual: 1.0, absent[0]: 1 - ABSENT_GAIN}
    return mixes


def _warnings(
    outputs: OutputSet, presence: Mapping[str, float], absent: Sequence[str], job: SeparationJob
) -> list[str]:
    """Return a line for samples that were clipped, for scaling, and for sources not found."""
    lines = []
    clipped = {stem: count for stem, count in outputs.clipped_samples.items() if count}
    if clipped:
        counts = ", ".join(f"{count} in {stem}" for stem, count in clipped.items())
        lines.append(
            f"samples beyond full scale were cut off ({counts});"
            " --clip-mode rescale or --float32 keeps them"
        )
    if outputs.gain != 1.0:
        lines.append(f"all outputs were multiplied by {outputs.gain:.4f} so that nothing clips")
    if job.settings.query_net in (None, "embedded"):
        lines += unknown_words(job.queries)
    for query in job.queries:
        value = presence.get(query.name, 1.0)
        if value < NOT_FOUND and query.is_rest:
            named = " and ".join(source.name for source in query.sources)
            lines.append(
                f"{named!r} was not found here (presence {value:.2f}):"
                f" {query.name!r} is nearly the whole recording"
            )
        elif value < NOT_FOUND:
            lines.append(
                f"{query.name!r} was not found here (presence {value:.2f})"
                + (": its file is 30 dB softer; --keep-absent keeps it" * (query.name in absent))
            )
    return lines
