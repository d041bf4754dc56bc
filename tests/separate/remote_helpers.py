"""Real servers for the tests of remote storage: an S3 server and OpenSSH's sftp, on 127.0.0.1."""

import getpass
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """A program that answers on a port, and can go away."""

    def __init__(self, command: list[str], port: int, log: Path) -> None:
        self._command, self.port, self._log = command, port, log
        self.start()

    def start(self) -> None:
        with self._log.open("ab") as log:
            self.child = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=log, stderr=log
            )
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                assert time.monotonic() < deadline, self._log.read_text()[-2000:]
                time.sleep(0.1)

    def go_away(self, seconds: float) -> None:
        """Let an S3 server close its port for a while."""
        assert self.child.stdin is not None
        self.child.stdin.write(f"{seconds}\n".encode())
        self.child.stdin.flush()

    def stop(self) -> None:
        self.child.kill()
        self.child.wait()


# What is stored stays while it is away: moto keeps it in memory.
S3 = """
import sys, time
from moto.server import ThreadedMotoServer
while True:
    server = ThreadedMotoServer("127.0.0.1", int(sys.argv[1]), verbose=False)
    server.start()
    line = sys.stdin.readline()
    server.stop()
    if not line:
        break
    time.sleep(float(line))
"""


def start_s3(folder: Path) -> Server:
    """Start moto's S3 server, with two buckets; its objects live as long as it."""
    port = free_port()
    command = [sys.executable, "-c", S3, str(port)]
    server = Server(command, port, folder / "s3.log")
    for bucket in ("music", "results"):
        requests.put(f"http://127.0.0.1:{port}/{bucket}", timeout=30).raise_for_status()
    return server


def use_s3(server: Server, patch: pytest.MonkeyPatch) -> None:
    """Let every S3 client of this process and its children talk to the server."""
    patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.port}")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        patch.setenv(name, "test")
    patch.setenv("AWS_DEFAULT_REGION", "us-east-1")


def start_sftp(folder: Path, home: Path) -> tuple[Server, str]:
    """Start sshd for this user alone; returns it and the URL of its root.

    `home` gets a key and the host in `known_hosts`.
    """
    program = shutil.which("sshd") or "/usr/sbin/sshd"
    if not Path(program).is_file():
        pytest.skip("no sshd here: install openssh-server")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    port = free_port()
    keys = home / ".ssh"
    keys.mkdir(parents=True, mode=0o700)
    for path in (folder / "host_key", keys / "id_ed25519"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
    shutil.copy(keys / "id_ed25519.pub", folder / "authorized")
    host_key = (folder / "host_key.pub").read_text().split()
    (keys / "known_hosts").write_text(f"[127.0.0.1]:{port} {host_key[0]} {host_key[1]}\n")
    config = folder / "sshd_config"
    config.write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder / 'host_key'}\n"
        f"AuthorizedKeysFile {folder / 'authorized'}\nStrictModes no\nUsePAM no\n"
        f"PidFile {folder / 'pid'}\nPasswordAuthentication no\nPermitRootLogin yes\n"
        "Subsystem sftp internal-sftp\n"
    )
    server = Server([program, "-D", "-e", "-f", str(config)], port, folder / "sshd.log")
    return server, f"sftp://{getpass.getuser()}@127.0.0.1:{port}"
