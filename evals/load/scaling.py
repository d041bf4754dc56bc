"""Many hours of audio on many workers: an estimate, a simulation, and the scaling measured on Ray.

    python evals/load/scaling.py                 # estimate beside simulation: docs/scale.md
    python evals/load/scaling.py --measure       # one worker against two, one thread each

The estimate and the simulation return time, cost, traffic, and the resource that is full first.
"""

import heapq
import math
import random
import shutil
import statistics
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

WAV_BYTES_PER_SECOND = 44_100 * 2 * 2  # 16 bit, stereo
_SONG_MINUTES, _PODCAST_MINUTES = 4.0, 60.0
_PODCAST_SHARE = 0.02  # of the files; about a fifth of the hours


@dataclass(frozen=True)
class Cluster:
    """Work and resources. All defaults but the speed are assumptions, see docs/scale.md."""

    hours: float = 100_000.0  # of audio
    workers: int = 100
    speed: float = 14.0  # times real time of a worker: one core, four stems, files included
    start_seconds: float = 15.0  # until a worker has loaded its model
    input_bytes_per_second: float = 24_000.0  # of audio: MP3 or AAC of 192 kbit/s
    outputs: int = 4
    output_bytes_per_second: float = 0.6 * WAV_BYTES_PER_SECOND  # of audio: FLAC, each output
    worker_bytes_per_second: float = 100e6  # of one worker from and to the store
    link_bytes_per_second: float = 1.25e9  # of all workers together: 10 Gbit/s
    driver_seconds: float = 0.04  # a record of a remote folder: two requests
    dollars_per_worker_hour: float = 0.04  # a core

    @property
    def traffic_bytes_per_second(self) -> float:
        """Bytes in and out for a second of audio."""
        return self.input_bytes_per_second + self.outputs * self.output_bytes_per_second


@dataclass(frozen=True)
class Outcome:
    """Duration of the work, and how busy each resource is."""

    seconds: float
    full: str  # the resource that is busy all the time: workers, link or driver
    workers_busy: float  # part of the time, 0..1
    link_busy: float
    driver_busy: float


def lengths(hours: float, seed: int = 1) -> list[float]:
    """Draw lengths of files in seconds, longest first: songs, and some podcasts.

    Args:
        hours: Least sum of the lengths.
        seed: Seed of the draw.
    """
    draw = random.Random(seed)
    drawn, left = [], hours * 3600
    while left > 0:
        minutes = _PODCAST_MINUTES if draw.random() < _PODCAST_SHARE else _SONG_MINUTES
        drawn.append(60 * minutes * draw.lognormvariate(0, 0.3))
        left -= drawn[-1]
    return sorted(drawn, reverse=True)


def on_paper(cluster: Cluster, files: int) -> Outcome:
    """Estimate the duration from the resource that is full first.

    Args:
        cluster: Work and resources.
        files: Number of files that the hours are in.
    """
    audio = cluster.hours * 3600
    traffic = audio * cluster.traffic_bytes_per_second
    each = audio / cluster.speed + traffic / cluster.worker_bytes_per_second
    needs = {
        "workers": cluster.start_seconds + each / cluster.workers,
        "link": traffic / cluster.link_bytes_per_second,
        "driver": files * cluster.driver_seconds,
    }
    full = max(needs, key=lambda name: needs[name])
    seconds = needs[full]
    busy = {name: need / seconds for name, need in needs.items()}
    return Outcome(seconds, full, busy["workers"], busy["link"], busy["driver"])


def simulate(cluster: Cluster, files: list[float]) -> Outcome:
    """Simulate workers that each fetch, compute and put file after file.

    Transfers share the link evenly, none faster than a worker's own; the driver takes one record
    after another.

    Args:
        cluster: Work and resources.
        files: Lengths in seconds, in the order they are begun.
    """
    waiting = iter(files)
    timed = [(cluster.start_seconds, worker, 0.0, "idle") for worker in range(cluster.workers)]
    moving: list[tuple[float, int, float, str]] = []  # until `passed` has reached the first
    passed = 0.0  # bytes that a transfer has moved that goes on since the beginning
    now = driver_free = computing = moved = 0.0
    while timed or moving:
        share = cluster.link_bytes_per_second / max(1, len(moving))
        rate = min(cluster.worker_bytes_per_second, share)
        arrival = now + (moving[0][0] - passed) / rate if moving else math.inf
        then = min(arrival, timed[0][0] if timed else math.inf)
        passed += rate * (then - now)
        moved += len(moving) * rate * (then - now)
        now = then
        if arrival <= then:
            _, worker, length, state = heapq.heappop(moving)
        else:
            _, worker, length, state = heapq.heappop(timed)
        if state == "idle":
            length = next(waiting, 0.0)
            if length:
                size = length * cluster.input_bytes_per_second
                heapq.heappush(moving, (passed + size, worker, length, "fetched"))
        elif state == "fetched":
            computing += length / cluster.speed
            heapq.heappush(timed, (now + length / cluster.speed, worker, length, "computed"))
        elif state == "computed":
            size = length * cluster.outputs * cluster.output_bytes_per_second
            heapq.heappush(moving, (passed + size, worker, length, "put"))
        else:  # the driver takes the record, and then gives the worker its next file
            driver_free = max(now, driver_free) + cluster.driver_seconds
            heapq.heappush(timed, (driver_free, worker, 0.0, "idle"))
    busy = {
        "workers": computing / (cluster.workers * now),
        "link": moved / cluster.link_bytes_per_second / now,
        "driver": len(files) * cluster.driver_seconds / now,
    }
    full = max(busy, key=lambda name: busy[name])
    return Outcome(now, full, busy["workers"], busy["link"], busy["driver"])


