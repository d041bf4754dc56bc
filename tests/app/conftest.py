"""A server of our own for the tests of this folder, and a browser."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from app_helpers import COMMAND, Running
from waiting import wait_for

from separate import example_path

CHROMIUM = "/usr/bin/chromium"
CHROMIUM_ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
    "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",  # a microphone
]  # fmt: skip


Start = Callable[..., Running]


@pytest.fixture(scope="session")
def start_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Start servers with options; all end with the tests."""
    running: list[Running] = []

    def start(
        *options: str, environment: dict[str, str] | None = None, stderr: Any = None
    ) -> Running:
        folder = tmp_path_factory.mktemp("server")
        command = [*COMMAND, "app", "--port", "0", "--threads", "1", "--temporary", str(folder)]
        process = subprocess.Popen(
            [*command, *options],
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            cwd=folder,  # not where the four folders lie bare
            env={**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})},
        )
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url.startswith("http://127.0.0.1:"), url
        server = Running(process, url, folder)
        running.append(server)
        wait_for(server.answers)
        return server

    yield start
    for server in running:
        server.process.send_signal(signal.SIGTERM)
    for server in running:
        server.process.wait(timeout=20)


@pytest.fixture(scope="session")
def server(start_server: Start) -> Running:
    """The server that most tests share."""
    return start_server("--max-minutes", "3", "--max-upload-mb", "40")


@pytest.fixture(scope="session")
def long_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two and a half minutes, which take a while."""
    sound, rate = soundfile.read(example_path(), dtype="float32")
    path = tmp_path_factory.mktemp("long") / "long song.flac"
    soundfile.write(path, np.tile(sound, (8, 1)), rate)
    return path


@pytest.fixture(scope="session")
def short_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seconds."""
    sound, rate = soundfile.read(example_path(), dtype="float32")
    path = tmp_path_factory.mktemp("short") / "short.wav"
    soundfile.write(path, sound[: 3 * rate], rate)
    return path


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Debian's Chromium without a window."""
    if not Path(CHROMIUM).exists():
        pytest.skip("no Chromium at /usr/bin/chromium; install the package chromium")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        yield driver.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGUMENTS)


@pytest.fixture
def visit(browser: Any, server: Running) -> Iterator[Callable[..., Any]]:
    """Open the page as a new visitor; a request to another host or an error in a script fails."""
    contexts, problems = [], []
    ours = server.url.rstrip("/")

    def open_page(choose: str = "Choose a file", **options: Any) -> Any:
        context = browser.new_context(**{"viewport": {"width": 1100, "height": 900}, **options})
        context.set_default_timeout(60_000)
        contexts.append(context)
        page = context.new_page()

        def look(request: Any) -> None:
            if not request.url.startswith((ours, "blob:", "data:")):
                problems.append(f"asked another host: {request.url}")

        page.on("request", look)
        page.on("pageerror", lambda error: problems.append(f"script error: {error}"))
        page.goto(server.url)
        page.get_by_role("button", name=choose).first.wait_for()
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not problems
