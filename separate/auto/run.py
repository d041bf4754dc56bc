"""Automatic separation: everything that sounds in a file, as a tree of files.

In: files and how the tree is walked. Out: for each file a folder tree after AudioSet's ontology
(`Music.wav`, `Music/Musical instrument.wav`, ...), the residual, and `sources.json` with
likelihoods and times.

A file is read three times: a tagger hears what sounds (`tagging`), a trial on a few seconds shows
what is there and can be told apart (`auto_probe`), and the rest is one stream as in any run. A
source is let through only around the blocks in which it was heard. The files at the top of the tree
and the residual sum to the mixture.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from separate.audio import AudioReader
from separate.auto.files import TREE_NAME, describe, layout, write_tree
from separate.auto.gate import Gate
from separate.auto.probe import probe
from separate.auto.tagging import BLOCK_SECONDS, Tagger, open_tagger, tag_file
from separate.auto.tree import AutoOptions, Node, heard_nodes, tops
from separate.batch.outputs import OutputSet
from separate.batch.ray_cluster import RayOptions
from separate.batch.record import Output, Record
from separate.batch.remote.files import Place, RemoteOptions
from separate.batch.run import (
    BatchResult,
    OnRecord,
    Progress,
    batch_tracks,
    open_records,
    run_items,
)
from separate.batch.task import AnySeparator, draft_record, error_line
from separate.batch.tracks import Track
from separate.errors import Cancelled, CheckpointError, QueryError, SettingsError
from separate.open import cards_sha256, open_separator
from separate.settings import RESIDUAL, Settings
from separate.stream import take_samples

_BLOCK_SAMPLES = 262_144
_TAGGED, _PROBED = 0.15, 0.3  # part of the work that is done after each step
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class AutoItem:
    """One track that is to be done."""

    track: Track
    draft: Record  # the record so far; its outputs are known only when it is done


def run_auto(
    inputs: Sequence[Place],
    folder: Path,
    settings: Settings,
    options: AutoOptions,
    *,
    jobs: int = 1,
    resume: bool = False,
    ray: RayOptions | None = None,
    remote: RemoteOptions | None = None,
    on_progress: Progress | None = None,
    on_record: OnRecord | None = None,
) -> BatchResult:
    """Separate everything that sounds in files and folders; arguments as `run_batch`.

    Raises:
        OutputError: The output folder can't be written to.
        SettingsError, CheckpointError, WeightsError: Nothing can be done with any file.
    """
    if jobs < 1:
        raise SettingsError(f"--jobs {jobs}: give 1 or more")
    records = open_records(folder, remote)
    tracks = batch_tracks(inputs, folder, records, remote)
    if len(tracks) > 1 and "{track}" not in settings.filename:
        raise SettingsError("--filename needs {track} where several files are separated by --auto")
    sha256 = cards_sha256(settings.model)
    asked: list[dict[str, Any]] = [{"auto": {**asdict(options), "levels": list(options.levels)}}]
    items = [
        AutoItem(
            track,
            replace(draft_record(track, settings.fingerprint(), asked, sha256), command="auto"),
        )
        for track in tracks
    ]
    return run_items(
        items,
        records,
        lambda threads: Worker(folder, replace(settings, threads=threads), options),
        jobs=jobs,
        threads=settings.threads,
        resume=resume,
        ray=ray,
        remote=remote,
        on_progress=on_progress,
        on_record=on_record,
    )


class Worker:
    """What a process does: loads separator and tagger with its first file, and keeps them."""

    def __init__(self, folder: Path, settings: Settings, options: AutoOptions) -> None:
        self._folder, self._settings, self._options = folder, settings, options
        self._loaded: tuple[AnySeparator, Tagger] | None = None

    def moved(self, folder: Path) -> "Worker":
        """Return the same for another output folder."""
        return Worker(folder, self._settings, self._options)

    def __call__(self, item: AutoItem, on_progress: Callable[[float], None]) -> Record:
        """Separate one item; a failure with this file is its record's `error`."""
        started = time.perf_counter()
        if self._loaded is None:
            tagger = open_tagger(self._options.tagger)
            self._loaded = open_separator(self._settings), tagger
        try:
            done = self._separate(item, *self._loaded, on_progress)
        except (QueryError, CheckpointError, SettingsError, Cancelled):
            raise
        except Exception as error:
            _log.debug("%s failed", item.track.path, exc_info=True)
            done = replace(item.draft, error=error_line(item.track.path, error))
        return replace(done, seconds=round(time.perf_counter() - started, 3))

    def _separate(
        self,
        item: AutoItem,
        separator: AnySeparator,
        tagger: Tagger,
        on_progress: Callable[[float], None],
    ) -> Record:
        settings, path = self._settings, item.track.path
        heard = tag_file(
            path,
            tagger,
            start_seconds=settings.start,
            end_seconds=settings.end,
            on_progress=lambda part: on_progress(_TAGGED * part),
        )
        nodes = probe(separator, path, heard, heard_nodes(heard, self._options), self._options.most)
        on_progress(_PROBED)
        places = layout(item.track, nodes, settings)
        written, presence = _write(
            separator,
            path,
            self._folder,
            settings,
            nodes,
            places,
            lambda part: on_progress(_PROBED + (1 - _PROBED) * part),
        )
        tree = describe(path, heard, nodes, places, presence, tagger.name)
        written.append(write_tree(tree, self._folder, places))
        return replace(item.draft, outputs=written, presence=presence, duration=heard.seconds)


def _write(
    separator: AnySeparator,
    path: Path,
    folder: Path,
    settings: Settings,
    nodes: Sequence[Node],
    places: Mapping[str, str],
    on_progress: Callable[[float], None],
) -> tuple[list[Output], dict[str, float]]:
    """Separate the whole file; return what was written and each source's presence."""
    written = [node for node in nodes if node.is_written]
    names = [node.name for node in written]
    gates = [Gate(node.active, BLOCK_SECONDS) for node in written]
    is_top = np.isin(names, tops(nodes))
    audio = {name: place for name, place in places.items() if name != TREE_NAME}
    with ExitStack() as stack:
        span: dict[str, Any] = {"start_seconds": settings.start, "end_seconds": settings.end}
        reader = stack.enter_context(AudioReader(path, **span))
        rate, total = reader.info.sample_rate, reader.samples
        outputs = stack.enter_context(OutputSet(folder, audio, reader.info, settings, total))
        if not written:  # nothing but the residual
            for block in reader.blocks(_BLOCK_SAMPLES):
                outputs.write({RESIDUAL: block})
            return outputs.commit(), {}
        channels = reader.info.channels
        mixture: deque[np.ndarray] = deque()  # on its way to the separator, until its results come

        def kept() -> Iterator[np.ndarray]:
            for block in reader.blocks(_BLOCK_SAMPLES):
                mixture.append(block)
                yield block

        stream = separator.stream(
            kept(),
            rate,
            channels,
            [node.query for node in written],
            lambda done: on_progress(min(1.0, done / total)) if total else None,
        )
        position = 0
        for block in stream:
            count = block.residual.shape[-1]
            if not count:
                continue
            gains = np.stack([gate.gains(position, count, rate) for gate in gates])
            estimates = block.estimates * gains[:, None, :]
            residual = take_samples(mixture, count, channels) - estimates[is_top].sum(axis=0)
            outputs.write(dict(zip([*names, RESIDUAL], [*estimates, residual], strict=True)))
            position += count
        presence = {name: round(value, 4) for name, value in stream.presence.items()}
        return outputs.commit(), presence
