"""Training audio: folders of cached songs and clips -> memory-mapped stems with labels.

`separate data cache` and `separate data render` write the folders. The samples of `CorpusSong` and
`Clip` are int16 and stay on disk until a window of them is read.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from separate.errors import DataError
from separate.queries.vocabulary import STEMS
from separate.train.data.recordings import Mixture, load_mixtures

LICENCE_CLASSES = ("free", "sharealike", "nc", "research")


@dataclass(frozen=True)
class CorpusSong:
    """A song whose stems sum to its mixture."""

    name: str
    stems: dict[str, np.ndarray]  # label -> int16 (samples, 2), memory-mapped
    parents: dict[str, str]  # label -> vocals, drums, bass, other, or rest (no query names it)
    licence_class: str
    samples: int
    rendered: bool = False  # every sound in it is labelled finely
    sources: tuple[str, ...] = ()  # what it was made of, with authors, for the credits


@dataclass(frozen=True)
class Clip:
    """A stretch of a label's recording."""

    audio: np.ndarray  # int16 (samples, 2)
    name: str = ""


@dataclass(frozen=True)
class Corpus:
    """What a training run mixes."""

    songs: tuple[CorpusSong, ...]
    clips: dict[str, tuple[Clip, ...]] = field(default_factory=dict)  # by label
    clip_licences: dict[str, tuple[str, str]] = field(default_factory=dict)  # class, words
    skipped: tuple[str, ...] = ()  # what was damaged, a line each: folder and reason
    barred: tuple[str, ...] = ()  # songs, and labels of clips, of other licences than allowed
    mixtures: tuple[Mixture, ...] = ()  # recordings without stems

    @property
    def hours(self) -> float:
        """Hours of songs (at 44.1 kHz), clips not counted."""
        return sum(song.samples for song in self.songs) / 44100 / 3600


def load_corpus(
    folders: Sequence[Path],
    licences: Iterable[str] = ("free", "sharealike"),
    exclude: Iterable[str] = (),
) -> Corpus:
    """Map every song, clip and recording below some folders that the licences allow.

    What is damaged is left out and named in the corpus: one bad song among thousands ends no run.

    Args:
        folders: Folders of cached songs (`song.json` + `<label>.npy`), clips (`clips.json`), or
            recordings without stems (`mixture.json`).
        licences: Licence classes to use.
        exclude: Names of songs to leave out, the development songs for instance.

    Raises:
        DataError: Nothing usable was found, a recording is damaged, or a licence class is
            unknown; the message names what was found.
    """
    allowed, excluded = set(licences), set(exclude)
    if unknown := allowed - set(LICENCE_CLASSES):
        raise DataError(
            f"unknown licence class {min(unknown)!r}; take {', '.join(LICENCE_CLASSES)}"
        )
    songs: list[CorpusSong] = []
    clips: dict[str, tuple[Clip, ...]] = {}
    clip_licences: dict[str, tuple[str, str]] = {}
    skipped: list[str] = []
    barred: list[str] = []
    for folder in folders:
        if not Path(folder).is_dir():
            raise DataError(f"{folder}: no such folder; run `separate data` first")
        for description in sorted(Path(folder).rglob("song.json")):
            if description.parent.name in excluded:
                continue
            try:
                song = load_song(description.parent)
            except DataError as error:
                skipped.append(str(error))
                continue
            if song.licence_class in allowed:
                songs.append(song)
            else:
                barred.append(song.name)
        for index in sorted(Path(folder).rglob("clips.json")):
            try:
                found, others = load_clips(index, allowed)
            except DataError as error:
                skipped.append(str(error))
                continue
            barred += [label for label in others if label not in barred]
            for label, (licence, items) in found.items():
                clips[label] = clips.get(label, ()) + items
                clip_licences[label] = licence
    mixtures = load_mixtures(folders, allowed)
    if not songs and not clips and not mixtures:
        raise DataError(_nothing_in(folders, sorted(allowed), skipped))
    return Corpus(tuple(songs), clips, clip_licences, tuple(skipped), tuple(barred), mixtures)


