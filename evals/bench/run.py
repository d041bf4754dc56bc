"""Speed, memory and start time of several systems, side by side, as one result.

Each system runs in its own process with the same audio and threads. Runs alternate, so that a busy
moment of the machine affects all systems alike. Times are medians; a ratio is the median of each
round's ratio.
"""

import json
import platform
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from separate.evals.bench.process import run_measured, separate_command
from separate.evals.bench.signals import music_like, write_clip
from separate.evals.bench.systems import QUERIES, SAMPLE_RATE, System, open_system
from separate.evals.bench.timed import start_timed

_START_SECONDS = 7.0  # length of the clip that is separated from command to files
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class BenchSettings:
    """What is measured, and how often."""

    seconds: float = 180.0  # of audio
    runs: int = 3  # rounds
    threads: int = 2  # of torch
    memory_minutes: tuple[float, ...] = ()  # lengths of files whose peak memory is measured
    start: bool = True  # measure start times


def bench(
    systems: Sequence[System], settings: BenchSettings, on_progress: Progress | None = None
) -> dict[str, Any]:
    """Measure everything that the settings ask for.

    Args:
        systems: Our models and baselines.
        settings: What is measured, and how often.
        on_progress: Called with (done, total, what) after each step.

    Returns:
        The result, of kind "bench".

    Raises:
        SeparateError: A model or package is missing, or a program failed.
    """
    import torch

    # Measured before models are loaded in this process: a program starts slower beside them.
    start = measure_start(systems, settings, on_progress) if settings.start else None
    speed = measure_speed(systems, settings, on_progress)
    result = {
        "kind": "bench",
        "machine": {
            "cpu": _cpu_name(),
            "threads": settings.threads,
            "python": platform.python_version(),
            "torch": torch.__version__,
        },
        "audio": {"seconds": settings.seconds, "sample_rate": SAMPLE_RATE, "channels": 2},
        "runs": settings.runs,
        "mask_rule": "sum-to-mix with several queries, one query against the rest",
        "speed": speed,
        "ratios": ratios(speed),
    }
    if start is not None:
        result["start"] = start
    if settings.memory_minutes:
        result["memory"] = measure_memory(systems, settings, on_progress)
    return result


def measure_speed(
    systems: Sequence[System], settings: BenchSettings, on_progress: Progress | None = None
) -> list[dict[str, Any]]:
    """Time separation in memory, from array to arrays, model loaded and warm.

    Returns:
        An entry for each system and number of queries, with the seconds of every run.
    """
    timed = {s: start_timed(s, settings.seconds, settings.threads) for s in systems}
    entries = [(system, queries) for system in systems for queries in system.queries]
    taken: dict[tuple[System, int], list[float]] = {entry: [] for entry in entries}
    for run in range(settings.runs):
        for step, (system, queries) in enumerate(entries):
            taken[system, queries].append(timed[system](queries))
            if on_progress is not None:
                on_progress(
                    run * len(entries) + step + 1, settings.runs * len(entries), system.name
                )
    return [
        {
            **asdict(system),
            "queries": queries,
            "run_seconds": runs,
            "median_seconds": statistics.median(runs),
            "times_real_time": settings.seconds / statistics.median(runs),
        }
        for (system, queries), runs in taken.items()
    ]


