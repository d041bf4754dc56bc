"""Time a system in its own process, as its users run it.

The settings of one process (threads, the memory allocator's state) do not change the others.
"""

import multiprocessing
import time
from collections.abc import Callable
from multiprocessing.connection import Connection

from separate.errors import DataError
from separate.evals.bench.signals import music_like
from separate.evals.bench.systems import SAMPLE_RATE, System, open_system

_WARM_SECONDS = 12

Timed = Callable[[int], float]  # number of queries -> seconds


def start_timed(system: System, seconds: float, threads: int) -> Timed:
    """Load a system in a new process and run it once with each number of queries.

    Args:
        system: The system to time.
        seconds: Length of the audio that each run separates.
        threads: Threads of torch.

    Raises:
        SeparateError: Its package or weights are missing.
        DataError: The process died.
    """
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=_serve, args=(theirs, system, seconds, threads), daemon=True
    )
    process.start()
    theirs.close()

    def run(queries: int) -> float:
        ours.send(queries)
        return _answer(ours, system)

    _answer(ours, system)
    return run


def _answer(connection: Connection, system: System) -> float:
    try:
        answer = connection.recv()
    except EOFError as error:
        raise DataError(f"{system.name}: its process died; see its message above") from error
    if isinstance(answer, Exception):
        raise answer
    return float(answer)


def _serve(connection: Connection, system: System, seconds: float, threads: int) -> None:
    try:
        separate = open_system(system, threads)
        mixture = music_like(seconds)
        for queries in system.queries:
            separate(mixture[:, : _WARM_SECONDS * SAMPLE_RATE], queries)
        connection.send(0.0)
        while True:
            queries = connection.recv()
            started = time.perf_counter()
            separate(mixture, queries)
            connection.send(time.perf_counter() - started)
    except EOFError:  # the other end was closed
        return
    except Exception as error:
        connection.send(error)
