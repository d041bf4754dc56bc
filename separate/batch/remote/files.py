"""Files of a remote store: list, download, and upload so that only whole files get their names."""

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

from separate.audio import AUDIO_EXTENSIONS
from separate.batch.names import safe_name
from separate.batch.record import Output
from separate.batch.remote.address import (
    START_PATIENCE_SECONDS,
    Address,
    call,
    is_lasting,
    is_url,
    parse_address,
)
from separate.batch.staging import hidden_name
from separate.errors import InputError, OutputError

Place = Path | Address  # of a file or folder, here or elsewhere
MAX_FETCH_BYTES = 8 << 30
_BLOCK_BYTES = 8 << 20
_PART_BYTES = 16 << 20  # of an upload in parts
_HIDDEN = re.compile(r"\.separate-.+\.tmp")
_ABANDONED_SECONDS = 3600.0  # nothing was added to an upload for so long: it was killed
_APPEARS_WHOLE = ("s3", "gs")  # stores where a file is there only when its last byte is


@dataclass(frozen=True)
class RemoteFile:
    """A file in a store, as it was when it was looked up."""

    address: Address
    size: int  # bytes; 0 where the store does not report it
    mtime: float  # seconds since the epoch; 0 where there is an etag
    etag: str | None


@dataclass(frozen=True)
class RemoteOptions:
    """Options of remote inputs and outputs."""

    output: Address | None = None  # where results go; None: a local folder
    max_fetch_bytes: int = MAX_FETCH_BYTES  # of one input, fetched to the local disk


def place_of(text: str | os.PathLike[str], *, writing: bool = False) -> Place:
    """Tell paths from URLs.

    Raises:
        SettingsError: The URL is not allowed, see `parse_address`.
    """
    plain = os.fspath(text)
    return parse_address(plain, writing=writing) if is_url(plain) else Path(plain)


def child_of(folder: Place, place: str) -> Place:
    """Return the place of a file below a folder, here or in a store."""
    return folder / place if isinstance(folder, Path) else folder.child(place)


def find_remote(address: Address) -> list[tuple[RemoteFile, str]]:
    """List a file, the sound files of a folder, or those that a pattern fits.

    Returns:
        Each with its name: the path relative to the requested folder. A missing file is yielded
        itself, and fails when it is fetched.

    Raises:
        InputError: The store can't be read.
    """
    return call(
        address, lambda store: _find(store, address), patience_seconds=START_PATIENCE_SECONDS
    )


def _find(store: Any, address: Address) -> list[tuple[RemoteFile, str]]:
    path = address.path
    name = PurePosixPath(path.split("?")[0].split("#")[0]).name or "audio"
    missing = [(RemoteFile(address, 0, 0.0, None), name)]
    try:
        info = store.info(path)
    except FileNotFoundError as error:
        if not is_lasting(error):
            raise
        if address.scheme in ("http", "https") or not any(mark in path for mark in "*?["):
            return missing
        found = store.glob(path, detail=True)
        base = path[: min(path.find(mark) for mark in "*?[" if mark in path)].rpartition("/")[0]
    else:
        if info["type"] == "file":
            return [(described(address, info), name)]
        found, base = store.find(path, detail=True), path
    files = []
    for name, info in sorted(found.items()):
        parts = PurePosixPath(name.lstrip("/")).relative_to(base.lstrip("/"))
        is_hidden = any(part.startswith(".") for part in parts.parts)
        if info["type"] == "file" and not is_hidden and parts.suffix.lower() in AUDIO_EXTENSIONS:
            files.append((described(address.at(name), info), str(parts)))
    return files or missing


def look_up(address: Address) -> RemoteFile:
    """Return what the store says of a file now.

    Raises:
        InputError: It is not there, or the store can't be read.
    """
    return call(address, lambda store: described(address, store.info(address.path)))


def described(address: Address, info: dict[str, Any]) -> RemoteFile:
    """Convert the attributes that a store reports of a file."""
    etag = info.get("ETag") or info.get("etag") or info.get("Last-Modified")
    time = info.get("mtime") or info.get("created") or 0.0
    if isinstance(time, datetime):
        time = time.timestamp()
    seconds = 0.0 if etag else float(time) if isinstance(time, int | float) else 0.0
    return RemoteFile(address, int(info.get("size") or 0), seconds, str(etag) if etag else None)


def fetch(
    file: RemoteFile,
    folder: Path,
    max_bytes: int = MAX_FETCH_BYTES,
    on_block: Callable[[], None] | None = None,
) -> Path:
    """Copy a file to the local disk, block by block.

    Args:
        file: As it was looked up.
        folder: Where the copy goes.
        max_bytes: A larger file is refused.
        on_block: Called after each block; what it raises ends the copying.

    Returns:
        The copy, of the same extension.

    Raises:
        InputError: It is too large, has changed since it was looked up, or can't be read.
        OutputError: The local disk has no room for it.
    """
    address = file.address
    name = PurePosixPath(address.path.partition("?")[0])
    copy = folder / f"{safe_name(name.stem)}{safe_name(name.suffix) if name.suffix else ''}"
    _check_size(address, file.size, max_bytes, folder)
    call(address, lambda store: _copy(store, address, copy, max_bytes, on_block))
    now = look_up(address)
    if now != file or (file.size and copy.stat().st_size != file.size):
        raise InputError(f"{address}: changed while it was read; run again with --resume")
    return copy


