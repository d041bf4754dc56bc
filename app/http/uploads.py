"""Uploads: store the bytes of a visitor as a file that can be separated, or say why not.

Only bytes are accepted, no path and no address. The first bytes decide the kind of a file (see
`separate.audio`), so a playlist called .mp4 is refused and opens nothing.
"""

import math
import shutil
import threading
from collections.abc import AsyncIterator
from pathlib import Path, PurePosixPath

from separate.app.config import ServeConfig
from separate.app.jobs.refusals import TooLarge
from separate.app.jobs.store import Store, Upload
from separate.audio import AudioReader
from separate.batch.names import safe_name
from separate.errors import InputError, SeparateError

_LONGEST_NAME = 200  # characters that are shown
_SPARE_BYTES = 1_000_000_000  # of the disk stay free
_FULL_RATE = 48_000  # Hz; a recording at twice that counts double
_LOOK_BYTES = 16_000_000
_BLOCK_SAMPLES = 262_144
_checks = threading.Semaphore(2)  # decoders at once


async def receive(
    store: Store, config: ServeConfig, key: str, name: str, chunks: AsyncIterator[bytes]
) -> Upload:
    """Write a stream of bytes into the session.

    Args:
        store: Of all sessions.
        config: The limits.
        key: Of the session.
        name: As the visitor's system calls the file.
        chunks: Its content.

    Returns:
        The upload, not yet checked or kept.

    Raises:
        TooLarge: There are too many bytes; nothing is left behind.
        InputError: There are none, or there is no room.
    """
    upload = store.new_upload(key, shown_name(name), file_name(name))
    looked = 0
    try:
        with upload.path.open("wb") as file:
            async for chunk in chunks:
                upload.bytes += len(chunk)
                if upload.bytes > config.max_upload_bytes:
                    raise TooLarge(too_large(upload.name, config))
                file.write(chunk)
                if upload.bytes >= looked:  # not at every chunk: it takes a moment
                    looked = upload.bytes + _LOOK_BYTES
                    if shutil.disk_usage(store.root).free < _SPARE_BYTES:
                        raise InputError("the server has no room left; try again later")
        if not upload.bytes:
            raise InputError(f"{upload.name}: is an empty file (0 bytes)")
    except OSError as error:
        store.drop_upload(key, upload)
        raise InputError(f"{upload.name}: could not be kept ({error.strerror})") from error
    except BaseException:
        store.drop_upload(key, upload)
        raise
    return upload


def check(store: Store, config: ServeConfig, key: str, upload: Upload) -> Upload:
    """Look into an upload, and keep it if it holds sound of a length that is allowed.

    Raises:
        InputError: It can't be separated; then it is deleted.
    """
    try:
        with _checks:
            _measure(upload, config.max_seconds)
        cost = upload.seconds * math.ceil(upload.channels / 2)
        cost *= max(1.0, upload.sample_rate / _FULL_RATE)
        if cost > config.max_seconds:
            raise InputError(_too_long(upload, cost, config))
        store.keep_upload(key, upload)
    except SeparateError as error:
        store.drop_upload(key, upload)
        message = " ".join(str(error).split()).replace(str(upload.path), upload.name)
        raise InputError(message) from error
    except BaseException:
        store.drop_upload(key, upload)
        raise
    return upload


def _measure(upload: Upload, max_seconds: float) -> None:
    """Fill in rate, channels and seconds; a length that isn't declared is found by decoding."""
    with AudioReader(upload.path) as reader:
        upload.sample_rate, upload.channels = reader.info.sample_rate, reader.info.channels
        samples = None if reader.info.is_estimated else reader.samples
    if samples is None:
        with AudioReader(upload.path, end_seconds=max_seconds + 1) as reader:
            samples = sum(block.shape[1] for block in reader.blocks(_BLOCK_SAMPLES))
    else:
        with AudioReader(upload.path) as reader:  # damaged data shows here, before any waiting
            next(reader.blocks(min(samples, _BLOCK_SAMPLES)))
    upload.seconds = samples / upload.sample_rate


def _too_long(upload: Upload, cost: float, config: ServeConfig) -> str:
    limit = f"this server takes up to {config.max_minutes:g} minutes"
    if upload.seconds > config.max_seconds:
        return f"{upload.name}: is {upload.seconds / 60:.0f} minutes long; {limit}"
    many = f"{upload.channels} channels at {upload.sample_rate} Hz"
    return f"{upload.name}: {many} are as much work as {cost / 60:.0f} minutes of stereo; {limit}"


def too_large(name: str, config: ServeConfig) -> str:
    """Say that a file has too many bytes."""
    return f"{name}: is larger than {config.max_upload_mb:g} MB, the most that this server takes"


def shown_name(name: str) -> str:
    """Return the last part of a name, without what could disturb a line of text."""
    last = PurePosixPath(name.replace("\\", "/")).name
    plain = "".join(c for c in last if c.isprintable()).strip()
    return plain[:_LONGEST_NAME] or "recording"


def file_name(name: str) -> str:
    """Return a safe name for the file itself; results are named after it."""
    shown = Path(shown_name(name))
    ending = "".join(c for c in shown.suffix if c.isalnum())[:8].lower()
    return safe_name(shown.stem) + (f".{ending}" if ending else "")
