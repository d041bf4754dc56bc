"""Songs with their stems: read from a folder, one song at a time.

A song's folder has one of these layouts:

- any stems folder: one audio file a stem; `song.json` maps each file's name to its parent stem
  (`{"stems": {"lead_vocals": "vocals", ...}}`, or that inner object alone); without it the parent
  follows from the file's name. The mixture is the file of that name (`layouts.take_mixtures`),
  or the sum of the stems;
- MUSDB18-HQ: `mixture.wav`, `vocals.wav`, `drums.wav`, `bass.wav`, `other.wav`, which is the same
  without `song.json`;
- MoisesDB: `data.json` and a folder a stem.

Songs that `separate data` cached or rendered (`<stem>.npy`) are read too. Songs lie in the folder
itself or in one folder a split (`train`, `valid`, `test`).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from separate.audio import read_audio
from separate.errors import DataError
from separate.evals.data.layouts import (
    Files,
    check_mixture,
    moises_parents,
    stem_files,
    take_mixtures,
)
from separate.queries.vocabulary import STEMS, label_of

ACCOMPANIMENT = "accompaniment"  # everything but the vocals
_CACHED_RATE = 44_100  # Hz, of `separate data`


@dataclass(frozen=True)
class Song:
    """A song in memory; all arrays are float32 `(channels, time)` of one shape."""

    name: str
    sample_rate: int  # Hz
    mixture: np.ndarray
    references: dict[str, np.ndarray]  # by parent stem

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return self.mixture.shape[-1] / self.sample_rate

    def with_accompaniment(self) -> "Song":
        """Return the song with a further reference: the sum of all but the vocals."""
        rest = [audio for stem, audio in self.references.items() if stem != "vocals"]
        if not rest or "vocals" not in self.references or ACCOMPANIMENT in self.references:
            return self
        return replace(self, references={**self.references, ACCOMPANIMENT: sum_parts(rest)})

    def middle(self, seconds: float) -> "Song":
        """Return an excerpt from the middle."""
        length = min(self.mixture.shape[1], round(seconds * self.sample_rate))
        return self._cut((self.mixture.shape[1] - length) // 2, length)

    def loudest(self, stem: str, seconds: float) -> "Song":
        """Return the excerpt in which a stem has the most energy."""
        length = min(self.mixture.shape[1], round(seconds * self.sample_rate))
        power = np.square(self.references[stem]).sum(axis=0, dtype=np.float64)
        energy = np.concatenate([[0.0], np.cumsum(power)])
        return self._cut(int(np.argmax(energy[length:] - energy[:-length])), length)

    def _cut(self, start: int, length: int) -> "Song":
        cut = slice(start, start + length)
        references = {stem: audio[:, cut] for stem, audio in self.references.items()}
        return replace(self, mixture=self.mixture[:, cut], references=references)


class SongReader(Protocol):
    """A song on disk, not read yet."""

    @property
    def name(self) -> str:
        """Title, unique within its split."""

    @property
    def split(self) -> str:
        """Split; empty if there is none."""

    def load(self) -> Song:
        """Read it.

        Raises:
            SeparateError: The song is damaged.
        """


@dataclass(frozen=True)
class SongFolder:
    """One song: a folder of stems."""

    folder: Path
    split: str = ""
    fine: bool = False  # references by label ("lead vocals") instead of by parent stem

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name

    def load(self) -> Song:
        """Read and sum the stems by parent, or by label.

        A label that is a parent's name holds all of that parent: "drums" beside "kick".

        Raises:
            DataError: `song.json` is malformed or names a stem without a file, or the files differ
                in sample rate.
            InputError: An audio file is damaged.
        """
        files, mixture_file = self._files()
        parents = self._parents(files)
        grouped: dict[str, list[np.ndarray]] = {}
        rates: dict[int, Path] = {}
        for label, parent in parents.items():
            read = [_read(path) for path in files[label]]
            rates.update({rate: path for path, (_, rate) in zip(files[label], read, strict=True)})
            grouped.setdefault(parent, []).extend(audio for audio, _ in read)
            if self.fine and label != parent:
                grouped[label.replace("_", " ")] = [audio for audio, _ in read]
        if mixture_file is not None:
            mixture, rate = _read(mixture_file)
            rates[rate] = mixture_file
        if len(rates) != 1:
            found = ", ".join(f"{path.name} {rate} Hz" for rate, path in sorted(rates.items()))
            raise DataError(f"{self.folder}: its files differ in sample rate ({found})")
        wanted = self._labels(parents) if self.fine else set(parents.values())
        whole = [part for parent in set(parents.values()) for part in grouped[parent]]
        stems = {name: sum_parts(parts) for name, parts in grouped.items() if name in wanted}
        order = sorted(stems, key=lambda stem: (STEMS.index(stem) if stem in STEMS else 9, stem))
        total = sum_parts(whole)
        given = mixture if mixture_file is not None else total
        *aligned, mixture, total = align([*(stems[stem] for stem in order), given, total])
        if mixture_file is not None:
            check_mixture(mixture_file, mixture, total)
        return Song(self.name, next(iter(rates)), mixture, dict(zip(order, aligned, strict=False)))

    def labels(self) -> list[str]:
        """Return the labels of its finest stems, without reading audio.

        Raises:
            DataError: `song.json` is malformed, or names a stem without a file.
        """
        return sorted(self._labels(self._parents(self._files()[0])))

    def _files(self) -> tuple[Files, Path | None]:
        """Return the files of each stem, and the mixture's if there is one."""
        files = stem_files(self.folder)
        mixtures = take_mixtures(files)
        return files, mixtures[0] if mixtures else None

    @staticmethod
    def _labels(parents: Mapping[str, str]) -> set[str]:
        """Return the labels that can be queried; the parent `rest` holds unnamed sources."""
        return {label.replace("_", " ") for label, parent in parents.items() if parent != "rest"}

    def _parents(self, files: Files) -> Mapping[str, str]:
        """Map each stem label to its parent."""
        if moises := moises_parents(self.folder, files):
            return moises
        path = self.folder / "song.json"
        if not path.is_file():
            if not files:
                raise DataError(f"{self.folder}: holds no stems, only a mixture")
            return {label: _parent_by_name(label) for label in files}
        try:
            data: Any = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DataError(f"{path}: not readable JSON ({error})") from error
        stems = data.get("stems", data) if isinstance(data, dict) else None
        if (
            not isinstance(stems, dict)
            or not stems
            or not all(isinstance(parent, str) for parent in stems.values())
        ):
            raise DataError(f'{path}: must hold {{"stems": {{"label": "parent", ...}}}}')
        missing = sorted(set(stems) - set(files))
        if missing:
            raise DataError(f"{self.folder}: has no audio file for the stem {missing[0]!r}")
        return stems


