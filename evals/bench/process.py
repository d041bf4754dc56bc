"""Run a program and measure its time and its peak memory.

The peak is that of the whole tree of processes, sampled from /proc; without /proc it is the peak
that the system reports of the child at its end.
"""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from separate.errors import DataError

_SAMPLE_SECONDS = 0.05
_PROC = Path("/proc")


@dataclass(frozen=True)
class Measured:
    """Time and memory of one run."""

    seconds: float  # from start to end, by the clock
    peak_bytes: int  # resident memory of the process and its descendants
    output: str  # standard output


def run_measured(command: Sequence[str], threads: int | None = None) -> Measured:
    """Run a command to its end.

    Args:
        command: Program and arguments.
        threads: For OMP_NUM_THREADS; None leaves the environment as it is.

    Raises:
        DataError: The command failed; the message ends with its last line.
    """
    environment = dict(os.environ)
    if threads is not None:
        environment["OMP_NUM_THREADS"] = str(threads)
    started = time.perf_counter()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as child:
        sampler = _Sampler(child.pid)
        sampler.start()
        output, errors = child.communicate()
        seconds = time.perf_counter() - started
        sampler.stop()
    if child.returncode != 0:
        last = (errors or output).strip().splitlines()
        reason = last[-1] if last else f"exit status {child.returncode}"
        raise DataError(f"{Path(command[0]).name} {' '.join(command[1:3])} failed: {reason}")
    sampled = sampler.peak_bytes if _PROC.is_dir() else _peak_of_children()
    return Measured(seconds, sampled, output)


def separate_command(*arguments: str) -> list[str]:
    """Return a command line of `separate` as it is installed here."""
    program = Path(sys.executable).with_name("separate")
    if program.is_file():
        return [str(program), *arguments]
    return [sys.executable, "-c", "from separate.cli.main import main; main()", *arguments]


class _Sampler(threading.Thread):
    """Samples the memory of a tree of processes until it is stopped."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.peak_bytes = 0
        self._pid = pid
        self._ended = threading.Event()

    def run(self) -> None:
        while not self._ended.is_set():
            now, highest = tree_memory(self._pid)
            self.peak_bytes = max(self.peak_bytes, now, highest)
            self._ended.wait(_SAMPLE_SECONDS)

    def stop(self) -> None:
        self._ended.set()
        self.join()


def tree_memory(pid: int) -> tuple[int, int]:
    """Return (bytes resident now in a process and its descendants, the highest single peak)."""
    found = [status(path) for path in tree(pid, "status")]
    now = sum(_bytes(fields, "VmRSS") for fields in found)
    return now, max((_bytes(fields, "VmHWM") for fields in found), default=0)


def tree(pid: int, file: str) -> list[Path]:
    """Return the paths `/proc/<pid>/<file>` of a process and its descendants."""
    parents = {
        int(path.parent.name): int(status(path).get("PPid", "0"))
        for path in _PROC.glob("[0-9]*/status")
    }
    family = {pid}
    while grown := {child for child, parent in parents.items() if parent in family} - family:
        family |= grown
    return [_PROC / str(member) / file for member in sorted(family)]


def status(path: Path) -> dict[str, str]:
    """Return the fields "name: value" of a file in /proc, none where the process has ended."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return {}
    return dict(line.split(":", 1) for line in lines if ":" in line)


def _bytes(fields: dict[str, str], key: str) -> int:
    return int(fields.get(key, "0 kB").split()[0]) * 1024


def _peak_of_children() -> int:
    """Return the largest peak of the children that have ended, for systems without /proc."""
    import resource

    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
