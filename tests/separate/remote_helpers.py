"""Real servers for the tests of remote storage: an S3 server and OpenSSH's sftp, on 127.0.0.1."""

import getpass
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import requests
from waiting import wait_for


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """A program that answers on a port, and can go away."""

    def __init__(self, child: "subprocess.Popen[bytes]", port: int) -> None:
        self.child, self.port = child, port

    def answers(self) -> bool:
        """Whether the port is open."""
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True

    def go_away(self) -> None:
        """Let an S3 server close its port."""
        self._turn()
        wait_for(lambda: not self.answers())

    def come_back(self) -> None:
        """Let an S3 server that went away open its port again, with what it held."""
        self._turn()
        wait_for(self.answers)

    def _turn(self) -> None:
        assert self.child.stdin is not None
        self.child.stdin.write(b"\n")
        self.child.stdin.flush()

    def stop(self) -> None:
        self.child.kill()
        self.child.wait()


# What is stored stays while it is away: moto keeps it in memory.
S3 = """
import sys
from moto.server import ThreadedMotoServer
port = 0
while True:
    server = ThreadedMotoServer("127.0.0.1", port, verbose=False)
    server.start()
    if not port:
        port = server.get_host_and_port()[1]
        print(port, flush=True)
    is_wanted = sys.stdin.readline() != ""
    server.stop()
    if not is_wanted or sys.stdin.readline() == "":
        break
"""


def start_s3(folder: Path) -> Server:
    """Start moto's S3 server, with two buckets; its objects live as long as it."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with (folder / "s3.log").open("wb") as log:
        child = subprocess.Popen([sys.executable, "-c", S3], stderr=log, **pipes)
    assert child.stdout is not None
    port = int(child.stdout.readline())
    server = Server(child, port)
    for bucket in ("music", "results"):
        requests.put(f"http://127.0.0.1:{port}/{bucket}", timeout=30).raise_for_status()
    return server


def use_s3(server: Server, patch: pytest.MonkeyPatch) -> None:
    """Let every S3 client of this process and its children talk to the server."""
    patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.port}")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        patch.setenv(name, "test")
    patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    patch.setenv("AWS_MAX_ATTEMPTS", "1")  # the repetitions of ours are tested


def start_sftp(folder: Path, home: Path) -> tuple[Server, str]:
    """Start sshd for this user alone; returns it and the URL of its root.

    `home` gets a key and the host in `known_hosts`.
    """
    program = shutil.which("sshd") or "/usr/sbin/sshd"
    if not Path(program).is_file():
        pytest.skip("no sshd here: install openssh-server")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    keys = home / ".ssh"
    keys.mkdir(parents=True, mode=0o700)
    for path in (folder / "host_key", keys / "id_ed25519"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
    shutil.copy(keys / "id_ed25519.pub", folder / "authorized")
    for _ in range(5):  # another program may take the port meanwhile
        server = _try_sftp(program, folder, free_port())
        if server is not None:
            break
    assert server is not None, (folder / "sshd.log").read_text()[-2000:]
    host_key = (folder / "host_key.pub").read_text().split()
    (keys / "known_hosts").write_text(f"[127.0.0.1]:{server.port} {host_key[0]} {host_key[1]}\n")
    return server, f"sftp://{getpass.getuser()}@127.0.0.1:{server.port}"


def _try_sftp(program: str, folder: Path, port: int) -> Server | None:
    """Start sshd; returns None where it ended at once."""
    config = folder / "sshd_config"
    config.write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder / 'host_key'}\n"
        f"AuthorizedKeysFile {folder / 'authorized'}\nStrictModes no\nUsePAM no\n"
        f"PidFile {folder / 'pid'}\nPasswordAuthentication no\nPermitRootLogin yes\n"
        "Subsystem sftp internal-sftp\n"
    )
    with (folder / "sshd.log").open("ab") as log:
        command = [program, "-D", "-e", "-f", str(config)]
        server = Server(subprocess.Popen(command, stdout=log, stderr=log), port)
    # sshd writes its process into the file when it listens.
    wait_for(lambda: (folder / "pid").is_file() or server.child.poll() is not None)
    return server if server.child.poll() is None else None
