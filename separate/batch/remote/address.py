"""Addresses of remote storage: which are allowed, and calls that are retried.

`fsspec` does the transfers; it is imported when the first address is used.
"""

import errno
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar
from urllib.parse import urlsplit

from separate.errors import InputError, OutputError, SeparateError, SettingsError, one_line

READABLE = ("s3", "gs", "sftp", "memory", "http", "https")
WRITABLE = ("s3", "gs", "sftp", "memory")
PATIENCE_SECONDS = 120.0  # that a store may be away in the middle of a batch
START_PATIENCE_SECONDS = 20.0  # before it: a mistyped host shall not cost minutes
_URL = re.compile(r"[A-Za-z][\w+.-]*(::[\w+.-]+)*://")
_LONGEST_WAIT_SECONDS = 8.0
# Failures that waiting does not mend.
_LASTING = (PermissionError, FileExistsError, IsADirectoryError, NotADirectoryError, ValueError,
            TypeError, ImportError, NotImplementedError, SeparateError)  # fmt: skip
_LASTING_NAMES = {
    "AuthenticationException", "BadAuthenticationType", "BadHostKeyException",
    "DefaultCredentialsError", "NoCredentialsError", "ParamValidationError",
    "PartialCredentialsError",
    "PasswordRequiredException", "ProfileNotFound", "UnknownHostKey",
}  # fmt: skip
# Failures that waiting may mend: of the system, or raised by what talks to the network.
_PASSING = (OSError, EOFError)
_NETWORK_PACKAGES = {
    "aiobotocore", "aiohttp", "botocore", "gcsfs", "google", "http", "paramiko", "requests",
    "s3transfer", "urllib3",
}  # fmt: skip
_LASTING_ERRNO = {errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.ENAMETOOLONG}
T = TypeVar("T")


@dataclass(frozen=True)
class Address:
    """A file, a folder or a pattern in a store."""

    url: str

    def __str__(self) -> str:
        return self.url

    @property
    def scheme(self) -> str:
        """How the store is talked to: s3, gs, sftp, memory, http or https."""
        return self.url.partition("://")[0].lower()

    @property
    def path(self) -> str:
        """What the store calls it: a key after its bucket, a path, or for http the whole URL."""
        rest = self.url.partition("://")[2]
        if self.scheme in ("http", "https"):
            return self.url
        if self.scheme in ("s3", "gs"):
            return rest.rstrip("/")
        path = "/" + (rest if self.scheme == "memory" else rest.partition("/")[2])
        return path.rstrip("/") or "/"

    @property
    def root(self) -> str:
        """The part of the URL before `path`."""
        if self.scheme == "sftp":
            return f"sftp://{self.url.partition('://')[2].partition('/')[0]}"
        return "" if self.scheme in ("http", "https") else f"{self.scheme}://"

    def at(self, path: str) -> "Address":
        """Return the address of another path of the same store."""
        if self.scheme == "memory":
            path = path.lstrip("/")
        return Address(self.root + path)

    def child(self, place: str) -> "Address":
        """Return the address of a file below this folder."""
        return Address(f"{self.url.rstrip('/')}/{place}")


def is_url(text: str) -> bool:
    """Whether a text is a URL and not a path."""
    return _URL.match(text) is not None


def parse_address(text: str, *, writing: bool = False) -> Address:
    """Check a URL that a user gave.

    Args:
        text: The URL.
        writing: It is to be written to.

    Raises:
        SettingsError: Its scheme is not on the list, it is chained, or it holds a password.
    """
    if "::" in text:
        raise SettingsError(f"{text}: chained URLs are refused; give the file's own")
    address = Address(text)
    allowed = WRITABLE if writing else READABLE
    if address.scheme not in allowed:
        what = "written to" if writing else "read"
        raise SettingsError(f"{text}: only {', '.join(allowed)} can be {what}; or give a path")
    rest = text.partition("://")[2]
    try:
        parts = urlsplit(f"//{rest.partition('/')[0]}")
        parts.port  # noqa: B018 - raises where it is no number
    except ValueError as error:
        raise SettingsError(f"{text}: is no valid URL ({error})") from error
    if parts.password is not None:
        shown = f"{address.scheme}://{parts.username}@{parts.hostname}"
        raise SettingsError(
            f"{shown}/...: takes no password, since addresses are written down; use a key"
        )
    if address.scheme != "memory" and not parts.netloc:
        raise SettingsError(f"{text}: names no host or bucket")
    return address


def call(
    address: Address,
    action: Callable[[Any], T],
    *,
    writing: bool = False,
    patience_seconds: float | None = None,
) -> T:
    """Call a function with an address's store; repeat it while the store is unreachable.

    Args:
        address: Where; its store is opened once a process.
        action: Called with the file system of `fsspec`; may be called several times.
        writing: What to say when it fails, and which error to raise.
        patience_seconds: How long to try; None: `PATIENCE_SECONDS`.

    Raises:
        InputError, OutputError: It failed, and waiting would not help or did not.
        SettingsError: A package is missing.
    """
    patience = PATIENCE_SECONDS if patience_seconds is None else patience_seconds
    deadline, wait = time.monotonic() + patience, 0.5
    while True:
        try:
            return action(_open_store(address.scheme, address.root))
        except Exception as error:
            if is_lasting(error) or time.monotonic() + wait > deadline:
                raise _told(address, error, writing) from error
        _open_store.cache_clear()  # connections of before may be dead
        time.sleep(wait)
        wait = min(2 * wait, _LONGEST_WAIT_SECONDS)


def is_lasting(error: BaseException) -> bool:
    """Whether a failure would come again at once, as one of the program itself would."""
    if isinstance(error, FileNotFoundError):  # http says that of a host that is away, too
        return not isinstance(error.__cause__, OSError) or is_lasting(error.__cause__)
    named = {kind.__name__ for kind in type(error).__mro__}
    packages = {kind.__module__.partition(".")[0] for kind in type(error).__mro__}
    if not isinstance(error, _PASSING) and not packages & _NETWORK_PACKAGES:
        return True
    number = getattr(error, "errno", None)
    return isinstance(error, _LASTING) or bool(named & _LASTING_NAMES) or number in _LASTING_ERRNO


def _told(address: Address, error: Exception, writing: bool) -> SeparateError:
    if isinstance(error, SeparateError):
        return error
    if isinstance(error, ImportError):
        return SettingsError(f"{address}: needs more: pip install 'separate-audio[remote]'")
    kind = OutputError if writing else InputError
    if isinstance(error, FileNotFoundError) and is_lasting(error):
        hint = "no such bucket or folder" if writing else "no such file or folder"
        return kind(f"{address}: {hint}; check the spelling")
    reason = one_line(error)[:200] or type(error).__name__
    return kind(f"{address}: cannot be {'written' if writing else 'read'} ({reason})")


@lru_cache(maxsize=8)
def _open_store(scheme: str, root: str) -> Any:
    """Open a store; listings are never kept, since others write there too."""
    import fsspec

    fresh = {"skip_instance_cache": True, "use_listings_cache": False}
    if scheme == "sftp":
        from separate.batch.remote.sftp import open_sftp

        return open_sftp(urlsplit(root))
    if scheme == "s3":
        fresh["config_kwargs"] = {"connect_timeout": 10, "read_timeout": 60}  # type: ignore[assignment]
    if scheme == "memory":
        fresh = {}
    return fsspec.filesystem("http" if scheme == "https" else scheme, **fresh)