def _copy(
    store: Any, address: Address, copy: Path, max_bytes: int, on_block: Callable[[], None] | None
) -> None:
    done = 0
    options = {} if address.scheme == "sftp" else {"block_size": _BLOCK_BYTES}
    try:
        with store.open(address.path, "rb", **options) as source, copy.open("wb") as target:
            while block := source.read(_BLOCK_BYTES):
                done += len(block)
                _check_size(address, done, max_bytes)
                target.write(block)
                if on_block is not None:
                    on_block()
    except OSError as error:
        if error.filename is None and shutil.disk_usage(copy.parent).free < _BLOCK_BYTES:
            raise OutputError(f"{copy.parent}: is full; set TMPDIR to a larger disk") from error
        raise


def read_hash(address: Address) -> tuple[int, str]:
    """Return size in bytes and SHA-256 of a file, read block by block.

    Raises:
        InputError: It can't be read.
    """

    def read(store: Any) -> tuple[int, str]:
        digest, size = hashlib.sha256(), 0
        options = {} if address.scheme == "sftp" else {"block_size": _BLOCK_BYTES}
        with store.open(address.path, "rb", **options) as source:
            while block := source.read(_BLOCK_BYTES):
                digest.update(block)
                size += len(block)
        return size, digest.hexdigest()

    return call(address, read)


def _check_size(address: Address, size: int, most: int, folder: Path | None = None) -> None:
    if size > most:
        raise InputError(
            f"{address}: is larger than {most / 2**30:.1f} GiB; give more to --max-fetch-gb"
        )
    if folder is not None and size > shutil.disk_usage(folder).free:
        raise OutputError(f"{folder}: has no room for {address}; set TMPDIR to a larger disk")


def put_all(local: Path, outputs: Sequence[Output], folder: Address) -> list[Output]:
    """Put files into a remote folder; where one fails, none of them stays.

    Args:
        local: The local folder that holds them.
        outputs: The files, by their paths relative to both folders.
        folder: Where they go.

    Returns:
        The outputs, with what the store calls their state.

    Raises:
        OutputError: One can't be written.
    """
    done = []
    try:
        for output in outputs:
            done.append(folder.child(output.path))
            put(local / output.path, done[-1], folder)
    except BaseException:
        for address in done:
            remove(address)
        raise
    return [_with_state(output, folder.child(output.path)) for output in outputs]


def _with_state(output: Output, address: Address) -> Output:
    return replace(output, state=state_of(look_up(address)))


def state_of(file: RemoteFile) -> str:
    """Return what changes when a file is written anew: its etag, or its time."""
    return file.etag or f"time {file.mtime:.6f}"


def put(local: Path, address: Address, folder: Address) -> None:
    """Put a file into a store, under its name only when it is whole.

    Args:
        local: The file.
        address: Where it goes.
        folder: The output folder, for a temporary name where the store needs one.

    Raises:
        OutputError: It can't be written.
    """
    size = local.stat().st_size

    def upload(store: Any) -> None:
        if address.scheme in _APPEARS_WHOLE:
            options = {"chunksize": _PART_BYTES}
            if address.scheme == "s3":
                options["max_concurrency"] = 2
            store.put_file(str(local), address.path, **options)
        else:
            hidden = folder.child(hidden_name()).path
            try:
                store.makedirs(str(PurePosixPath(address.path).parent), exist_ok=True)
                store.put_file(str(local), hidden)
                if store.info(hidden)["size"] != size:
                    raise OSError("it did not arrive whole")
                store.mv(hidden, address.path)
            except BaseException:
                _try_remove(store, hidden)
                raise
        if store.info(address.path)["size"] != size:
            raise OSError("it did not arrive whole")

    call(address, upload, writing=True)


def put_bytes(data: bytes, address: Address, folder: Address) -> None:
    """Put a small file into a store, whole; see `put`."""
    with TemporaryDirectory(prefix="separate-") as scratch:
        local = Path(scratch, "data")
        local.write_bytes(data)
        put(local, address, folder)


def remove(address: Address) -> None:
    """Remove a file, if that works."""
    with suppress(OutputError):
        call(address, lambda store: _try_remove(store, address.path), writing=True)


def _try_remove(store: Any, path: str) -> None:
    with suppress(Exception):
        store.rm_file(path)


def check_remote_writable(folder: Address) -> None:
    """Check that a file can be put into a remote folder; remove uploads that were killed.

    An upload counts as killed when nothing was added to it for an hour, by the store's clock.

    Raises:
        OutputError: That fails.
    """
    probe = folder.child(hidden_name())

    def try_out(store: Any) -> None:
        if folder.scheme not in _APPEARS_WHOLE:
            store.makedirs(folder.path, exist_ok=True)
        store.pipe_file(probe.path, b"x")
        now = described(probe, store.info(probe.path)).mtime
        store.rm_file(probe.path)
        if folder.scheme not in _APPEARS_WHOLE:
            for info in store.ls(folder.path, detail=True):
                is_hidden = _HIDDEN.fullmatch(PurePosixPath(info["name"]).name)
                modified = described(folder, info).mtime
                if is_hidden and modified and now - modified > _ABANDONED_SECONDS:
                    _try_remove(store, info["name"])

    call(folder, try_out, writing=True, patience_seconds=START_PATIENCE_SECONDS)
