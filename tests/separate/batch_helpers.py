"""A separator without weights, and small sounds, for the tests of batches and the command line."""

import os
import select
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from separate.audio import write_audio
from separate.batch import run as batch
from separate.batch.separation import SeparationJob, make_job
from separate.errors import QueryError
from separate.separator import check_queries
from separate.settings import Request, Settings
from separate.stream import StreamBlock

RATE = 8000


@dataclass
class FakeSeparator:
    """Gives each query its share of the mixture, and obeys words in the queries."""

    settings: Settings
    model_sha256: str = "abc"
    gate: Path | None = None  # each second of audio waits there, see `Gate`
    is_endless: bool = False  # loud audio is not done before the report of progress raises

    def stream(
        self,
        blocks: Iterable[np.ndarray],
        sample_rate: int,
        channels: int,
        queries: Sequence,
        on_progress: Callable[[int], None] | None = None,
        *,
        channel_mask: int = 0,
    ) -> "FakeStream":
        queries = check_queries(queries)
        if any(query.name == "unanswerable" for query in queries):
            raise QueryError("this model separates no such thing; use --model default")
        return FakeStream(self, blocks, [query.name for query in queries], on_progress)


class FakeStream:
    def __init__(
        self, separator: FakeSeparator, blocks: Iterable[np.ndarray], names: list[str], on_progress
    ) -> None:
        self._separator = separator
        self._blocks, self._names, self._on_progress = blocks, names, on_progress
        self.presence = {name: 0.9 if name != "bagpipes" else 0.01 for name in names}
        keeps = separator.settings.keep_absent
        self.absent = [name for name in names if name == "bagpipes" and not keeps]
        self.answered_as = {name: "vocals" for name in names if name == "female singer"}

    def __iter__(self) -> Iterator[StreamBlock]:
        done = 0
        for block in self._blocks:
            for part in np.array_split(block, max(1, block.shape[1] // RATE), axis=1):
                done += part.shape[1]
                if self._separator.gate is not None:
                    wait_at_gate(self._separator.gate)
                if self._separator.is_endless and part.max() > 0.9:
                    self._report_until_stopped(done)
                if "deadly" in self._names and part.max() > 0.9:
                    os._exit(9)
                gain = 4.0 if "loud" in self._names else 0.5
                estimates = np.stack([part * gain / (i + 1) for i in range(len(self._names))])
                yield StreamBlock(estimates, part - part * gain, part)
                if self._on_progress is not None:
                    self._on_progress(done)

    def _report_until_stopped(self, done: int) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            self._on_progress(done)
            time.sleep(0.01)
        raise TimeoutError("nobody stopped this separation")


def make_fake(settings: Settings) -> FakeSeparator:
    return FakeSeparator(settings)


def make_other_fake(settings: Settings) -> FakeSeparator:
    return FakeSeparator(settings, "another")


def make_endless_fake(settings: Settings) -> FakeSeparator:
    return FakeSeparator(settings, is_endless=True)


def make_gated_fake(gate: Path, settings: Settings) -> FakeSeparator:
    return FakeSeparator(settings, gate=gate)


class Gate:
    """Holds up fake separations in all processes; a test lets them pass one by one.

    Two named pipes: each second of audio announces itself in one and waits for a byte in the other.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        pipes = [folder / "arrivals", folder / "passes"]
        for pipe in pipes:
            os.mkfifo(pipe)
        # Open for both, so that no side waits for the other to open it.
        self._arrivals, self._passes = (os.fdopen(os.open(p, os.O_RDWR), "r+b", 0) for p in pipes)

    @property
    def separator_factory(self) -> Callable[[Settings], FakeSeparator]:
        """Makes separators that wait here."""
        return partial(make_gated_fake, self.folder)

    def arrival(self, seconds: float = 180) -> int:
        """Wait until somebody waits; returns the parent of that process."""
        assert select.select([self._arrivals], [], [], seconds)[0], "nobody came to the gate"
        return int(self._arrivals.readline())

    def let_pass(self) -> None:
        """Let one of those that wait go on."""
        self._passes.write(b"x")

    def open(self) -> None:
        """Let all go on, and those that come later."""
        for pipe in self.folder.iterdir():
            pipe.unlink()
        self._passes.write(b"x" * 1000)


def wait_at_gate(folder: Path) -> None:
    try:
        with (folder / "arrivals").open("ab", 0) as arrivals:
            arrivals.write(f"{os.getppid()}\n".encode())
        with (folder / "passes").open("rb", 0) as passes:
            passes.read(1)
    except FileNotFoundError:
        pass  # it is open


def sound(path: Path, seconds: float = 0.5, peak: float = 0.4, **options: object) -> Path:
    """Write a tone, different for each name; returns its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    time_axis = np.arange(int(seconds * RATE)) / RATE
    hz = 100 + sum(path.name.encode()) % 300
    tone = peak * np.sin(2 * np.pi * hz * time_axis)
    write_audio(path, np.stack([tone, -tone]).astype(np.float32), RATE, **options)
    return path


def task(folder: Path, *texts: str, **options: object) -> SeparationJob:
    asked = {
        key: options.pop(key)
        for key in ("stems", "two_stems", "like", "exclude", "residual", "sum_to_mixture")
        if key in options
    }
    for key in ("like", "exclude"):
        asked[key] = tuple(asked.get(key, ()))
    return make_job(folder, Settings(**options), Request(texts=texts, **asked))


def run_batch(
    inputs: Sequence[Path],
    job: SeparationJob,
    *,
    separator_factory: Callable[[Settings], object] | None = None,
    on_progress: Callable[[float, float], None] | None = None,
    on_record: Callable[[object, bool], None] | None = None,
    **options: object,
) -> batch.BatchResult:
    """Run a batch with another separator, and with options by their names."""
    return batch.run_batch(
        inputs,
        replace(job, factory=separator_factory),
        batch.BatchOptions(**options),
        on_progress=on_progress,
        on_record=on_record,
    )


def files(folder: Path) -> list[str]:
    """All files below a folder, hidden ones too, but for the record."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return sorted(str(p.relative_to(folder)) for p in found if p.name != "separate.jsonl")
