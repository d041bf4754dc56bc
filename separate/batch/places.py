"""Where the outputs of a run go, given what earlier runs and others put into the folder."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from separate.batch.guard import Guard, identity
from separate.batch.job import Item
from separate.batch.record import Record, Records


def make_guard(items: Sequence[Item], records: Records, *, overwrite: bool) -> Guard:
    """Return the guard of a run.

    Args:
        items: All that is to be done.
        records: Of the output folder.
        overwrite: Whether files of others may be replaced.
    """
    read = {
        identity(path)
        for item in items
        for path in (
            item.track.path if item.track.remote is None else item.track.remote.address,
            *item.reads,
        )
    }
    made = {output.path for record in records for output in record.outputs} | records.begun
    return Guard(frozenset(read), None if overwrite else frozenset(made))


def place_residuals(items: Sequence[Item], records: Records) -> list[Item]:
    """Number residuals whose path holds the residual of other queries.

    A residual belongs to the sources that were taken out beside it. Where an earlier run wrote one
    and its sources stay, the new one gets the next free number, and the same number again when its
    own run is repeated.

    Args:
        items: Of one job, in order.
        records: Of the output folder.

    Returns:
        The items; those whose residual got a number have a warning.
    """
    writers: dict[str, Record] = {}
    for record in records:
        writers.update({output.path: record for output in record.outputs})
    used = {output.path.casefold() for item in items for output in item.draft.outputs}
    return [_with_residual(item, writers, records, used) for item in items]


def _with_residual(
    item: Item, writers: Mapping[str, Record], records: Records, used: set[str]
) -> Item:
    draft = item.draft
    sources = {query.get("name") for query in draft.queries}
    rest = next((output for output in draft.outputs if output.stem not in sources), None)
    if rest is None or draft.command != "run":
        return item
    own = {output.path for output in draft.outputs} - {rest.path}

    def is_free(place: str) -> bool:
        writer = writers.get(place)
        if writer is None or writer.key == draft.key:
            return place == rest.path or writer is not None or not records.exists(place)
        others = {output.path for output in writer.outputs} - {place}
        return not any(records.exists(other) for other in others - own)

    place, number = rest.path, 1
    while not is_free(place) or (number > 1 and place.casefold() in used):
        number += 1
        path = PurePosixPath(rest.path)
        place = str(path.with_name(f"{path.stem} ({number}){path.suffix}"))
    if place == rest.path:
        return item
    used.add(place.casefold())
    outputs = [replace(o, path=place) if o is rest else o for o in draft.outputs]
    line = f"{rest.path!r} belongs to other sources taken out before: this one is {place!r}"
    return replace(item, draft=replace(draft, outputs=outputs, warnings=[line]))
