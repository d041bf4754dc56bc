"""SFTP with the checks of the `ssh` program: known hosts only, keys from ssh's own places."""

from pathlib import Path
from typing import Any
from urllib.parse import SplitResult

_TIMEOUT_SECONDS = 20


class UnknownHostKey(Exception):  # noqa: N818 - named as ssh tells it
    """A host that `known_hosts` does not list."""


def open_sftp(host: SplitResult) -> Any:
    """Connect to a host, with `~/.ssh/config`, `~/.ssh/known_hosts`, keys and agent.

    Args:
        host: Its URL: name, port, user.

    Raises:
        UnknownHostKey: Its key is not in `known_hosts`.
        paramiko.SSHException, OSError: The host does not answer, or refuses.
    """
    import paramiko
    from fsspec.implementations.sftp import SFTPFileSystem

    class Refuse(paramiko.MissingHostKeyPolicy):
        """Refuses hosts that are not known; fsspec's own policy would accept any."""

        def missing_host_key(self, client: Any, hostname: str, key: Any) -> None:
            raise UnknownHostKey(f"its key is not in known_hosts: run ssh {hostname} once")

    class KnownHosts(SFTPFileSystem):
        """Connects to known hosts alone."""

        cachable = False

        def _connect(self) -> None:
            self.client = paramiko.SSHClient()
            self.client.load_system_host_keys()
            self.client.set_missing_host_key_policy(Refuse())
            self.client.connect(self.host, **self.ssh_kwargs)
            self.ftp = self.client.open_sftp()

    waits = ("timeout", "banner_timeout", "auth_timeout")
    options: dict[str, Any] = dict.fromkeys(waits, _TIMEOUT_SECONDS)
    name = host.hostname or ""
    configured = _configured(name)
    port = host.port or configured.get("port")
    user = host.username or configured.get("user")
    if port:
        options["port"] = int(port)
    if user:
        options["username"] = user
    if "identityfile" in configured:
        options["key_filename"] = configured["identityfile"]
    files = KnownHosts(configured.get("hostname", name), **options)
    files.ftp.get_channel().settimeout(3 * _TIMEOUT_SECONDS)
    return files


def _configured(name: str) -> dict[str, Any]:
    """Return what `~/.ssh/config` says of a host."""
    import paramiko

    path = Path("~/.ssh/config").expanduser()
    if not path.is_file():
        return {}
    return dict(paramiko.SSHConfig.from_path(str(path)).lookup(name))
