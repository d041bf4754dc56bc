"""The cache: songs and clips as 16-bit arrays that are mapped into memory.

A song is a folder: `<label>.npy`, int16 `(samples, 2)` at 44.1 kHz, one for each stem, all of one
length, and `song.json` with `stems` (label -> vocals, drums, bass, other, or rest), `license`,
`licence_class`, `source`, `seconds`. The mixture is the sum of the stems. The parent `rest` marks a
stem that holds several sources unlabelled: it is good for the mixture alone.

Clips are a folder: `<label>.npy`, all clips of a label end to end, and `clips.json`, label ->
`licence_class`, `license`, `file`, `clips` (`name`, `start`, `stop` in samples).
"""

import json
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr

from separate.corpus.sources.licences import licence_class
from separate.errors import DataError, OutputError
from separate.files import replace_folder

SAMPLE_RATE = 44100
PARENTS = ("vocals", "drums", "bass", "other", "rest")


@dataclass(frozen=True)
class SongInfo:
    """What `song.json` says beside the stems."""

    license: str
    source: str  # where the song comes from, for the notices
    licence_class: str = ""  # empty: that of the licence
    rendered: bool = False  # every sound in it is labelled finely
    notes: Mapping[str, Any] | None = None  # tempo, genre, instruments used ...


def read_stereo(path: Path) -> np.ndarray:
    """Return a file's audio, float32 `(2, samples)` at 44.1 kHz; mono goes to both channels.

    Raises:
        DataError: The file cannot be decoded, or holds samples that are no numbers.
    """
    try:
        audio, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError) as error:
        raise DataError(f"{path}: cannot be decoded ({error})") from error
    if not len(audio) or not np.isfinite(audio).all():
        raise DataError(f"{path}: empty, or samples that are no numbers")
    audio = audio[:, :2] if audio.shape[1] > 1 else np.repeat(audio, 2, axis=1)
    if rate != SAMPLE_RATE:
        audio = soxr.resample(audio, rate, SAMPLE_RATE)
    return np.ascontiguousarray(audio.T, dtype=np.float32)


def write_song(
    folder: Path,
    stems: Mapping[str, np.ndarray],
    parents: Mapping[str, str],
    info: SongInfo,
) -> Path:
    """Write one song, all or nothing; one gain keeps every stem and their sum below full scale.

    Args:
        folder: The song's folder; a song that is there is replaced.
        stems: float32 `(2, samples)` by label, all of one length.
        parents: The parent stem by label.
        info: Licence and source.

    Raises:
        ValueError: Shapes or parents don't fit.
        OutputError: The disk is full or not writable, or the folder is not a song of ours.
    """
    shapes = {stem.shape for stem in stems.values()}
    if len(shapes) != 1 or len(shape := shapes.pop()) != 2 or shape[0] != 2:
        raise ValueError(f"{folder.name}: stems must be (2, samples) and of one length")
    if bad := [label for label in stems if parents.get(label) not in PARENTS]:
        raise ValueError(f"{folder.name}: no parent stem for {bad}")
    mixture = np.sum(list(stems.values()), axis=0)
    peak = max(float(np.abs(audio).max()) for audio in (*stems.values(), mixture))
    gain = min(1.0, 0.99 / max(peak, 1e-9))
    document = {
        "stems": {label: parents[label] for label in stems},
        "license": info.license,
        "licence_class": info.licence_class or licence_class(info.license),
        "source": info.source,
        "seconds": round(shape[1] / SAMPLE_RATE, 3),
        "rendered": info.rendered,
        **(dict(info.notes) if info.notes else {}),
    }
    temporary = folder.parent / f".{folder.name}.tmp"
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        for label, stem in stems.items():
            np.save(temporary / f"{label}.npy", to_int16(stem * gain))
        (temporary / "song.part").write_text(json.dumps(document, indent=1) + "\n")
        replace_folder(temporary, folder, ("song.json", "song.part"))
        (folder / "song.part").rename(folder / "song.json")  # readers look for this name
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written ({error}); free some space") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def write_clips(
    folder: Path, label: str, clips: Iterable[tuple[str, np.ndarray]], license: str
) -> int:
    """Write all clips of one label and enter them in the folder's `clips.json`.

    Args:
        folder: The folder of clips; made where absent.
        label: What is heard in them.
        clips: Names and audio, float32 `(2, samples)`; peaks above full scale are scaled down.
        license: The licence's name.

    Returns:
        The number of clips written.
    """
    entries: list[dict[str, Any]] = []
    parts: list[np.ndarray] = []
    position = 0
    for name, audio in clips:
        peak = float(np.abs(audio).max())
        parts.append(to_int16(audio * min(1.0, 0.99 / max(peak, 1e-9))))
        entries.append({"name": name, "start": position, "stop": position + audio.shape[1]})
        position += audio.shape[1]
    if not entries:
        return 0
    try:
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / f"{label}.npy", np.concatenate(parts))
        index = folder / "clips.json"
        document = json.loads(index.read_text()) if index.exists() else {}
        document[label] = {
            "licence_class": licence_class(license),
            "license": license,
            "file": f"{label}.npy",
            "clips": entries,
        }
        index.write_text(json.dumps(document, indent=1) + "\n")
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written ({error}); free some space") from error
    return len(entries)


def to_int16(audio: np.ndarray) -> np.ndarray:
    """Return float audio `(2, samples)` as int16 `(samples, 2)`, clamped to full scale."""
    scaled = np.rint(np.clip(audio, -1.0, 1.0) * 32767.0)
    return np.ascontiguousarray(scaled.T.astype(np.int16))
