"""The automatic job: everything that sounds in a track, as a tree of files.

Each track becomes a folder tree after AudioSet's ontology (`Music.wav`, `Music/Guitar.wav`, ...),
the residual, and `sources.json` with likelihoods and times.

A file is read three times: a tagger finds the classes that sound (`tagging`), a trial on a few
seconds shows which are there and differ from each other (`probe`), and the whole file is separated
as in any run. A source has gain only around the blocks in which it was found. The files at the top
of the tree and the residual sum to the mixture.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from separate.audio import AudioReader
from separate.auto.files import TREE_NAME, describe, layout, tree_text
from separate.auto.gate import Gate
from separate.auto.probe import probe
from separate.auto.tagging import BLOCK_SECONDS, Tagger, open_tagger, tag_file
from separate.auto.tree import AutoOptions, Node, sounding_nodes, tops
from separate.batch.guard import Guard
from separate.batch.job import Item, OnPart, Work, draft_record
from separate.batch.outputs import OutputSet
from separate.batch.record import Output, Record
from separate.batch.tracks import Track
from separate.errors import SettingsError
from separate.open import cards_sha256, open_separator
from separate.settings import RESIDUAL, Settings
from separate.stream import take_samples

if TYPE_CHECKING:
    from separate.separator import Separator

_BLOCK_SAMPLES = 262_144
_TAGGED, _PROBED = 0.15, 0.3  # part of the work that is done after each step


@dataclass(frozen=True)
class AutoJob:
    """Separate everything that sounds in each track; see `separate.batch.job.Job`."""

    settings: Settings
    options: AutoOptions
    folder: Path  # of the outputs

    @property
    def threads(self) -> int | None:
        """Processor threads of each process; None: the batch decides."""
        return self.settings.threads

    def items(self, tracks: Sequence[Track]) -> list[Item]:
        """List one item a track; its outputs are known only when it is done."""
        if len(tracks) > 1 and "{track}" not in self.settings.filename:
            raise SettingsError(
                "--filename needs {track} where several files are separated by --auto"
            )
        sha256 = cards_sha256(self.settings.model)
        asked = [{"auto": {**asdict(self.options), "levels": list(self.options.levels)}}]
        settings = self.settings.fingerprint()
        return [
            Item(track, draft_record(track, settings, asked, sha256, command="auto"))
            for track in tracks
        ]

    def load(self, threads: int | None, guard: Guard) -> Work:
        """Load separator and tagger."""
        tagger = open_tagger(self.options.tagger)
        separator = open_separator(replace(self.settings, threads=threads))
        return partial(separate_all, separator, tagger, self, guard)


def separate_all(
    separator: "Separator",
    tagger: Tagger,
    job: AutoJob,
    guard: Guard,
    item: Item,
    folder: Path,
    on_part: OnPart,
) -> Record:
    """Separate everything that sounds in one track.

    Args:
        separator: Loaded, of any queries.
        tagger: Loaded.
        job: Settings and options.
        guard: What the files must not replace.
        item: The track.
        folder: The output folder.
        on_part: Called with the part done, 0..1; what it raises ends the separation.

    Returns:
        The completed record.

    Raises:
        InputError: The track can't be read.
        OutputError: A file can't be written.
    """
    settings, path = job.settings, item.track.path
    found = tag_file(
        path,
        tagger,
        start_seconds=settings.start,
        end_seconds=settings.end,
        stream=settings.stream,
        on_progress=lambda part: on_part(_TAGGED * part),
    )
    nodes = probe(
        separator,
        path,
        found,
        sounding_nodes(found, job.options),
        job.options.most,
        stream=settings.stream,
    )
    on_part(_PROBED)
    places = layout(item.track, nodes, settings)
    written, presence = _write(
        separator,
        path,
        folder,
        guard,
        settings,
        nodes,
        places,
        lambda presence: tree_text(describe(path, found, nodes, places, presence, tagger.name)),
        lambda part: on_part(_PROBED + (1 - _PROBED) * part),
    )
    return replace(item.draft, outputs=written, presence=presence, duration=found.seconds)


def _write(
    separator: "Separator",
    path: Path,
    folder: Path,
    guard: Guard,
    settings: Settings,
    nodes: Sequence[Node],
    places: Mapping[str, str],
    describe_tree: Callable[[Mapping[str, float]], str],
    on_progress: Callable[[float], None],
) -> tuple[list[Output], dict[str, float]]:
    """Separate the whole file; return what was written and each source's presence."""
    written = [node for node in nodes if node.is_written]
    names = [node.name for node in written]
    gates = [Gate(node.active, BLOCK_SECONDS) for node in written]
    is_top = np.isin(names, tops(nodes))
    audio = {name: place for name, place in places.items() if name != TREE_NAME}
    with ExitStack() as stack:
        reader = stack.enter_context(
            AudioReader(
                path,
                start_seconds=settings.start,
                end_seconds=settings.end,
                stream=settings.stream,
            )
        )
        rate, total = reader.info.sample_rate, reader.samples
        texts = {TREE_NAME: places[TREE_NAME]}
        outputs = stack.enter_context(
            OutputSet(folder, audio, reader.info, settings, total, texts=texts, guard=guard)
        )
        if not written:  # nothing but the residual
            for block in reader.blocks(_BLOCK_SAMPLES):
                outputs.write({RESIDUAL: block})
            outputs.write_text(TREE_NAME, describe_tree({}))
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
            channel_mask=reader.info.channel_mask,
        )
        position = 0
        for separated in stream:
            count = separated.residual.shape[-1]
            if not count:
                continue
            gains = np.stack([gate.gains(position, count, rate) for gate in gates])
            estimates = separated.estimates * gains[:, None, :]
            residual = take_samples(mixture, count, channels) - estimates[is_top].sum(axis=0)
            outputs.write(dict(zip([*names, RESIDUAL], [*estimates, residual], strict=True)))
            position += count
        presence = {name: round(value, 4) for name, value in stream.presence.items()}
        outputs.write_text(TREE_NAME, describe_tree(presence))
        return outputs.commit(), presence
