"""One track through the separator: the function that every way of running a batch shares.

In: a loaded separator, a track and the task. Out: the record of what was done, which also tells
of what failed with this file. What is wrong with the task itself is raised.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from separate.audio import AudioReader
from separate.batch.names import distinct
from separate.batch.outputs import OutputSet
from separate.batch.record import Output, Record
from separate.batch.tracks import Track
from separate.errors import (
    Cancelled,
    CheckpointError,
    InputError,
    QueryError,
    SeparateError,
    SettingsError,
    one_line,
)
from separate.files import sha256_of
from separate.queries.grammar import split_queries
from separate.queries.query import Query, parse_query, unknown_words
from separate.queries.vocabulary import STEMS
from separate.settings import RESIDUAL, Settings

# Below this presence the user is told that the source was not found.
NOT_FOUND_PRESENCE = 0.1
_BLOCK_SAMPLES = 262_144
_log = logging.getLogger(__name__)


class AnySeparator(Protocol):
    """What a task needs of a separator: see `separate.separator.Separator`."""

    model_sha256: str

    def stream(
        self,
        blocks: Any,
        sample_rate: int,
        channels: int,
        queries: Sequence[str | Query],
        on_progress: Callable[[int], None] | None = None,
    ) -> Any:
        """Separate a mixture that arrives in blocks."""


@dataclass(frozen=True)
class Task:
    """What is done with each track of a batch."""

    queries: tuple[Query, ...]
    settings: Settings
    folder: Path  # of the outputs

    @property
    def stems(self) -> tuple[str, ...]:
        """Names of the outputs: the queries', then the residual's if it is written."""
        residual = self.settings.residual
        return (*(q.name for q in self.queries), *([] if residual is None else [residual]))


def make_task(
    folder: Path,
    settings: Settings,
    *,
    texts: Sequence[str] = (),
    stems: bool = False,
    two_stems: str | None = None,
    like: Sequence[Path] = (),
    exclude: Sequence[str] = (),
    unlike: Sequence[Path] = (),
    words: float = 0.5,
    firmness: float = 1.0,
    residual: bool | None = None,
    share: bool | None = None,
) -> Task:
    """Turn what a user asks for into a task.

    Args:
        folder: Of the outputs.
        settings: All else; `share` and `residual` are decided here.
        texts: Free queries.
        stems: The four stems of music; alone they share out the mixture.
        two_stems: One query, whose residual is called `no_<query>`.
        like: Examples of one sound; with a text they describe the same source.
        exclude: What is not meant, for every query.
        unlike: Examples of what is not meant, for every query.
        words: Weight of the text against the examples, 0..1.
        firmness: How firmly what is not meant is taken out, 0..10.
        residual: Whether it is written; None: unless the four stems share out everything.
        share: Whether the queries share out the mixture; None: only the four stems alone do.

    Raises:
        SettingsError: What is asked for excludes each other, or is nothing.
        QueryError: A query is empty or too long, or a weight is out of its range.
        InputError: An example is missing.
    """
    texts = [part for text in texts for part in split_queries(text)]
    exclude = [part for text in exclude for part in split_queries(text)]
    _check_combination(texts, stems, two_stems, like, (*exclude, *map(str, unlike)))
    for flag, paths in (("--like", like), ("--not-like", unlike)):
        for path in paths:
            if not path.is_file():
                raise InputError(f"{path}: no such file; give an example sound to {flag}")
    negative: dict[str, Any] = {"exclude": exclude, "unlike": unlike, "firmness": firmness}
    wanted = [two_stems] if two_stems is not None else list(texts)
    if like:
        queries = [parse_query(wanted[0] if wanted else "", like=like, words=words, **negative)]
    else:
        queries = [parse_query(text, **negative) for text in wanted]
    if stems:
        named = {query.name.casefold() for query in queries}
        queries = [Query(s, (s,)) for s in STEMS if s not in named] + queries
    shared = (stems and not wanted) if share is None else share
    is_written = (not (stems and shared)) if residual is None else residual
    rest = f"no_{queries[0].name}" if two_stems is not None else RESIDUAL
    (name,) = distinct([rest], [query.name for query in queries])
    settings = replace(settings, share=shared, residual=name if is_written else None)
    return Task(tuple(queries), settings, folder)


def _check_combination(
    texts: Sequence[str],
    stems: bool,
    two_stems: str | None,
    like: Sequence[Path],
    exclude: Sequence[str],
) -> None:
    if two_stems is not None and (texts or stems):
        raise SettingsError("--two-stems names the one query itself: leave out -q and --stems")
    if stems and (like or exclude):
        raise SettingsError(
            "--stems is fixed: give --like and --not with -q, in a run of their own"
        )
    if like and len(texts) > 1:
        raise SettingsError("--like goes with one -q at most: run the other queries by themselves")
    if not (texts or stems or two_stems is not None or like):
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
                "words": query.words,
                "firmness": query.firmness,
                **({"meaning": query.meaning} if query.is_read else {}),
            }
        )
    return data


def draft_record(
    track: Track, settings: Mapping[str, Any], queries: list[dict[str, Any]], model_sha256: str
) -> Record:
    """Return a record of an input as it is now, without results."""
    if track.remote is not None:
        file = track.remote
        known = (file.address.url, file.size, file.mtime, model_sha256, dict(settings), queries)
        return Record(*known, etag=file.etag)
    try:
        status = track.path.stat()
        size, modified = status.st_size, status.st_mtime
    except OSError:
        size, modified = 0, 0.0
    return Record(str(track.path.absolute()), size, modified, model_sha256, dict(settings), queries)


def separate_track(
    separator: AnySeparator,
    track: Track,
    task: Task,
    places: Mapping[str, str],
    draft: Record,
    on_progress: Callable[[float], None] | None = None,
) -> Record:
    """Separate one file.

    Args:
        separator: Loaded.
        track: The file.
        task: What to do with it.
        places: Path of each stem's file, relative to the output folder.
        draft: Its record so far, see `draft_record`.
        on_progress: Called with the part done, 0..1; what it raises ends the separation.

    Returns:
        The completed record; a failure with this file is its `error`.

    Raises:
        QueryError: The model cannot answer a query.
        CheckpointError: Weights are damaged.
        SettingsError: Settings do not fit the model.
    """
    started = time.perf_counter()
    try:
        done = _separate(separator, track, task, places, draft, on_progress)
    except (QueryError, CheckpointError, SettingsError, Cancelled):
        raise
    except Exception as error:
        _log.debug("%s failed", track.path, exc_info=True)
        done = replace(draft, error=error_line(track.path, error))
    return replace(done, seconds=round(time.perf_counter() - started, 3))


def _separate(
    separator: AnySeparator,
    track: Track,
    task: Task,
    places: Mapping[str, str],
    draft: Record,
    on_progress: Callable[[float], None] | None,
) -> Record:
    settings = task.settings
    if track.path.is_dir():
        raise InputError(f"{track.path}: holds no audio files; name a file or another folder")
    span = {"start_seconds": settings.start, "end_seconds": settings.end}
    with (
        AudioReader(track.path, **span) as reader,  # type: ignore[arg-type]
        OutputSet(task.folder, places, reader.info, settings, reader.samples) as outputs,
    ):
        info, total = reader.info, reader.samples

        def report(done_samples: int) -> None:
            if on_progress is not None and total:
                on_progress(min(1.0, done_samples / total))

        stream = separator.stream(
            reader.blocks(_BLOCK_SAMPLES), info.sample_rate, info.channels, task.queries, report
        )
        samples = 0
        for block in stream:
            stems = [*block.estimates, *([] if settings.residual is None else [block.residual])]
            outputs.write(dict(zip(task.stems, stems, strict=True)))
            samples += block.residual.shape[-1]
        presence = stream.presence  # takes a while: before the files get their names
        written: list[Output] = outputs.commit()
        return replace(
            draft,
            outputs=written,
            presence={name: round(value, 4) for name, value in presence.items()},
            ways=getattr(stream, "ways", {}),
            warnings=_warnings(outputs, presence, task),
            duration=samples / info.sample_rate,
        )


def _warnings(outputs: OutputSet, presence: Mapping[str, float], task: Task) -> list[str]:
    """Tell of what was clipped or scaled, and of what was not found."""
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
    if task.settings.query_net in (None, "embedded"):
        lines += unknown_words(task.queries)
    for query in task.queries:
        value = presence.get(query.name, 1.0)
        if value < NOT_FOUND_PRESENCE and query.is_rest:
            named = " and ".join(source.name for source in query.sources)
            lines.append(
                f"{named!r} was not found here (presence {value:.2f}):"
                f" {query.name!r} is nearly the whole recording"
            )
        elif value < NOT_FOUND_PRESENCE:
            lines.append(f"{query.name!r} was not found here (presence {value:.2f})")
    return lines


def error_line(path: Path, error: Exception) -> str:
    """Say in one line why a file failed."""
    text = one_line(error)
    if isinstance(error, SeparateError):
        return text
    if isinstance(error, MemoryError) or "out of memory" in text.lower():
        return f"{path}: out of memory; try a shorter --segment or fewer --jobs"
    return f"{path}: failed ({type(error).__name__}: {text[:200]}); please report this"
