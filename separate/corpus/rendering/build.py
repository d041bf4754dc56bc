"""Render a corpus of many songs in several processes; each song is written when it is complete.

`failed.txt` lists songs that could not be rendered. Songs that exist are kept, so a run resumes.
"""

import itertools
import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

import soundfile

from separate.corpus.sources.catalogue import Library
from separate.corpus.sources.store import write_song
from separate.errors import DataError, SeparateError

_MEAN_SECONDS = 46.0  # of a song, to plan; how long each is decides the seed


@dataclass(frozen=True)
class CorpusPlan:
    """What to render."""

    out: Path
    hours: float
    seed: int = 0
    jobs: int = 1  # processes
    seconds: tuple[float, float] = (30.0, 60.0)  # shortest and longest song


def render_corpus(
    library: Library, plan: CorpusPlan, on_progress: Callable[[float, float], None] | None = None
) -> int:
    """Render songs until their sum reaches the plan's hours.

    Song `n` is the same whatever the number of jobs; with several, the songs begun ahead stay in
    the folder too. A song that fails is noted and left out; more than ten failures at the start
    stop the run.

    Args:
        library: What can be played, prepared.
        plan: How much, and where to.
        on_progress: Called with (hours done, hours planned).

    Returns:
        The number of songs in the folder.

    Raises:
        DataError: Nothing can be rendered.
    """
    plan.out.mkdir(parents=True, exist_ok=True)
    done_seconds, songs, failures = 0.0, 0, 0
    for name, seconds, error in _results(library, plan):
        if error:
            failures += 1
            with (plan.out / "failed.txt").open("a") as file:
                file.write(f"{name}: {error}\n")
            if failures > 10 and not songs:
                raise DataError(f"no song could be rendered; the last reason: {error}")
            continue
        songs += 1
        done_seconds += seconds
        if on_progress:
            on_progress(done_seconds / 3600, plan.hours)
        if done_seconds >= plan.hours * 3600:
            break
    return songs


def _results(library: Library, plan: CorpusPlan) -> Iterator[tuple[str, float, str]]:
    """Yield (name, seconds, error) in the order of the songs' numbers."""
    if plan.jobs <= 1:
        for index in itertools.count():
            yield _one(library, plan, index)
    method = "fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn"
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(plan.jobs, context, initializer=_one_thread) as pool:
        try:
            pending: dict[int, Future[tuple[str, float, str]]] = {}
            upcoming = 0
            for index in itertools.count():
                while upcoming < index + 2 * plan.jobs:
                    pending[upcoming] = pool.submit(_one, library, plan, upcoming)
                    upcoming += 1
                wait([pending[index]], return_when=FIRST_COMPLETED)
                yield pending.pop(index).result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _one_thread() -> None:
    os.environ["OMP_NUM_THREADS"] = "1"


def _one(library: Library, plan: CorpusPlan, index: int) -> tuple[str, float, str]:
    name = f"song_{plan.seed}_{index:05d}"
    folder = plan.out / name
    if (folder / "song.json").exists():
        import json

        return name, float(json.loads((folder / "song.json").read_text())["seconds"]), ""
    from separate.corpus.rendering.render import render_song

    try:
        song = render_song(library, plan.seed, index, plan.seconds)
        write_song(folder, song.stems, song.parents, song.info)
    except (SeparateError, soundfile.LibsndfileError) as error:
        return name, 0.0, str(error)
    return name, next(iter(song.stems.values())).shape[1] / 44100, ""
