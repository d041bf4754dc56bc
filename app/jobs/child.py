"""The process that computes: it receives orders by a pipe and sends progress and results.

A process of its own keeps the page responsive, can be killed at any time, and a decoder that
crashes ends nothing else.
"""

import logging
import os
import signal
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

from separate.app.jobs.media import prepare
from separate.app.jobs.orders import FindOrder, LyricsOrder, Order, SeparateOrder
from separate.app.jobs.refusals import without_options
from separate.errors import Cancelled, SeparateError
from separate.settings import Settings

Report = Callable[[float, str], None]  # (part done 0..1, step)
# Fields that a loaded model does not depend on.
_PER_FILE = (
    "format",
    "subtype",
    "mp3_bitrate",
    "clip_mode",
    "filename",
    "residual",
    "start",
    "end",
    "stream",
)
_NICE = 5
_log = logging.getLogger(__name__)


def serve(connection: Connection, stop: Event, settings: Settings) -> None:
    """Run orders until the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "nice"):
        os.nice(_NICE)  # the web server has priority
    worker = OrderRunner()
    try:
        worker.separator(settings)  # loaded before anybody waits for it
    except SeparateError as error:
        _log.error("%s", error)

    def report(part: float, step: str) -> None:
        if stop.is_set():
            raise Cancelled("stopped")
        connection.send(("progress", part, step))

    connection.send(("ready",))
    while True:
        try:
            order = connection.recv()
        except (EOFError, OSError):
            return  # the server is gone
        try:
            connection.send(("done", worker.work(order, report)))
        except Cancelled:
            connection.send(("cancelled",))
        except SeparateError as error:
            connection.send(("failed", _line(error)))
        except MemoryError:
            connection.send(("failed", "out of memory; try a shorter recording"))
        except Exception as error:
            _log.exception("a computation failed")
            connection.send(("failed", f"failed ({type(error).__name__}); please report this"))


class OrderRunner:
    """Runs orders and keeps the last separator for the next one."""

    def __init__(self) -> None:
        self._separator: Any = None
        self._key: Settings | None = None

    def separator(self, settings: Settings) -> Any:
        """Return a separator for these settings; it is reloaded only if they need another model."""
        plain = Settings()
        key = replace(settings, **{name: getattr(plain, name) for name in _PER_FILE})
        if key != self._key:
            from separate.open import open_separator

            self._separator, self._key = None, None
            self._separator = open_separator(key)
            self._key = key
        return self._separator

    def work(self, order: Order, report: Report) -> dict[str, Any]:
        """Run an order; return its result for the page.

        Raises:
            SeparateError: The order fails; `Cancelled` when the visitor stopped it.
        """
        report(0.0, "starting")
        if isinstance(order, SeparateOrder):
            return self._separate(order, report)
        if isinstance(order, FindOrder):
            return self._find(order, report)
        if isinstance(order, LyricsOrder):
            from separate.app.jobs.lyrics import write_down

            return write_down(order, self.separator(_plain(order.settings)), report)
        raise SeparateError(f"unknown order {type(order).__name__}")

    def _separate(self, order: SeparateOrder, report: Report) -> dict[str, Any]:
        from separate.batch.guard import Guard
        from separate.batch.separation import make_job, separate_item
        from separate.batch.tracks import find_tracks

        started = time.perf_counter()
        settings = replace(order.settings, end=order.max_seconds)
        job = make_job(order.folder, settings, order.request)
        separator = self.separator(job.settings)
        (item,) = job.items(find_tracks([order.source]))
        record = separate_item(
            separator, job, Guard(), item, order.folder,
            lambda part: report(0.9 * part, "separating"),
        )  # fmt: skip
        seconds = round(time.perf_counter() - started, 3)
        stems = []
        for number, output in enumerate(record.outputs):
            step = 0.9 + 0.1 * number / (len(record.outputs) + 1)
            report(step, "drawing")
            shown = self._media(order, order.folder / output.path, str(number), report, step)
            stems.append({"name": output.stem, "file": output.path, "sha256": output.sha256,
                          "bytes": output.bytes, "presence": record.presence.get(output.stem),
                          **shown})  # fmt: skip
        mixture = self._media(order, order.source, "mixture", report, 0.98)
        return {
            "stems": stems,
            "mixture": mixture,
            "track": item.track.name,
            "residual": job.settings.residual,
            "warnings": [without_options(warning) for warning in record.warnings],
            "duration": record.duration,
            "seconds": seconds,
            "model": settings.model,
        }

    def _media(
        self, order: Order, source: Path, stem: str, report: Report, part: float
    ) -> dict[str, Any]:
        return prepare(
            source,
            order.folder,
            stem,
            end_seconds=order.max_seconds,
            on_block=lambda: report(part, "drawing"),
        )

    def _find(self, order: FindOrder, report: Report) -> dict[str, Any]:
        from separate.auto.find import find_sources

        found = find_sources(
            self.separator(_plain(order.settings)),
            order.source,
            end_seconds=order.max_seconds,
            on_progress=lambda part: report(part, "analysing"),
        )
        return {"found": [asdict(source) for source in found]}


def _plain(settings: Settings) -> Settings:
    """The operator's settings, without what a visitor chose for another file."""
    return Settings(model=settings.model, device=settings.device, threads=settings.threads)


def _line(error: SeparateError) -> str:
    return " ".join(str(error).split())
