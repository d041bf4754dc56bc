"""Metrics for Prometheus: jobs, queue, seconds, files, memory.

In: a service. Out: the route `/metrics`, behind the login where there is one. It names no session,
file or query. It needs `prometheus_client`, which comes with the extra `serve`.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.responses import Response

from separate.app.http.errors import failure
from separate.app.jobs.queue import QueuedJob
from separate.app.jobs.service import Service

_SECONDS = (0.5, 1, 2, 5, 10, 20, 60, 120, 300, 600, 1800, 3600)
_HOW = "metrics need prometheus_client: install the extra `serve` on the server"


def add_metrics(app: FastAPI, service: Service) -> None:
    """Register the route, and count the service's jobs from now on."""
    try:
        import prometheus_client
    except ImportError:

        @app.get("/metrics", include_in_schema=False)
        def absent() -> Response:
            return failure(501, "not_installed", _HOW)

        return
    registry = prometheus_client.CollectorRegistry()
    _count(registry, service)
    registry.register(_Now(service))

    @app.get("/metrics", tags=["server"], response_class=Response)
    def metrics() -> Response:
        """Metrics in the text format of Prometheus."""
        content = prometheus_client.generate_latest(registry)
        return Response(content, media_type=prometheus_client.CONTENT_TYPE_LATEST)


def _count(registry: Any, service: Service) -> None:
    """Count each job that is over, with its seconds in the queue and of work."""
    from prometheus_client import Counter, Histogram

    jobs = Counter("separate_jobs", "Jobs that are over.", ["kind", "state"], registry=registry)
    waited = Histogram(
        "separate_job_wait_seconds", "Between a request and its start.", ["kind"],
        buckets=_SECONDS, registry=registry,
    )  # fmt: skip
    worked = Histogram(
        "separate_job_seconds", "Between a job's start and its end.", ["kind"],
        buckets=_SECONDS, registry=registry,
    )  # fmt: skip

    def over(job: QueuedJob) -> None:
        jobs.labels(job.kind, job.state).inc()
        if job.started:
            waited.labels(job.kind).observe(job.started - job.asked_at)
            worked.labels(job.kind).observe(job.clock() - job.started)

    service.queue.on_over = over


class _Now:
    """What is read when somebody asks."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def collect(self) -> Iterator[Any]:
        """Yield the figures of this moment."""
        from prometheus_client.core import GaugeMetricFamily

        waiting, running = self._service.queue.counts()
        sessions, used = self._service.store.totals()
        figures = [
            ("separate_jobs_waiting", "Jobs in the queue.", waiting),
            ("separate_jobs_running", "Jobs that are computed.", running),
            ("separate_sessions", "Sessions that have files here.", sessions),
            ("separate_files_bytes", "Size of uploads and results.", used),
        ]
        memory = sum(map(memory_of, [os.getpid(), *self._service.workers.pids()]))
        if memory:
            figures.append(
                ("separate_memory_bytes", "Of server and workers, shared pages once.", memory)
            )
        for name, text, value in figures:
            yield GaugeMetricFamily(name, text, value=value)


def memory_of(pid: int) -> int:
    """Return the bytes in use by a process, its part of shared pages included; 0 where unknown."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:  # it ended, or this is no Linux
        return 0
    lines = [line.split() for line in text.splitlines() if line.startswith("Pss:")]
    return int(lines[0][1]) * 1024 if lines else 0
