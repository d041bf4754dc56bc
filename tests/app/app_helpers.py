"""What the tests of the page share: the command, and a server that runs."""

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import requests

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
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            state = visitor.get(f"{self.url}jobs/{job}", timeout=10).json()
            if state["state"] in ("done", "failed", "cancelled"):
                return state
            time.sleep(0.1)
        raise AssertionError(f"job not over after {seconds} s: {state}")
