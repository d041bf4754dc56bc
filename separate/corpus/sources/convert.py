"""Folders of songs or clips in the usual layouts -> the cache of `store`.

Song layouts: stems with a `song.json` (`stems`, `license`); MUSDB18-HQ (`vocals.wav`, `drums.wav`,
`bass.wav`, `other.wav`); Frets on Fire (`guitar.ogg` and `song.ogg`, which is all the rest); a
folder of stems named by our labels; MIR-1K (`vocals/` and `accompaniment/`, the same file name in
both is a song); iKala (`Wavfile/`, the backing left and the voice right). Clips: one folder a
label, licences in `labels.json`.
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

import numpy as np

from separate.corpus.sources.store import (
    SAMPLE_RATE,
    SongInfo,
    read_stereo,
    write_clips,
    write_song,
)
from separate.errors import DataError

_AUDIO = {".wav", ".flac", ".ogg", ".mp3", ".aiff", ".opus"}
_PAIR = ("vocals", "accompaniment")
TRAIN_SINGERS = ("abjones", "amy")  # of MIR-1K's published split
IKALA = "Wavfile"
IKALA_CHANNELS = {"rest": 0, "vocals": 1}
_DSD_TRAIN = Path("Sources", "Dev")
_MUSDB = ("vocals", "drums", "bass", "other")
_LENGTH_TOLERANCE = SAMPLE_RATE  # encoders pad by some samples; more is another recording
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class SongFiles:
    """A song that was found, not yet decoded."""

    name: str
    files: dict[str, Path]  # label -> audio file
    parents: dict[str, str]
    license: str
    channels: dict[str, int] = field(default_factory=dict)  # label -> the one it is; else stereo


@dataclass
class ConvertReport:
    """What a conversion did."""

    written: int = 0
    skipped: list[str] = field(default_factory=list)  # one line each, file and reason
    unlicensed: int = 0  # songs and labels of clips whose licence nobody named


def convert(
    source: Path,
    out: Path,
    license: str = "",
    part: str = "all",
    only: Sequence[str] = (),
    credit: str = "",
    on_progress: Progress | None = None,
) -> ConvertReport:
    """Decode every song, or every clip, below a folder into the cache.

    What cannot be used is skipped and named in the report.

    Args:
        source: A folder of songs or of clips.
        out: The folder to write to; songs already there are kept.
        license: The licence's name where the folder itself names none.
        part: Of clips: `all`, `train`, or `holdout` (files whose number is divisible by 10).
        only: Patterns such as `amy_*` of the songs' names; none takes all.
        credit: Whose songs they are, for the cards of models; else the folder's name.
        on_progress: Called with (done, total).

    Raises:
        DataError: Nothing usable lies below `source`.
    """
    songs = list(find_songs(source, license))
    if songs and only:
        songs = [song for song in songs if any(fnmatch(song.name, pattern) for pattern in only)]
        if not songs:
            raise DataError(f"{source}: no song is called {' or '.join(only)}")
    if songs:
        return _convert_songs(songs, out, credit or source.name, on_progress)
    labels = find_clips(source, license)
    if not labels:
        raise DataError(f"{source}: no songs with stems and no clips found; see `--help`")
    return _convert_clips(labels, out, part, on_progress)


def find_songs(source: Path, license: str = "") -> Iterator[SongFiles]:
    """Yield the songs at or below a folder, in the order of their names."""
    if not source.is_dir():
        raise DataError(f"{source}: no such folder")
    if all((source / part).is_dir() for part in _PAIR):
        yield from _pairs_in(source, license)
        return
    if (source / IKALA).is_dir():
        parents = {"vocals": "vocals", "rest": "rest"}
        for path in sorted((source / IKALA).glob("*.wav")):
            files = dict.fromkeys(parents, path)
            yield SongFiles(path.stem, files, parents, license, IKALA_CHANNELS)
        return
    for folder in sorted({source, *(path for path in source.rglob("*") if path.is_dir())}):
        if song := _song_in(folder, license):
            yield song


def training_part(source: Path) -> tuple[Path, tuple[str, ...]]:
    """Return where the songs for training lie, and patterns of their names; none: all.

    MIR-1K's published split names two singers; DSD100 has a folder of its own. All else is taken
    whole.
    """
    if (source / _DSD_TRAIN).is_dir():
        return source / _DSD_TRAIN, ()
    patterns = tuple(f"{singer}_*" for singer in TRAIN_SINGERS)
    is_mir1k = all(any((source / _PAIR[0]).glob(pattern)) for pattern in patterns)
    return source, patterns if is_mir1k else ()


def _pairs_in(source: Path, license: str) -> Iterator[SongFiles]:
    """Yield MIR-1K's clips: voice and backing of one name."""
    voices, backings = ({path.stem: path for path in (source / p).iterdir()} for p in _PAIR)
    for name in sorted(set(voices) & set(backings)):
        files = {"vocals": voices[name], "rest": backings[name]}
        if all(path.suffix in _AUDIO for path in files.values()):
            yield SongFiles(name, files, {"vocals": "vocals", "rest": "rest"}, license)


