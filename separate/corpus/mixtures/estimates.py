"""Training songs from recordings without stems: a teacher's estimates where its views agree.

A teacher separates each window as it is, and once more played faster. A window is kept where both
views agree on every stem that is loud enough to matter; softer stems and the residual are added to
`other`, so that the stems sum to the recording. Each run of kept windows becomes a song, stored as
`store` describes.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from separate.audio import resample
from separate.backends.base import SourceModel
from separate.corpus.mixtures.build import AUDIO, descriptions
from separate.corpus.sources.licences import CLASSES, licence_class, narrowest
from separate.corpus.sources.store import SAMPLE_RATE, SongInfo, write_song
from separate.errors import DataError
from separate.queries.query import parse_query
from separate.queries.vocabulary import STEMS


@dataclass(frozen=True)
class EstimateSettings:
    """Which estimates are kept."""

    agreement_db: float = 12.0  # SDR of one view's stem against the mean of both
    audible_db: float = -30.0  # a stem so far below the mixture does not matter
    faster: float = 1.06  # speed and pitch of the second view
    licences: tuple[str, ...] = ("free", "sharealike")  # classes to use

    def __post_init__(self) -> None:
        """Refuse classes that there are not."""
        if unknown := set(self.licences) - set(CLASSES):
            raise DataError(f"unknown licence class {min(unknown)!r}; take {', '.join(CLASSES)}")


class Teacher:
    """A model of the four stems."""

    def __init__(self, model: SourceModel, name: str, licence: str) -> None:
        """Take a loaded model.

        Args:
            model: Shares the mixture out among its queries.
            name: For the songs' descriptions.
            licence: Of its weights, which the songs carry too.

        Raises:
            DataError: It works at another rate than the corpus.
        """
        if model.sample_rate != SAMPLE_RATE:
            raise DataError(f"{name}: works at {model.sample_rate} Hz; take one of {SAMPLE_RATE}")
        self.name, self.licence_class = name, licence_class(licence)
        self._model = model
        self._prepared = model.prepare([parse_query(stem) for stem in STEMS])

    @torch.inference_mode()
    def separate(self, mixture: np.ndarray) -> np.ndarray:
        """Map float32 `(2, samples)` to the stems `(4, 2, samples)`, in the order of `STEMS`."""
        outputs = self._model.separate(torch.from_numpy(mixture), self._prepared)
        return np.asarray(outputs[: len(STEMS)].cpu().numpy())


@dataclass
class EstimateReport:
    """What a run did."""

    songs: int = 0
    seconds: float = 0.0  # in songs
    seen_seconds: float = 0.0  # of windows that were separated


def estimate_songs(
    corpora: Iterable[Path],
    out: Path,
    teacher: Teacher,
    settings: EstimateSettings | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> EstimateReport:
    """Write songs of estimated stems; recordings that were done before are not done again.

    Args:
        corpora: That `build_mixtures` wrote.
        out: The folder of songs.
        teacher: Separates.
        settings: Which estimates are kept.
        on_progress: Called with (recordings done, recordings).

    Raises:
        DataError: There is no recording of the wanted classes, or one is damaged.
        OutputError: The disk is full or not writable.
    """
    settings = settings or EstimateSettings()
    found = [
        (path, info)
        for corpus in corpora
        for path, info in descriptions(Path(corpus))
        if info["windows"] and info["licence_class"] in settings.licences
    ]
    if not found:
        raise DataError("no recordings of these licences; run `separate data mixtures` first")
    report = EstimateReport()
    for done, (path, info) in enumerate(found):
        marker = out / info["package"] / f".{path.name}.done"
        if not marker.exists():
            _add(path, info, out, teacher, settings, report)
            marker.parent.mkdir(parents=True, exist_ok=True)
            marker.touch()
        if on_progress:
            on_progress(done + 1, len(found))
    return report


def _add(
    path: Path,
    info: dict[str, Any],
    out: Path,
    teacher: Teacher,
    settings: EstimateSettings,
    report: EstimateReport,
) -> None:
    """Write the songs of one recording."""
    try:
        audio = np.load(path / AUDIO, mmap_mode="r")
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: damaged ({error}); delete it and build it again") from error
    licence = narrowest([info["licence_class"], teacher.licence_class])
    notes = {"estimated_by": teacher.name}
    facts = SongInfo(info["license"], info["source"], licence, notes=notes)
    for first, parts in _runs(audio, info["windows"], teacher, settings):
        stems = dict(zip(STEMS, np.concatenate(parts, axis=-1), strict=True))
        kept = {stem: sound for stem, sound in stems.items() if np.any(sound)}
        write_song(
            out / info["package"] / f"{path.name}-{first}", kept, {s: s for s in kept}, facts
        )
        report.songs += 1
        report.seconds += sum(part.shape[-1] for part in parts) / SAMPLE_RATE
    report.seen_seconds += sum(w["stop"] - w["start"] for w in info["windows"]) / SAMPLE_RATE


def _runs(
    audio: np.ndarray,
    windows: list[dict[str, Any]],
    teacher: Teacher,
    settings: EstimateSettings,
) -> Iterator[tuple[int, list[np.ndarray]]]:
    """Yield runs of neighbouring windows that are kept: first sample, estimates."""
    first, end, parts = 0, -1, list[np.ndarray]()
    for window in windows:
        stretch = np.ascontiguousarray(audio[window["start"] : window["stop"]].T, np.float32)
        stems = agreed_stems(stretch / 32768, teacher, settings)
        if parts and (stems is None or window["start"] != end):
            yield first, parts
            parts = []
        if stems is not None:
            first = window["start"] if not parts else first
            parts.append(stems)
            end = window["stop"]
    if parts:
        yield first, parts


def agreed_stems(
    mixture: np.ndarray, teacher: Teacher, settings: EstimateSettings
) -> np.ndarray | None:
    """Separate a window in two views.

    Args:
        mixture: float32 `(2, samples)` at 44.1 kHz.
        teacher: Separates.
        settings: Which estimates are kept.

    Returns:
        The stems `(4, 2, samples)`, whose sum is the mixture, in the order of `STEMS`; None where
        the views do not agree.
    """
    views = [
        teacher.separate(mixture),
        _at_another_speed(mixture, teacher, settings.faster),
    ]
    stems = (views[0] + views[1]) / 2
    power = np.square(stems).mean((1, 2))
    apart = np.square(views[0] - stems).mean((1, 2))
    level_db = 10 * np.log10((power + 1e-12) / (np.square(mixture).mean() + 1e-9))
    agreement_db = 10 * np.log10((power + 1e-12) / (apart + 1e-12))
    matters = level_db >= settings.audible_db
    if (agreement_db[matters] < settings.agreement_db).any():
        return None
    stems = stems * matters[:, None, None]
    stems[STEMS.index("other")] += mixture - stems.sum(0)
    return np.asarray(stems, np.float32)


def _at_another_speed(mixture: np.ndarray, teacher: Teacher, faster: float) -> np.ndarray:
    """Separate a window that is played faster, and bring the stems back."""
    rate = round(SAMPLE_RATE / faster)
    stems = teacher.separate(resample(mixture, SAMPLE_RATE, rate))
    back = resample(stems.reshape(-1, stems.shape[-1]), rate, SAMPLE_RATE)
    samples = mixture.shape[1]
    back = np.pad(back[:, :samples], ((0, 0), (0, max(0, samples - back.shape[1]))))
    return np.asarray(back.reshape(len(STEMS), -1, samples))
