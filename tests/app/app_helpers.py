"""What the tests of the page share: the command, and a server that runs."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import requests
from waiting import wait_for

COMMAND = [sys.executable, "-c", "from separate.cli.main import main; main()"]


class Running:
    """A server that runs."""

    def __init__(self, process: "subprocess.Popen[str]", url: str, folder: Path) -> None:
        self.process, self.url, self.folder = process, url, folder

    def visitor(self) -> requests.Session:
        """A new visitor with a session of their own."""
        session = requests.Session()
        key = session.post(f"{self.url}session", timeout=10).json()["session"]
        session.headers["x-separate-session"] = key
        return session

    def upload(self, visitor: requests.Session, data: bytes, name: str) -> requests.Response:
        return visitor.post(f"{self.url}upload", params={"name": name}, data=data, timeout=60)

    def wait(self, visitor: requests.Session, job: str, seconds: float = 120) -> dict[str, Any]:
        """The state of a job when it is over."""
        state: dict[str, Any] = {}

        def is_over() -> bool:
            state.update(visitor.get(f"{self.url}jobs/{job}", timeout=10).json())
            return state["state"] in ("done", "failed", "cancelled")

        wait_for(is_over, seconds)
        return state

    def answers(self) -> bool:
        """Whether the server is there."""
        try:
            return requests.get(f"{self.url}health", timeout=5).ok
        except requests.ConnectionError:
            return False

    def worker(self) -> int:
        """The process that separates, a child of the server."""
        for path in Path("/proc").glob("[0-9]*"):
            try:
                parent = (path / "stat").read_text().rpartition(")")[2].split()[1]
                command = (path / "cmdline").read_bytes()
            except OSError:  # it ended meanwhile
                continue
            if int(parent) == self.process.pid and b"spawn_main" in command:
                return int(path.name)
        raise AssertionError("the server has no worker")
