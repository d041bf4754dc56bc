"""Tracks: the sound files of inputs, here or in a store, under names that differ."""

from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from separate.audio import find_audio
from separate.batch.names import distinct, safe_name
from separate.batch.remote.address import Address
from separate.batch.remote.files import Place, RemoteFile, find_remote
from separate.errors import InputError, SettingsError
from separate.settings import Settings


@dataclass(frozen=True)
class Track:
    """One input file and what its results are called."""

    path: Path
    name: str  # safe; with forward slashes where sub-folders are kept
    remote: RemoteFile | None = None  # what is fetched first; `path` is then no file yet

    @property
    def label(self) -> str:
        """What messages call it: its path as given, or its URL."""
        return str(self.path) if self.remote is None else self.remote.address.url


@dataclass(frozen=True)
class _Found:
    """A file of some input."""

    path: Path  # as given; of a remote file its path in the store
    real: Path  # without links
    name: Path  # relative to the folder that was searched
    remote: RemoteFile | None = None


def find_tracks(
    inputs: Sequence[Place],
    made: Iterable[Place] = (),
    folder: Place | None = None,
) -> list[Track]:
    """List the sound files of some files, folders and patterns, each once, under differing names.

    Args:
        inputs: Files, folders and patterns like `*.wav`, here or in a store; folders are searched
            with all that is in them, and the sub-folders are kept in the tracks' names.
        made: Files that are results of earlier runs, passed over in folders.
        folder: The output folder, skipped if it is inside an input folder.

    Returns:
        Tracks in the order of the inputs. What is missing, and a folder without sound, stays in as
        it is: it fails when it is opened, and the others go on.

    Raises:
        InputError: A store can't be read.
    """
    results = {path.resolve() if isinstance(path, Path) else path.url for path in made}
    found: dict[str, _Found] = {}  # by real path or URL
    for given in inputs:
        if isinstance(given, Path):
            own = folder if isinstance(folder, Path) else None
            files = (file for path in _matches(given) for file in _local(path, results, own))
        else:
            files = (file for file in _remote(given, results, folder))
        for key, file in files:
            found.setdefault(key, file)
    names = _track_names([(file.real, file.name) for file in found.values()])
    named = zip(found.values(), names, strict=True)
    return [Track(file.path, name, file.remote) for file, name in named]


def _matches(given: Path) -> list[Path]:
    """Return the paths that match a pattern; an existing path, or one without pattern, is kept."""
    if not any(mark in str(given) for mark in "*?[") or given.exists():
        return [given]
    parts = given.parts[len(Path(given.anchor).parts) :]
    return sorted(Path(given.anchor).glob("/".join(parts))) or [given]


def _local(
    given: Path, results: Container[object], folder: Path | None
) -> Iterator[tuple[str, _Found]]:
    if not given.is_dir():
        yield str(given.resolve()), _Found(given, given.resolve(), Path(given.name))
        return
    is_fresh = False
    for path in _search(given):
        real = path.resolve()
        inside = folder is not None and _holds(folder.resolve(), path, given.resolve())
        if real not in results and not inside:
            is_fresh = True
            yield str(real), _Found(path, real, path.relative_to(given))
    if not is_fresh:
        yield str(given.resolve()), _Found(given, given.resolve(), Path(given.name or "folder"))


def _remote(
    given: Address, results: Container[object], folder: Place | None
) -> Iterator[tuple[str, _Found]]:
    own = "" if folder is None or isinstance(folder, Path) else f"{folder.url.rstrip('/')}/"
    searched = f"{given.url.rstrip('/')}/"
    for file, name in find_remote(given):
        url, path = file.address.url, Path("/" + file.address.path.lstrip("/"))
        is_inside = bool(own) and own != searched and url.startswith(own)
        if url == given.url or not (url in results or is_inside):
            yield url, _Found(path, path, Path(name), file)


def _holds(folder: Path, path: Path, searched: Path) -> bool:
    """Whether a path is in an output folder that is inside the searched one."""
    within = folder != searched and folder.is_relative_to(searched)
    return within and path.resolve().is_relative_to(folder)


def _search(folder: Path) -> list[Path]:
    try:
        return find_audio(folder)
    except InputError:
        return []


def _track_names(files: Sequence[tuple[Path, Path]]) -> list[str]:
    """Name files `(real path, relative path)`; where names meet, by extension or parent folder."""

    def with_parent(real: Path, name: Path) -> Path:
        return Path(real.parents[len(name.parts) - 1].name, name)

    levels: list[Callable[[Path, Path], Path]] = [
        lambda real, name: name.with_suffix(""),
        lambda real, name: name,
        lambda real, name: with_parent(real, name).with_suffix(""),
        with_parent,
    ]
    names = [""] * len(files)
    open_files = list(range(len(files)))
    for level in levels:
        for index in open_files:
            names[index] = "/".join(map(safe_name, level(*files[index]).parts))
        counts = Counter(name.casefold() for name in names)
        open_files = [index for index in open_files if counts[names[index].casefold()] > 1]
    return distinct(names)


def output_places(
    tracks: Sequence[Track], stems: dict[str, str], settings: Settings
) -> list[dict[str, str]]:
    """Return the paths of all outputs of a batch.

    Args:
        tracks: The inputs.
        stems: File names by stem, see `stem_names`.
        settings: The pattern and the format.

    Returns:
        For each track, paths relative to the output folder by stem.

    Raises:
        SettingsError: With this pattern two outputs would have one path.
    """
    places = []
    used: set[str] = set()
    for track in tracks:
        own = {}
        for stem, name in stems.items():
            path = settings.filename.format(track=track.name, stem=name, ext=settings.format)
            own[stem] = str(PurePosixPath(path.replace("\\", "/")))
            if own[stem].casefold() in used:
                raise SettingsError(
                    f"--filename {settings.filename!r}: several outputs would be called"
                    f" {own[stem]!r}; put {{track}} into it"
                )
            used.add(own[stem].casefold())
        places.append(own)
    return places
