"""Build a corpus of recordings without stems.

Each recording becomes a folder `<package>/<recording>` with `mixture.npy`, int16 `(samples, 2)` at
44.1 kHz, and `mixture.json`: licence, source, and the clues measured in each window. The rule of
`labels` turns clues into labels when the corpus is read (`separate.train.data.recordings`), so a
new rule needs no new measurement. An interrupted run keeps what is complete.
"""

import hashlib
import json
import shutil
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from separate.audio import probe, read_audio, resample
from separate.corpus.mixtures.clues import CLUES, LABELS, ClueFinder, windows_of
from separate.corpus.mixtures.recordings import Recording, find_recordings
from separate.corpus.sources.licences import CLASSES
from separate.corpus.sources.store import SAMPLE_RATE, to_int16
from separate.errors import DataError, OutputError, SeparateError
from separate.files import replace_folder

DESCRIPTION = "mixture.json"
AUDIO = "mixture.npy"


@dataclass(frozen=True)
class MixtureSettings:
    """How recordings become windows."""

    window_seconds: float = 10.0  # 6 to 12; the tagger was taught by 10
    least_seconds: float = 6.0  # a last window as short as this is kept
    shortest_seconds: float = 20.0  # shorter recordings are effects and jingles
    least_music: float = 0.3  # likelihood of music below which a window is left out
    least_level_db: float = -50.0  # windows below are silent
    licences: tuple[str, ...] = ("free", "sharealike")  # classes to keep

    def __post_init__(self) -> None:
        """Refuse windows that no mixer can use, and classes that there are not."""
        if unknown := set(self.licences) - set(CLASSES):
            raise DataError(f"unknown licence class {min(unknown)!r}; take {', '.join(CLASSES)}")
        if not 6 <= self.window_seconds <= 12:
            raise DataError("a window has 6 to 12 seconds")


@dataclass
class BuildReport:
    """What a run did."""

    written: int = 0
    present: int = 0  # were there already
    short: int = 0
    doubles: int = 0  # the same file in two packages
    left_out: list[str] = field(default_factory=list)  # licences that are unclear or not wanted
    skipped: list[str] = field(default_factory=list)  # could not be decoded


def build_mixtures(
    folders: Sequence[Path],
    out: Path,
    finder: ClueFinder,
    settings: MixtureSettings | None = None,
    *,
    licence: str = "",
    on_progress: Callable[[int, int], None] | None = None,
) -> BuildReport:
    """Decode and measure every recording below some folders.

    Args:
        folders: Packages that were unpacked, or folders of audio.
        out: The corpus; recordings that are complete there are kept.
        finder: Measures the windows.
        settings: Windows and licences.
        licence: The licence's name where a folder has no copyright file.
        on_progress: Called with (recordings done, recordings).

    Returns:
        What was done, and what was left out for which reason.

    Raises:
        DataError: No recording was found.
        OutputError: The disk is full or not writable.
    """
    settings = settings or MixtureSettings()
    found = find_recordings(list(folders), licence)
    report = BuildReport(left_out=list(found.left_out))
    seen = {info["sha256"]: path for path, info in descriptions(out)}
    # In an order that mixes the packages: a run that is ended early has some of each.
    for done, recording in enumerate(sorted(found.recordings, key=lambda r: r.slug[-6:])):
        _add(recording, out, finder, settings, report, seen)
        if on_progress:
            on_progress(done + 1, len(found.recordings))
    return report


def _add(
    recording: Recording,
    out: Path,
    finder: ClueFinder,
    settings: MixtureSettings,
    report: BuildReport,
    seen: dict[str, Path],
) -> None:
    """Add one recording, or note why not."""
    folder = out / recording.package / recording.slug
    if (folder / DESCRIPTION).exists():
        report.present += 1
        return
    if recording.licence.licence_class not in settings.licences:
        where = f"{recording.package}/{recording.name}"
        report.left_out.append(f"{where}: {recording.licence.name} is not of a wanted class")
        return
    try:
        with recording.opened() as path:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            if digest in seen:
                report.doubles += 1
                return
            audio = _decode(path, settings.shortest_seconds)
    except SeparateError as error:
        report.skipped.append(f"{recording.package}/{recording.name}: {error}")
        return
    if audio is None:
        report.short += 1
        return
    windows = _measured(audio, finder, settings)
    document = {
        "package": recording.package,
        "name": recording.name,
        "license": recording.licence.name,
        "licence_class": recording.licence.licence_class,
        "source": f"{recording.package} ({recording.licence.credit})",
        "seconds": round(audio.shape[1] / SAMPLE_RATE, 3),
        "sha256": digest,
        "tagger": finder.tagger_name,
        "model_sha256": finder.model_sha256,
        "labels": LABELS,
        "clues": CLUES,
        "windows": windows,
    }
    _write(folder, audio if windows else None, document)
    seen[digest] = folder
    report.written += 1