def _nothing_in(folders: Sequence[Path], licences: Sequence[str], skipped: Sequence[str]) -> str:
    """Return the error message for folders without usable audio."""
    if skipped:
        return f"nothing to train on; {len(skipped)} damaged, the first: {skipped[0]}"
    where = ", ".join(map(str, folders))
    found = [path for folder in folders for path in Path(folder).rglob("*") if path.is_file()]
    if not found:
        return f"{where}: empty; give a folder that `separate data cache` wrote"
    if not any(path.name in ("song.json", "clips.json") for path in found):
        return (
            f"{where}: no labels (song.json or clips.json) beside the files; run"
            " `separate data cache FOLDER --out CACHE` and give CACHE"
        )
    return f"{where}: no songs or clips of licence {', '.join(licences)}; see --licences"


def load_song(folder: Path) -> CorpusSong:
    """Map one cached song.

    Raises:
        DataError: Its description or a stem is missing or damaged, or stems differ in length.
    """
    try:
        info = json.loads((folder / "song.json").read_text())
        parents = dict(info["stems"])
        stems = {label: np.load(folder / f"{label}.npy", mmap_mode="r") for label in parents}
    except (OSError, KeyError, ValueError) as error:
        raise DataError(f"{folder}: damaged song ({error}); cache it again") from error
    lengths = {len(stem) for stem in stems.values()}
    if len(lengths) != 1:
        raise DataError(f"{folder}: stems of different lengths; cache it again")
    return CorpusSong(
        name=folder.name,
        stems=stems,
        parents=parents,
        licence_class=info.get("licence_class", "research"),
        samples=lengths.pop(),
        rendered=bool(info.get("rendered", False)),
        sources=tuple(part.strip() for part in str(info.get("source", "")).split(";")),
    )


def load_clips(
    index: Path, licences: set[str]
) -> tuple[dict[str, tuple[tuple[str, str], tuple[Clip, ...]]], list[str]]:
    """Map the clips that an index describes: label -> ((licence class, its words), clips).

    The second value names the labels of other licence classes, whose files are not touched.

    The index maps each label to `{"licence_class": ..., "file": "<label>.npy", "clips":
    [{"name", "start", "stop"}, ...]}` in samples.
    """
    found: dict[str, tuple[tuple[str, str], tuple[Clip, ...]]] = {}
    others: list[str] = []
    try:
        for label, entry in json.loads(index.read_text()).items():
            if entry["licence_class"] not in licences:
                others.append(label)
                continue
            audio = np.load(index.parent / entry["file"], mmap_mode="r")
            clips = (
                Clip(audio[item["start"] : item["stop"]], item["name"]) for item in entry["clips"]
            )
            licence = (entry["licence_class"], str(entry.get("license", "")))
            found[label] = (licence, tuple(clips))
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise DataError(f"{index}: damaged clips ({error}); cache them again") from error
    return found, others


def cached_folder(
    folder: Path,
    cache: Path,
    log: Callable[[str], None] = print,
    only: Sequence[str] = (),
) -> Path:
    """Return a folder that training can read: itself, or what is decoded from it now.

    Args:
        folder: Cached audio, or songs with stems or clips by label as audio files.
        cache: Where decoded audio goes; existing files are kept.
        log: Takes a line of what was skipped.
        only: Patterns of the names of songs to decode; none takes those for training.

    Raises:
        DataError: There is no such folder, or nothing usable in it.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    if any(folder.rglob("*.npy")):
        if only:
            raise DataError(f"{folder}: was decoded before; choose songs when it is decoded")
        return folder
    from separate.corpus.sources.convert import convert, training_part

    part, patterns = training_part(folder)
    report = convert(part, cache, only=only or patterns, credit=folder.name)
    for line in report.skipped:
        log(f"skipped: {line}")
    return cache


def families(songs: Sequence[CorpusSong]) -> tuple[str, ...]:
    """Return what a mixture of several songs is made of: their stems, or voices and backings."""
    present = {parent for song in songs for parent in song.parents.values()}
    return STEMS if present & set(STEMS[1:]) else ("vocals", "rest")


def song_weights(songs: Sequence[CorpusSong], real: float) -> np.ndarray:
    """Return the probability of each song, proportional to its length and number of families.

    The probabilities of real songs sum to `real`, where there are rendered songs too.
    """
    known = [len({p for p in song.parents.values() if p in STEMS}) for song in songs]
    weights = np.array([song.samples for song in songs], dtype=float) * np.array(known, dtype=float)
    rendered = np.array([song.rendered for song in songs], dtype=bool)
    for group, share in ((rendered, 1 - real), (~rendered, real)):
        if group.any():
            weights[group] *= share / weights[group].sum()
    return weights / weights.sum() if len(weights) else weights