def find_songs(path: Path, split: str | None = None) -> list[SongFolder]:
    """List the songs of a folder without reading them.

    Args:
        path: A folder of songs, of splits, or one song.
        split: Name of a split; None for all.

    Returns:
        Songs sorted by split and name.

    Raises:
        DataError: The folder, the split, or a song is missing.
    """
    path = Path(path)
    if not path.is_dir():
        raise DataError(f"{path}: no such folder; give a folder with one folder a song")
    if split is None and stem_files(path):
        return [SongFolder(path, path.parent.name)]
    songs = []
    for folder in _folders(path):
        if stem_files(folder):
            songs.append(SongFolder(folder, path.name))
        else:
            songs += [SongFolder(sub, folder.name) for sub in _folders(folder) if stem_files(sub)]
    if split is not None:
        splits = sorted({song.split for song in songs})
        songs = [song for song in songs if song.split == split]
        if not songs:
            raise DataError(f"{path}: no split {split!r}; there is {', '.join(splits) or 'none'}")
    if not songs:
        raise DataError(f"{path}: holds no folder with audio files; give one folder a song")
    return songs


def _read(path: Path) -> tuple[np.ndarray, int]:
    """Read a sound file or a cached array, float32 `(channels, time)`, and its rate."""
    if path.suffix != ".npy":
        return read_audio(path)
    try:
        array = np.load(path)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path}: damaged; cache the song again") from error
    return np.ascontiguousarray(array.T, dtype=np.float32) / 32768, _CACHED_RATE


def align(arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Bring `(channels, time)` arrays to one shape: mono is repeated, the end padded with zeros.

    An array that already has the shape is returned itself.

    Raises:
        DataError: The numbers of channels do not fit, such as stereo and 5.1.
    """
    length = max(array.shape[1] for array in arrays)
    channels = max(array.shape[0] for array in arrays)
    result = []
    for array in arrays:
        if array.shape[0] not in (1, channels):
            raise DataError(f"{array.shape[0]} and {channels} channels can't be summed; fix one")
        if array.shape[1] < length:
            array = np.pad(array, ((0, 0), (0, length - array.shape[1])))
        result.append(array if len(array) == channels else np.repeat(array, channels, axis=0))
    return result


def sum_parts(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Sum `(channels, time)` arrays in double precision; return float32."""
    first, *rest = align(parts)
    if not rest:
        return first.astype(np.float32, copy=False)
    total = first.astype(np.float64)
    for part in rest:
        total += part
    return total.astype(np.float32)


def _parent_by_name(label: str) -> str:
    """Return the parent stem of a label; "other" for an unknown label."""
    if label in STEMS:
        return label
    try:
        return label_of(label).stem or "other"
    except KeyError:
        return "other"


def _folders(path: Path) -> list[Path]:
    return sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))
