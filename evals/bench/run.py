"""Speed, memory and start time, side by side; comes in: contestants; goes out: one result.

The same audio, the same threads, a process each; runs alternate, so that a busy moment of the
machine meets all alike; medians, and ratios as medians of each round's ratio.
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

from separate.evals.bench.baselines import QUERIES, SAMPLE_RATE, Contestant, open_contestant
from separate.evals.bench.process import run_measured, separate_command
from separate.evals.bench.signals import music_like, write_clip
from separate.evals.bench.timed import start_timed

_START_SECONDS = 7.0  # length of the clip whose way from command to files is timed
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class BenchSettings:
    """What is measured."""

    seconds: float = 180.0  # of audio
    runs: int = 3  # rounds
    threads: int = 2  # of torch
    memory_minutes: tuple[float, ...] = ()  # lengths of files whose peak memory is measured
    start: bool = True  # measure start times


def bench(
    contestants: Sequence[Contestant],
    settings: BenchSettings,
    on_progress: Progress | None = None,
) -> dict[str, Any]:
    """Measure everything that the settings ask for.

    Args:
        contestants: Ours and others.
        settings: What and how often.
        on_progress: Called with (done, total, what) after each step.

    Returns:
        The result, of kind "bench".

    Raises:
        SeparateError: A model or package is missing, or a program failed.
    """
    import torch

    # Before models are loaded here: a program starts slower beside them.
    start = measure_start(contestants, settings, on_progress) if settings.start else None
    speed = measure_speed(contestants, settings, on_progress)
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
        result["memory"] = measure_memory(contestants, settings, on_progress)
    return result


def measure_speed(
    contestants: Sequence[Contestant], settings: BenchSettings, on_progress: Progress | None = None
) -> list[dict[str, Any]]:
    """Time separation in memory, from array to arrays, model loaded and warm.

    Returns:
        An entry for each contestant and number of queries, with the seconds of every run.
    """
    timed = {c: start_timed(c, settings.seconds, settings.threads) for c in contestants}
    plan = [(c, queries) for c in contestants for queries in c.queries]
    taken: dict[tuple[Contestant, int], list[float]] = {entry: [] for entry in plan}
    for run in range(settings.runs):
        for step, (contestant, queries) in enumerate(plan):
            taken[contestant, queries].append(timed[contestant](queries))
            if on_progress is not None:
                on_progress(run * len(plan) + step + 1, settings.runs * len(plan), contestant.name)
    return [
        {
            **asdict(contestant),
            "queries": queries,
            "run_seconds": runs,
            "median_seconds": statistics.median(runs),
            "times_real_time": settings.seconds / statistics.median(runs),
        }
        for (contestant, queries), runs in taken.items()
    ]


def ratios(speed: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """How many times faster each of our entries is than each other system, run by run.

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
    contestants: Sequence[Contestant], settings: BenchSettings, on_progress: Progress | None = None
) -> list[dict[str, Any]]:
    """Time from a command to its end: help, a 7-second clip to files, and load plus clip.

    Returns:
        Entries with what was timed, the seconds of every run, their median, and peak memory.
    """
    with tempfile.TemporaryDirectory(prefix="separate-bench-") as name:
        folder = Path(name)
        clip = write_clip(folder / "clip.wav", _START_SECONDS)
        commands = [("separate --help", separate_command("--help"))]
        for contestant in contestants:
            if contestant.kind == "separate" and contestant.weights == "trained":
                arguments = _run_arguments(clip, folder, contestant, settings.threads)
                what = f"separate run, 7 s to files, {contestant.name}"
                commands.append((what, separate_command(*arguments)))
        for contestant in contestants:
            what = f"import, load, 7 s in memory, {contestant.name}"
            commands.append((what, child_command(contestant, _START_SECONDS, settings.threads)))
        entries = []
        for step, (what, command) in enumerate(commands):
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
    contestants: Sequence[Contestant], settings: BenchSettings, on_progress: Progress | None = None
) -> list[dict[str, Any]]:
    """Peak resident memory of a file of each length: the command for ours, memory for others.

    Public networks hold the whole song; they are given `settings.seconds` of audio only.
    """
    entries: list[dict[str, Any]] = []
    ours = [c for c in contestants if c.kind == "separate" and c.weights == "trained"]
    others = [c for c in contestants if c not in ours]
    total = len(ours) * len(settings.memory_minutes) + len(others)

    def add(contestant: Contestant, minutes: float, how: str, command: list[str]) -> None:
        run = run_measured(command, settings.threads)
        entries.append(
            {
                "name": contestant.name,
                "how": how,
                "minutes": minutes,
                "peak_bytes": run.peak_bytes,
                "seconds": run.seconds,
            }
        )
        if on_progress is not None:
            on_progress(len(entries), total, f"{contestant.name}, {minutes:g} min")

    for minutes in settings.memory_minutes:
        with tempfile.TemporaryDirectory(prefix="separate-bench-") as name:
            folder = Path(name)
            clip = write_clip(folder / "song.flac", minutes * 60)
            for contestant in ours:
                arguments = _run_arguments(clip, folder, contestant, settings.threads)
                add(contestant, minutes, "separate run", separate_command(*arguments))
    for contestant in others:
        command = child_command(contestant, settings.seconds, settings.threads)
        add(contestant, settings.seconds / 60, "in memory", command)
    return entries


def _run_arguments(clip: Path, folder: Path, contestant: Contestant, threads: int) -> list[str]:
    """The command for all stems of a model, written as FLAC beside the clip."""
    number = max(contestant.queries)
    asked = ["--stems"] if number == len(QUERIES) else ["-q", QUERIES[0]]
    out = folder / f"out-{contestant.name.replace('/', '_')}"
    return [
        "run", str(clip), *asked, "-o", str(out), "--model", contestant.name,
        "--format", "flac", "--threads", str(threads),
    ]  # fmt: skip


def child_command(contestant: Contestant, seconds: float, threads: int) -> list[str]:
    """The command that opens a contestant and separates once, in a process of its own."""
    task = {"contestant": asdict(contestant), "seconds": seconds, "threads": threads}
    return [sys.executable, "-m", "separate.evals.bench.run", json.dumps(task)]


def run_child(text: str) -> None:
    """What a child process does; see `child_command`."""
    task = json.loads(text)
    queries = tuple(task["contestant"]["queries"])
    contestant = Contestant(**{**task["contestant"], "queries": queries})
    open_contestant(contestant, task["threads"])(music_like(task["seconds"]), max(queries))


def _cpu_name() -> str:
    """The processor's name, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


if __name__ == "__main__":
    run_child(sys.argv[1])
