"""Measure clues of songs whose stems are known, to fit and check the rule of `labels`.

`Known` holds the clues and the true labels of each window of the songs, and of the same windows
with some stems left out, so that each label is often absent.
"""

import re
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from separate.audio import to_mono
from separate.corpus.mixtures.clues import LABELS, ClueFinder, levels_db, windows_of
from separate.corpus.sources.store import SAMPLE_RATE
from separate.errors import DataError, OutputError
from separate.queries.vocabulary import ancestors, label_of

SOUNDS, SILENT, BETWEEN, UNKNOWN = 1, 0, 2, 3  # states of a label in a window
_SOUNDS_DB = -25.0  # a stem sounds that is at most so far below the mixture
_SILENT_DB = -45.0  # and is silent below this,
_SILENT_PEAK_DB = -35.0  # if its loudest second is below this as well
_QUIET_DB = -50.0  # windows below hold nothing
_VAGUE = {"other", "rest", "accompaniment", "music"}  # stems that may hold any instrument
# Where these sound, the label counts neither as sounding nor as silent.
_KIN = {
    "synth": {"synth bass", "keys", "organ"},
    "strings": {"double bass", "full orchestra", "synth pad"},
    "piano": {"keys"},
}


class StemSong(Protocol):
    """A song whose stems sum to its mixture, as `separate.train.data.folders` reads it."""

    @property
    def name(self) -> str:
        """Unique."""

    @property
    def stems(self) -> Mapping[str, np.ndarray]:
        """Label -> int16 `(samples, 2)` at 44.1 kHz."""

    @property
    def parents(self) -> Mapping[str, str]:
        """Label -> vocals, drums, bass, other, or rest."""

    @property
    def licence_class(self) -> str:
        """One of free, sharealike, nc, research."""

    @property
    def samples(self) -> int:
        """Length."""

    @property
    def rendered(self) -> bool:
        """Whether every sound in it is labelled finely."""


@dataclass(frozen=True)
class Known:
    """Measured windows, one row each."""

    values: np.ndarray  # float32 (n, labels, clues)
    states: np.ndarray  # int8 (n, labels)
    songs: np.ndarray  # (n,) names
    rendered: np.ndarray  # (n,) bool: of a rendered song
    whole: np.ndarray  # (n,) bool: no stem left out
    free: np.ndarray  # (n,) bool: of a class that a shipped rule may be fitted on
    tagger: str  # that measured them

    def save(self, path: Path) -> None:
        """Write to a `.npz` file.

        Raises:
            OutputError: It can't be written.
        """
        try:
            with path.open("wb") as file:
                np.savez_compressed(file, **self.__dict__)
        except OSError as error:
            raise OutputError(f"{path}: cannot be written ({error}); name another file") from error

    @classmethod
    def load(cls, path: Path) -> "Known":
        """Read what `save` wrote.

        Raises:
            DataError: It is damaged, or something else.
        """
        try:
            with np.load(path) as content:
                columns = {name: content[name] for name in content.files if name != "tagger"}
                return cls(**columns, tagger=str(content["tagger"]))
        except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
            raise DataError(f"{path}: no measured songs; delete it to measure anew") from error


def measure_songs(
    songs: Sequence[StemSong],
    finder: ClueFinder,
    *,
    window_seconds: float = 10.0,
    seed: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
) -> Known:
    """Measure every window of some songs, as it is and with stems left out.

    Args:
        songs: Of any licence class; none that a model is judged by.
        finder: Measures.
        window_seconds: Length of a window.
        seed: Of the choice of stems left out.
        on_progress: Called with (songs done, songs).

    Raises:
        DataError: No window of a song was long enough.
    """
    rng = np.random.default_rng(seed)
    rows: list[tuple[np.ndarray, np.ndarray, str, bool, bool, bool]] = []
    length = round(window_seconds * SAMPLE_RATE)
    for done, song in enumerate(songs):
        is_free = song.licence_class in ("free", "sharealike")
        for start, stop in windows_of(song.samples, length, length):
            stems = {label: _float(stem[start:stop]) for label, stem in song.stems.items()}
            for kept in (list(stems), _some(rng, song)):
                mixture = np.sum([stems[label] for label in kept], axis=0)
                states = states_of(mixture, {label: stems[label] for label in kept}, song)
                if states is not None:
                    values = finder.measure(mixture).values
                    is_whole = len(kept) == len(stems)
                    rows.append((values, states, song.name, song.rendered, is_whole, is_free))
        if on_progress:
            on_progress(done + 1, len(songs))
    if not rows:
        raise DataError(f"no song with stems of {window_seconds:g} s or more; cache longer ones")
    values, states, *facts = (np.array(column) for column in zip(*rows, strict=True))
    return Known(values, states, facts[0], facts[1], facts[2], facts[3], finder.tagger_name)


def _float(samples: np.ndarray) -> np.ndarray:
    """Return int16 `(samples, 2)` as float32 `(2, samples)`."""
    return np.ascontiguousarray(samples.T, dtype=np.float32) / 32768


def _some(rng: np.random.Generator, song: StemSong) -> list[str]:
    """Draw some stems: vocals, drums, bass as a whole, others one by one; not all, not none."""
    groups = {p if p in ("vocals", "drums", "bass") else label for label, p in song.parents.items()}
    order = [str(group) for group in rng.permutation(sorted(groups))]
    kept = set(order[: rng.integers(1, max(2, len(order)))])
    return [label for label, parent in song.parents.items() if {label, parent} & kept]


def states_of(
    mixture: np.ndarray, stems: dict[str, np.ndarray], song: StemSong
) -> np.ndarray | None:
    """Return which labels sound in a window.

    Args:
        mixture: `(2, samples)`.
        stems: That it is the sum of.
        song: Whose they are.

    Returns:
        A state a label, `(labels,)`; None for a silent window.
    """
    level_db = float(levels_db(to_mono(mixture)[None])[0, 0])
    if level_db < _QUIET_DB:
        return None
    lines = {label: _line(label, song) for label in stems}
    states = np.empty(len(LABELS), np.int8)
    for number, name in enumerate(LABELS):
        own = [stems[label] for label, line in lines.items() if name in line]
        total = np.sum(own, axis=0) if own else np.zeros_like(mixture)
        mean_db, peak_db = levels_db(to_mono(total)[None])[0] - level_db
        if mean_db >= _SOUNDS_DB:
            states[number] = SOUNDS
        elif mean_db <= _SILENT_DB and peak_db <= _SILENT_PEAK_DB:
            others = [label for label, line in lines.items() if name not in line]
            unsure = any(_may_hold(label, name, lines[label], song) for label in others)
            states[number] = UNKNOWN if unsure else SILENT
        else:
            states[number] = BETWEEN
    return states


def _line(label: str, song: StemSong) -> set[str]:
    """Return a stem's label, the wider ones, and its parent; `strings_2` is a second `strings`."""
    try:
        line = set(ancestors(label_of(re.sub(r"_\d+$", "", label)).name))
    except KeyError:
        line = set()
    return line | {song.parents[label]}


def _may_hold(label: str, name: str, line: set[str], song: StemSong) -> bool:
    """Whether a stem of another label may hold what is asked for."""
    if name == "bass" and "synth" in line and not song.rendered:
        return "bass" not in song.parents.values()  # it plays the bass as well
    if name in ("vocals", "drums", "bass"):
        return song.parents[label] == "rest"
    is_vague = line <= _VAGUE or "effects" in line
    return is_vague or bool(line & _KIN.get(name, set()))
