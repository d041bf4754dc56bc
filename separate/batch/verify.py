"""Compare the files of an output folder, local or remote, with its record."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from separate.batch.record import RECORD_NAME, Output, Record, RecordFile
from separate.batch.remote.files import Place
from separate.errors import InputError
from separate.files import sha256_of

MISSING, PARTIAL, CHANGED, UNKNOWN = "missing", "partial", "changed", "unknown"
Measure = Callable[[str], tuple[int, str]]  # (size in bytes, SHA-256) of a place


@dataclass(frozen=True)
class Finding:
    """Something that is not as recorded."""

    path: str  # relative to the output folder
    problem: str  # missing; partial: shorter than written; changed; unknown: not in the record


@dataclass(frozen=True)
class VerifyReport:
    """What was found."""

    files: int  # recorded outputs
    whole: int  # of them as they were written
    findings: tuple[Finding, ...]
    failed: dict[str, str] = field(default_factory=dict)  # error by input, where nothing came out

    def as_data(self) -> dict[str, Any]:
        """Return the report as plain values."""
        return asdict(self)


def verify(place: Place, on_file: Callable[[int, int], None] | None = None) -> VerifyReport:
    """Compare every output with its record, byte for byte by SHA-256.

    Args:
        place: The output folder of a batch.
        on_file: Called with the recorded files that were checked, and all of them.

    Raises:
        InputError: There is no record, or the store can't be read.
    """
    if isinstance(place, Path):
        records: Iterable[Record] = RecordFile(place)
        sizes = dict(_local_files(place))

        def measure(path: str) -> tuple[int, str]:
            try:
                return sizes[path], sha256_of(place / path)
            except OSError as error:
                raise InputError(f"{place / path}: cannot be read ({error.strerror})") from error
    else:
        from separate.batch.remote.files import read_hash
        from separate.batch.remote.record import RemoteRecords

        records = RemoteRecords(place)
        files = records.files()
        sizes = {path: file.size for path, file in files.items()}

        def measure(path: str) -> tuple[int, str]:
            return read_hash(files[path].address)

    known = list(records)
    if not known:
        raise InputError(f"{place}: has no record ({RECORD_NAME}); name the output folder of a run")
    return _compare(known, sizes, measure, on_file)


def _local_files(folder: Path) -> Iterator[tuple[str, int]]:
    """Yield path and size of all files below a folder, but for the record."""
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent, name)
            place = path.relative_to(folder).as_posix()
            if place != RECORD_NAME:
                yield place, path.lstat().st_size


def _compare(
    records: list[Record],
    sizes: Mapping[str, int],
    measure: Measure,
    on_file: Callable[[int, int], None] | None,
) -> VerifyReport:
    outputs: dict[str, Output] = {}  # the last word about each path counts
    failed: dict[str, str] = {}
    for record in records:
        outputs.update({output.path: output for output in record.outputs})
        failed.pop(record.input, None)
        if record.error:
            failed[record.input] = record.error
    findings = []
    for number, (path, output) in enumerate(sorted(outputs.items()), start=1):
        problem = _problem(output, sizes.get(path), measure)
        if problem:
            findings.append(Finding(path, problem))
        if on_file is not None:
            on_file(number, len(outputs))
    whole = len(outputs) - len(findings)
    findings += [Finding(path, UNKNOWN) for path in sorted(set(sizes) - set(outputs))]
    return VerifyReport(len(outputs), whole, tuple(findings), failed)


def _problem(output: Output, size: int | None, measure: Measure) -> str | None:
    if size is None:
        return MISSING
    if size != output.bytes:
        return PARTIAL if size < output.bytes else CHANGED
    return None if measure(output.path) == (output.bytes, output.sha256) else CHANGED
