"""What Prometheus is told of a running server."""

import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from app_helpers import Running
from fastapi import FastAPI
from starlette.testclient import TestClient
from test_api import error_of
from test_limits import done_job

from separate.app.http.metrics import add_metrics, memory_of


@pytest.fixture
def parser() -> Any:
    return pytest.importorskip(
        "prometheus_client.parser", reason="prometheus_client comes with the extra serve"
    )


def figures(parser: Any, server: Running) -> dict[str, float]:
    """The figures by name and labels."""
    answer = requests.get(f"{server.url}metrics", timeout=30)
    assert answer.ok and answer.headers["content-type"].startswith("text/plain")
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for family in parser.text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_metrics_count_jobs_seconds_files_and_memory(
    parser: Any, server: Running, long_file: Path
) -> None:
    visitor = server.visitor()
    before = figures(parser, server)
    done_job(server, visitor)
    upload = server.upload(visitor, long_file.read_bytes(), "long.flac").json()
    asked = {"kind": "separate", "upload": upload["upload"], "queries": ["drums"]}
    jobs = [visitor.post(f"{server.url}jobs", json=asked, timeout=10).json()["id"] for _ in "ab"]
    while_busy = figures(parser, server)
    assert while_busy["separate_jobs_waiting"] + while_busy["separate_jobs_running"] == 2
    for job in jobs:
        visitor.post(f"{server.url}jobs/{job}/cancel", timeout=10)
        assert server.wait(visitor, job)["state"] == "cancelled"
    after = figures(parser, server)

    def grown(name: str) -> float:
        return after[name] - before.get(name, 0.0)

    assert grown("separate_jobs_total separate done") == 1
    assert grown("separate_jobs_total separate cancelled") == 2
    assert grown("separate_job_seconds_count separate") >= 1
    assert grown("separate_job_seconds_sum separate") > 0
    assert grown("separate_job_wait_seconds_sum separate") >= 0
    assert grown("separate_files_bytes") >= upload["bytes"]
    assert grown("separate_sessions") == 1
    assert after["separate_memory_bytes"] > 50e6  # a model is loaded
    assert not any(
        name in str(after) for name in ("long.flac", visitor.headers["x-separate-session"])
    )


def test_without_the_library_the_answer_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    app = FastAPI()
    add_metrics(app, SimpleNamespace())  # type: ignore[arg-type]
    answer = TestClient(app).get("/metrics")
    assert answer.status_code == 501 and "extra `serve`" in error_of(answer)["message"]  # type: ignore[arg-type]


def test_memory_of_a_process_that_is_gone_is_nothing() -> None:
    assert memory_of(os.getpid()) > 1e6 and memory_of(2**22 + 1) == 0