def table(cluster: Cluster, counts: list[int]) -> list[str]:
    """Return rows of Markdown: estimate beside simulation for each number of workers."""
    files = lengths(cluster.hours)
    cluster = replace(cluster, hours=sum(files) / 3600)
    rows = [
        "| workers | on paper | simulated | differs by | full | workers compute | link | driver"
        " | core cost |",
        "| ---: | ---: | ---: | ---: | --- | ---: | ---: | ---: | ---: |",
    ]
    for count in counts:
        wanted = replace(cluster, workers=count)
        paper, played = on_paper(wanted, len(files)), simulate(wanted, files)
        cost = count * played.seconds / 3600 * cluster.dollars_per_worker_hour
        rows.append(
            f"| {count} | {_span(paper.seconds)} | {_span(played.seconds)}"
            f" | {100 * (played.seconds / paper.seconds - 1):+.1f} % | {played.full}"
            f" | {100 * played.workers_busy:.0f} % | {100 * played.link_busy:.1f} %"
            f" | {100 * played.driver_busy:.1f} % | {cost:,.0f} $ |"
        )
    return rows


def _span(seconds: float) -> str:
    hours = seconds / 3600
    return f"{hours / 24:,.1f} days" if hours > 48 else f"{hours:,.1f} h"


def saturating_workers(cluster: Cluster) -> tuple[int, int]:
    """Return the numbers of workers at which the link and the driver are full."""
    cycle = 1 / cluster.speed + cluster.traffic_bytes_per_second / cluster.worker_bytes_per_second
    link = cluster.link_bytes_per_second / (cluster.traffic_bytes_per_second / cycle)
    files = lengths(1000)
    driver = statistics.mean(files) * cycle / cluster.driver_seconds
    return math.floor(link), math.floor(driver)


def measure(files: int, seconds: float, rounds: int) -> dict[int, list[float]]:
    """Run the real model on a local Ray with one worker and with two, alternating.

    Args:
        files: Number of files for each worker.
        seconds: Length of each file: the bundled example, repeated.
        rounds: Number of runs with each number of workers.

    Returns:
        Speed (times real time) of all workers together by their number, without start and loading:
        from the moment at which each worker has finished a file.
    """
    import numpy as np

    from separate import example_path, read_audio, write_audio

    rates: dict[int, list[float]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory(prefix="separate-scaling-") as folder:
        example, rate = read_audio(example_path())
        samples = int(seconds * rate)
        long = np.tile(example, (1, math.ceil(samples / example.shape[1])))[:, :samples]
        inputs = []
        for number in range(2 * files):
            inputs.append(Path(folder, f"{number}.wav"))
            write_audio(inputs[-1], long, rate)
        for _ in range(rounds):
            for workers, measured in rates.items():
                times = _finish_times(inputs[: workers * files], Path(folder, "out"), workers)
                counted = len(times) - workers
                measured.append(counted * seconds / (times[-1] - times[workers - 1]))
    return rates


def _finish_times(inputs: list[Path], out: Path, workers: int) -> list[float]:
    """Separate files on a local Ray; return the times at which each is finished."""
    from separate.batch.ray_cluster import RayOptions
    from separate.batch.run import BatchOptions, run_batch
    from separate.batch.separation import make_job
    from separate.settings import Request, Settings

    times: list[float] = []

    def on_record(record: object, is_old: bool) -> None:
        times.append(time.monotonic())

    job = make_job(out, Settings(threads=1), Request(stems=True))
    options = BatchOptions(ray=RayOptions(workers=workers))
    result = run_batch(inputs, job, options, on_record=on_record)
    assert not result.failed, result.failed[0].error
    shutil.rmtree(out)
    return times


def main(
    hours: Annotated[float, typer.Option(min=1, help="Hours of audio.")] = 100_000.0,
    workers: Annotated[str, typer.Option(help="Numbers of workers, with commas.")] = "1,10,100",
    speed: Annotated[
        float, typer.Option(min=0.1, help="Speed of a worker, x real time.")
    ] = Cluster.speed,
    dollars: Annotated[float, typer.Option(min=0, help="Price of a worker an hour.")] = 0.04,
    measured: Annotated[bool, typer.Option("--measure", help="Measure 1 and 2 workers.")] = False,
    files: Annotated[int, typer.Option(min=2, help="With --measure: files a worker.")] = 10,
    seconds: Annotated[float, typer.Option(min=1, help="With --measure: length of each.")] = 60.0,
    rounds: Annotated[int, typer.Option(min=1, help="With --measure: number of rounds.")] = 3,
) -> None:
    """Print an estimate beside its simulation; with --measure, measure the scaling on Ray."""
    if measured:
        rates = measure(files, seconds, rounds)
        one, two = (statistics.median(rates[count]) for count in (1, 2))
        print(f"1 worker {one:.1f} x real time, 2 workers {two:.1f} x; one thread each")
        print(f"efficiency {two / (2 * one):.2f} (medians of {rounds}; all: {rates})")
        return
    cluster = Cluster(hours=hours, speed=speed, dollars_per_worker_hour=dollars)
    print("\n".join(table(cluster, [int(part) for part in workers.split(",")])))
    link, driver = saturating_workers(cluster)
    traffic = hours * 3600 * cluster.traffic_bytes_per_second / 1e12
    print(f"\nTraffic {traffic:.1f} TB. The link is full with {link} workers, the driver with"
          f" {driver}.")  # fmt: skip


if __name__ == "__main__":
    typer.run(main)
