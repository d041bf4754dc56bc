"""Find recordings in folders and archives, with the licence of each.

A folder is an unpacked package (`usr/share/doc/*/copyright` below it), a folder of such packages,
or any folder of audio with a given licence. Files of unclear licence are listed and left out.
"""

import hashlib
import subprocess
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from separate.corpus.sources.copyrights import Licence, licence_of
from separate.corpus.sources.licences import licence_class
from separate.errors import DataError

AUDIO = {".ogg", ".oga", ".opus", ".mp3", ".flac", ".wav", ".mod", ".xm", ".it", ".s3m"}
ARCHIVES = {".zip", ".pk3", ".pk4"}
_MUSIC_BYTES = {".wav": 2_000_000, ".flac": 1_000_000}  # smaller files are effects, not pieces
_LEAST_BYTES = 100_000
_MODULES = {".mod", ".xm", ".it", ".s3m"}  # of any size


@dataclass(frozen=True)
class Recording:
    """A sound file, or one inside an archive."""

    package: str
    name: str  # of its path below the package, unique there
    path: Path  # the file or the archive
    member: str  # inside the archive; empty for a file
    licence: Licence

    @property
    def slug(self) -> str:
        """A folder's name: the file's name and six digits of its path's hash."""
        digest = hashlib.sha256(self.name.encode()).hexdigest()[:6]
        stem = PurePosixPath(self.name).stem
        return "".join(c if c.isalnum() or c in "-_" else "_" for c in stem) + f"-{digest}"

    @contextmanager
    def opened(self) -> Iterator[Path]:
        """Give a file that can be decoded, for that time.

        A member of an archive is unpacked, and a tracker module is rendered by ffmpeg.

        Raises:
            DataError: The archive is damaged, or ffmpeg cannot render the module.
        """
        with tempfile.TemporaryDirectory() as folder:
            path = self.path
            if self.member:
                path = Path(folder) / f"recording{PurePosixPath(self.member).suffix.lower()}"
                try:
                    with zipfile.ZipFile(self.path) as archive:
                        path.write_bytes(archive.read(self.member))
                except (OSError, zipfile.BadZipFile, KeyError, RuntimeError) as error:
                    raise DataError(f"{self.path}: {self.member} cannot be unpacked") from error
            yield _rendered(path, Path(folder)) if path.suffix.lower() in _MODULES else path


@dataclass(frozen=True)
class FoundRecording:
    """What lies below some folders."""

    recordings: tuple[Recording, ...]
    left_out: tuple[str, ...]  # a line each: file and reason


def find_recordings(folders: list[Path], licence: str = "") -> FoundRecording:
    """List the recordings below folders that are large enough to be pieces of music.

    Args:
        folders: Packages, folders of packages, or folders of audio.
        licence: The licence's name where a folder has no copyright file.

    Raises:
        DataError: A folder is missing, or there is no recording in any.
    """
    recordings: list[Recording] = []
    left_out: list[str] = []
    for folder in folders:
        if not folder.is_dir():
            raise DataError(f"{folder}: no such folder; scripts/fetch_mixtures.sh makes one")
        for package in _packages(folder):
            for name, path, member in _audio_below(package):
                found = _licence(package, name, licence)
                if found.licence_class:
                    recordings.append(Recording(package.name, name, path, member, found))
                else:
                    left_out.append(f"{package.name}/{name}: {found.reason}")
    if not recordings and not left_out:
        raise DataError(f"{', '.join(map(str, folders))}: no recordings found")
    return FoundRecording(tuple(recordings), tuple(left_out))


def _packages(folder: Path) -> list[Path]:
    """Return the folder itself, or the packages in it."""
    if _copyrights(folder):
        return [folder]
    inside = [path for path in sorted(folder.iterdir()) if path.is_dir() and _copyrights(path)]
    return inside or [folder]


def _copyrights(package: Path) -> list[Path]:
    return sorted(package.glob("usr/share/doc/*/copyright"))


def _licence(package: Path, name: str, stated: str) -> Licence:
    texts = _copyrights(package)
    if texts:
        path = name.replace("!", "/")
        return licence_of(path, texts[0].read_text(errors="replace"), package.name)
    if stated:
        return Licence(stated, licence_class(stated))
    return Licence("", "", reason="no copyright file; name its licence with --licence")


def _audio_below(package: Path) -> Iterator[tuple[str, Path, str]]:
    """Yield name, file and member of an archive, sorted."""
    for path in sorted(package.rglob("*")):
        name = path.relative_to(package).as_posix()
        if path.suffix.lower() in AUDIO and path.is_file():
            if _is_music(path.suffix.lower(), path.stat().st_size):
                yield name, path, ""
        elif path.suffix.lower() in ARCHIVES and zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                for item in sorted(archive.infolist(), key=lambda item: item.filename):
                    suffix = PurePosixPath(item.filename).suffix.lower()
                    if suffix in AUDIO and _is_music(suffix, item.file_size):
                        yield f"{name}!{item.filename}", path, item.filename


def _rendered(module: Path, folder: Path) -> Path:
    """Write a tracker module as WAV."""
    target = folder / "module.wav"
    command = ["ffmpeg", "-nostdin", "-v", "error", "-f", "libopenmpt", "-i", f"file:{module}"]
    try:
        done = subprocess.run([*command, str(target)], check=False, capture_output=True)
    except FileNotFoundError as error:
        raise DataError(
            f"{module}: ffmpeg renders modules; run scripts/install_ffmpeg.sh"
        ) from error
    if done.returncode:
        reason = done.stderr.decode(errors="replace").strip().splitlines()
        raise DataError(f"{module}: cannot be rendered ({reason[-1] if reason else 'ffmpeg'})")
    return target


def _is_music(suffix: str, size_bytes: int) -> bool:
    return suffix in _MODULES or size_bytes >= _MUSIC_BYTES.get(suffix, _LEAST_BYTES)