def _song_in(folder: Path, license: str) -> SongFiles | None:
    files = {path.stem: path for path in sorted(folder.iterdir()) if path.suffix in _AUDIO}
    if (folder / "song.json").exists() and files:
        info = json.loads((folder / "song.json").read_text())
        parents = {label: info["stems"][label] for label in files if label in info["stems"]}
        missing = sorted(set(info["stems"]) - set(files))
        if missing:
            parents = dict(info["stems"])  # reading names the missing file
        chosen = {label: files.get(label, folder / f"{label}.ogg") for label in parents}
        return SongFiles(folder.name, chosen, parents, info.get("license") or license)
    if set(_MUSDB) <= set(files):
        return SongFiles(
            folder.name, {s: files[s] for s in _MUSDB}, {s: s for s in _MUSDB}, license
        )
    if {"guitar", "song"} <= set(files) and (folder / "song.ini").exists():
        chosen = {"distorted_guitar": files["guitar"], "rest": files["song"]}
        parents = {"distorted_guitar": "other", "rest": "rest"}
        if "rhythm" in files:
            chosen["bass"], parents["bass"] = files["rhythm"], "bass"
        return SongFiles(folder.name, chosen, parents, license)
    return None


def find_clips(source: Path, license: str = "") -> dict[str, tuple[list[Path], str]]:
    """Return the clips of each sub-folder (a label) and their licence."""
    index = source / "labels.json"
    licences = json.loads(index.read_text()) if index.exists() else {}
    found = {}
    for folder in sorted(path for path in source.iterdir() if path.is_dir()):
        files = sorted(path for path in folder.iterdir() if path.suffix in _AUDIO)
        if files:
            stated = licences.get(folder.name, {}).get("license") or license
            found[folder.name] = (files, stated)
    return found


def is_holdout(path: Path) -> bool:
    """Say whether a clip is held out: its number is divisible by 10."""
    digits = re.findall(r"\d+", path.stem)
    return bool(digits) and int(digits[-1]) % 10 == 0


def _convert_songs(
    songs: list[SongFiles], out: Path, source: str, on_progress: Progress | None
) -> ConvertReport:
    report = ConvertReport()
    for done, song in enumerate(songs):
        if not (out / song.name / "song.json").exists():
            try:
                stems = _aligned({label: _read(song, label) for label in song.files})
            except DataError as error:
                report.skipped.append(str(error))
                continue
            write_song(out / song.name, stems, song.parents, SongInfo(song.license, source))
        report.written += 1
        report.unlicensed += not song.license
        if on_progress:
            on_progress(done + 1, len(songs))
    return report


def _read(song: SongFiles, label: str) -> np.ndarray:
    """Read a stem, `(2, samples)`; where it is one channel of a file, that one on both sides."""
    stereo = read_stereo(song.files[label])
    return stereo if label not in song.channels else stereo[[song.channels[label]] * 2]


def _aligned(stems: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    lengths = {label: stem.shape[1] for label, stem in stems.items()}
    longest = max(lengths.values())
    for label, length in lengths.items():
        if longest - length > _LENGTH_TOLERANCE:
            seconds = (longest - length) / SAMPLE_RATE
            raise DataError(f"stem {label!r} is {seconds:.1f} s shorter than the others; align it")
    return {
        label: np.pad(stem, ((0, 0), (0, longest - stem.shape[1]))) for label, stem in stems.items()
    }


def _convert_clips(
    labels: dict[str, tuple[list[Path], str]], out: Path, part: str, on_progress: Progress | None
) -> ConvertReport:
    report = ConvertReport()
    for done, (label, (files, license)) in enumerate(labels.items()):
        chosen = [
            file for file in files if part == "all" or is_holdout(file) == (part == "holdout")
        ]
        report.written += write_clips(out, label, _decoded(chosen, report), license)
        report.unlicensed += not license
        if on_progress:
            on_progress(done + 1, len(labels))
    return report


def _decoded(files: list[Path], report: ConvertReport) -> Iterator[tuple[str, np.ndarray]]:
    for file in files:
        try:
            audio = read_stereo(file)
        except DataError as error:
            report.skipped.append(str(error))
            continue
        yield file.stem, audio