def _decode(path: Path, shortest_seconds: float) -> np.ndarray | None:
    """Return float32 `(2, samples)` at 44.1 kHz; None for what is too short."""
    info = probe(path)
    if info.samples is not None and info.samples < shortest_seconds * info.sample_rate:
        return None
    audio, rate = read_audio(path)
    if audio.shape[1] < shortest_seconds * rate:
        return None
    stereo = audio[:2] if len(audio) > 1 else np.repeat(audio, 2, axis=0)
    stereo = stereo if rate == SAMPLE_RATE else resample(stereo, rate, SAMPLE_RATE)
    peak = float(np.abs(stereo).max())
    return np.ascontiguousarray(stereo) * np.float32(min(1.0, 0.99 / max(peak, 1e-9)))


def _measured(
    audio: np.ndarray, finder: ClueFinder, settings: MixtureSettings
) -> list[dict[str, Any]]:
    """Measure the windows of music."""
    length, least = (
        round(seconds * SAMPLE_RATE)
        for seconds in (settings.window_seconds, settings.least_seconds)
    )
    windows = []
    for start, stop in windows_of(audio.shape[1], length, least):
        window = np.ascontiguousarray(audio[:, start:stop])
        if 10 * np.log10(np.square(window).mean() + 1e-12) < settings.least_level_db:
            continue
        clues = finder.measure(window)
        if clues.music >= settings.least_music:
            values = [[round(float(value), 2) for value in row] for row in clues.values]
            music = round(clues.music, 3)
            windows.append({"start": start, "stop": stop, "music": music, "clues": values})
    return windows


def _write(folder: Path, audio: np.ndarray | None, document: dict[str, Any]) -> None:
    """Write one recording, all or nothing; one without windows has no audio."""
    temporary = folder.parent / f".{folder.name}.tmp"
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        if audio is not None:
            np.save(temporary / AUDIO, to_int16(audio))
        (temporary / DESCRIPTION).write_text(json.dumps(document) + "\n")
        replace_folder(temporary, folder, (DESCRIPTION, AUDIO))
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written ({error}); free some space") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def count_recordings(
    folders: Sequence[Path], settings: MixtureSettings | None = None, licence: str = ""
) -> str:
    """Return a table of the recordings below some folders, by package and class, before any work.

    Args:
        folders: As for `build_mixtures`.
        settings: Recordings that are too short for them are not counted.
        licence: The licence's name where a folder has no copyright file.

    Raises:
        DataError: No recording was found.
    """
    settings = settings or MixtureSettings()
    found = find_recordings(list(folders), licence)
    rows: dict[tuple[str, str], list[float]] = defaultdict(lambda: [0, 0.0])
    for recording in found.recordings:
        try:
            with recording.opened() as path:
                info = probe(path)
        except SeparateError:
            continue
        seconds = (info.samples or 0) / info.sample_rate
        if seconds >= settings.shortest_seconds:
            row = rows[(recording.package, recording.licence.licence_class)]
            row[0] += 1
            row[1] += seconds / 3600
    for licence_class in sorted({name for _, name in rows}):
        parts = [row for (_, name), row in rows.items() if name == licence_class]
        rows[("all", licence_class)] = [sum(column) for column in zip(*parts, strict=True)]
    lines = [f"{'package':24} {'class':12} {'recordings':>10} {'hours':>7}"]
    for (package, licence_class), (items, hours) in rows.items():
        lines.append(f"{package:24} {licence_class:12} {items:10.0f} {hours:7.2f}")
    return "\n".join([*lines, *(f"left out: {line}" for line in found.left_out)])


def descriptions(folder: Path) -> list[tuple[Path, dict[str, Any]]]:
    """Return every complete recording's folder and description."""
    found = []
    for path in sorted(folder.rglob(DESCRIPTION)):
        if path.parent.name.startswith("."):
            continue  # a run ended while it was written
        try:
            found.append((path.parent, json.loads(path.read_text())))
        except ValueError as error:
            raise DataError(f"{path}: damaged; delete its folder and build it again") from error
    return found
