"""A contestant in a process of its own, so that each runs as its own users would run it.

In: a contestant. Out: a function from a number of queries to the seconds that it took. What one
does to its process (threads, how memory is kept) does nothing to the others.
"""

import multiprocessing
import time
from collections.abc import Callable
from multiprocessing.connection import Connection

from separate.errors import DataError
from separate.evals.bench.baselines import SAMPLE_RATE, Contestant, open_contestant
from separate.evals.bench.signals import music_like

_WARM_SECONDS = 12

Timed = Callable[[int], float]  # number of queries -> seconds


def start_timed(contestant: Contestant, seconds: float, threads: int) -> Timed:
    """Load a contestant in a new process and let it separate once with each number of queries.

    Args:
        contestant: Which.
        seconds: Of audio that each run separates.
        threads: Of torch.

    Raises:
        SeparateError: Its package or weights are missing.
        DataError: The process died.
    """
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=_serve, args=(theirs, contestant, seconds, threads), daemon=True
    )
    process.start()
    theirs.close()

    def ask(queries: int) -> float:
        ours.send(queries)
        return _answer(ours, contestant)

    _answer(ours, contestant)
    return ask


def _answer(connection: Connection, contestant: Contestant) -> float:
    try:
        answer = connection.recv()
    except EOFError as error:
        raise DataError(f"{contestant.name}: its process died; see what it wrote above") from error
    if isinstance(answer, Exception):
        raise answer
    return float(answer)


def _serve(connection: Connection, contestant: Contestant, seconds: float, threads: int) -> None:
    try:
        separate = open_contestant(contestant, threads)
        mixture = music_like(seconds)
        for queries in contestant.queries:
            separate(mixture[:, : _WARM_SECONDS * SAMPLE_RATE], queries)
        connection.send(0.0)
        while True:
            queries = connection.recv()
            started = time.perf_counter()
            separate(mixture, queries)
            connection.send(time.perf_counter() - started)
    except EOFError:  # nobody asks any more
        return
    except Exception as error:
        connection.send(error)
