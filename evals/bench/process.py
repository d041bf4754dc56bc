"""Run a program and see how long it takes and how much memory it holds; comes in: a command.

The peak is that of the whole tree of processes, sampled from /proc where there is one, else what
the system says of the child at its end.
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
    """What a run took."""

    seconds: float  # from start to end, by the clock
    peak_bytes: int  # resident, of the process and those that it started
    output: str  # standard output


def run_measured(command: Sequence[str], threads: int | None = None) -> Measured:
    """Run a command to its end.

    Args:
        command: Program and arguments.
        threads: For OMP_NUM_THREADS; None leaves the environment as it is.

    Raises:
        DataError: It failed; the message ends with its last line.
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
    """The command line of this installation."""
    program = Path(sys.executable).with_name("separate")
    if program.is_file():
        return [str(program), *arguments]
    return [sys.executable, "-c", "from separate.cli.main import main; main()", *arguments]


class _Sampler(threading.Thread):
    """Looks at a tree of processes until told to stop."""

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
    children: dict[int, list[int]] = {}
    memory: dict[int, tuple[int, int]] = {}
    for path in _PROC.glob("[0-9]*/status"):
        try:
            fields = dict(
                line.split(":", 1) for line in path.read_text().splitlines() if ":" in line
            )
        except OSError:
            continue
        children.setdefault(int(fields["PPid"]), []).append(int(path.parent.name))
        memory[int(path.parent.name)] = (_kilobytes(fields, "VmRSS"), _kilobytes(fields, "VmHWM"))
    now = highest = 0
    waiting = [pid]
    while waiting:
        current = waiting.pop()
        resident, peak = memory.get(current, (0, 0))
        now, highest = now + resident, max(highest, peak)
        waiting += children.get(current, [])
    return now, highest


def _kilobytes(fields: dict[str, str], key: str) -> int:
    return int(fields.get(key, "0 kB").split()[0]) * 1024


def _peak_of_children() -> int:
    """The largest of the children so far, where /proc is missing."""
    import resource

    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