def ratios(speed: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return how many times faster each of our entries is than each other system, run by run.

    Public networks give all stems at once, so only entries of the most queries are compared.
    """
    ours = [entry for entry in speed if entry["kind"] == "separate"]
    others = [entry for entry in speed if entry["kind"] != "separate"]
    table = []
    for entry in ours:
        most = max(e["queries"] for e in ours if e["name"] == entry["name"])
        if entry["queries"] != most:
            continue
        for other in others:
            pairs = zip(other["run_seconds"], entry["run_seconds"], strict=True)
            ratio = statistics.median(theirs / own for theirs, own in pairs)
            table.append(
                {"name": entry["name"], "queries": most, "to": other["name"], "times": ratio}
            )
    return table


def measure_start(
    systems: Sequence[System], settings: BenchSettings, on_progress: Progress | None = None
) -> list[dict[str, Any]]:
    """Time from a command to its end: help, a 7-second clip to files, and load plus clip.

    Returns:
        Entries with what was timed, the seconds of every run, their median, and peak memory.
    """
    entries = []
    with tempfile.TemporaryDirectory(prefix="separate-bench-") as name:
        clip = write_clip(Path(name) / "clip.wav", _START_SECONDS)
        commands = {"separate --help": separate_command("--help")}
        for system in _trained(systems):
            what = f"separate run, 7 s to files, {system.name}"
            commands[what] = _run_command(clip, system, settings.threads)
        for system in systems:
            what = f"import, load, 7 s in memory, {system.name}"
            commands[what] = child_command(system, _START_SECONDS, settings.threads)
        for step, (what, command) in enumerate(commands.items()):
            runs = [run_measured(command, settings.threads) for _ in range(settings.runs)]
            entries.append(
                {
                    "what": what,
                    "run_seconds": [run.seconds for run in runs],
                    "median_seconds": statistics.median(run.seconds for run in runs),
                    "peak_bytes": max(run.peak_bytes for run in runs),
                }
            )
            if on_progress is not None:
                on_progress(step + 1, len(commands), what)
    return entries


def measure_memory(
    systems: Sequence[System], settings: BenchSettings, on_progress: Progress | None = None
) -> list[dict[str, Any]]:
    """Peak resident memory of `separate run` for each length of file, and of public networks.

    Public networks hold the whole song in memory; they are given `settings.seconds` of audio only.
    """
    entries: list[dict[str, Any]] = []
    ours = _trained(systems)
    others = [system for system in systems if system not in ours]
    total = len(ours) * len(settings.memory_minutes) + len(others)

    def add(system: System, minutes: float, how: str, command: list[str]) -> None:
        run = run_measured(command, settings.threads)
        measured = {"peak_bytes": run.peak_bytes, "seconds": run.seconds}
        entries.append({"name": system.name, "how": how, "minutes": minutes, **measured})
        if on_progress is not None:
            on_progress(len(entries), total, f"{system.name}, {minutes:g} min")

    for minutes in settings.memory_minutes:
        with tempfile.TemporaryDirectory(prefix="separate-bench-") as name:
            clip = write_clip(Path(name) / "song.flac", minutes * 60)
            for system in ours:
                add(system, minutes, "separate run", _run_command(clip, system, settings.threads))
    for system in others:
        command = child_command(system, settings.seconds, settings.threads)
        add(system, settings.seconds / 60, "in memory", command)
    return entries


def _trained(systems: Sequence[System]) -> list[System]:
    """Return our models with trained weights: those that `separate run` takes."""
    return [s for s in systems if s.kind == "separate" and s.weights == "trained"]


def _run_command(clip: Path, system: System, threads: int) -> list[str]:
    """Return the command for all stems of a model, written as FLAC beside the clip."""
    asked = ["--stems"] if max(system.queries) == len(QUERIES) else ["-q", QUERIES[0]]
    out = clip.parent / f"out-{system.name.replace('/', '_')}"
    return separate_command(
        "run", str(clip), *asked, "-o", str(out), "--model", system.name,
        "--format", "flac", "--threads", str(threads),
    )  # fmt: skip


def child_command(system: System, seconds: float, threads: int) -> list[str]:
    """Return the command that opens a system and separates once, in a new process."""
    task = {"system": asdict(system), "seconds": seconds, "threads": threads}
    return [sys.executable, "-m", "separate.evals.bench.run", json.dumps(task)]


def run_child(text: str) -> None:
    """Open a system and separate once; see `child_command`."""
    task = json.loads(text)
    queries = tuple(task["system"]["queries"])
    system = System(**{**task["system"], "queries": queries})
    open_system(system, task["threads"])(music_like(task["seconds"]), max(queries))


def _cpu_name() -> str:
    """Return the processor's name, or its architecture where the name is not known."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


if __name__ == "__main__":
    run_child(sys.argv[1])
