"""MUSDB18 and MUSDB18-HQ: tracks of a folder, scored by museval's protocol.

The data set's folder holds `train` and `test`, each with `.stem.mp4` files or folders of wav files.
The scores are each track's frames of SDR, SIR, SAR and ISR, also in museval's own JSON, and the
median over tracks of the medians over frames, with the mean beside it.

As in museval, the four stems are scored together, then vocals and accompaniment as a scenario of
their own; the vocals' scores are those of the second scenario.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from separate.errors import DataError
from separate.evals.data.songs import ACCOMPANIMENT, STEMS, Song, SongReader, find_songs
from separate.evals.metrics import bss_eval
from separate.evals.metrics.sdr import FRAME_SECONDS, median_of_frames
from separate.evals.tasks.evaluation import Evaluation, read_and_separate
from separate.evals.tasks.methods import Estimates
from separate.evals.tasks.results import SongScores, summarise
from separate.evals.tasks.stems import score_stem

SUBSETS = ("train", "test")
_ENDING = ".stem.mp4"
_STREAMS = ("mixture", "drums", "bass", "other", "vocals")  # the order inside a stem file


@dataclass(frozen=True)
class StemFile:
    """One track: a Native Instruments stem file of five streams, read by musdb."""

    path: Path
    split: str = ""

    @property
    def name(self) -> str:
        """The title, as musdb spells it."""
        return self.path.name.removesuffix(_ENDING)

    def load(self) -> Song:
        """Read its streams one by one.

        Raises:
            DataError: ffmpeg is missing, or the file is damaged.
        """
        bss_eval.require_ffmpeg("musdb")
        import musdb

        try:
            track = musdb.MultiTrack(
                path=str(self.path), name=self.name, subset=self.split or None, stem_id=0
            )
            audio = {
                name: np.ascontiguousarray(track.load_audio(track.path, index).T, np.float32)
                for index, name in enumerate(_STREAMS)
            }
        except Exception as error:  # stempeg and ffmpeg-python raise many kinds
            raise DataError(f"{self.path}: not a readable stem file ({_last(error)})") from error
        if len({array.shape for array in audio.values()}) != 1:
            raise DataError(f"{self.path}: its streams differ in length or channels")
        references = {stem: audio[stem] for stem in STEMS}
        return Song(self.name, int(track.rate), audio["mixture"], references)


def _last(error: BaseException) -> str:
    """Return the last line of an error's message."""
    lines = str(error).strip().splitlines()
    return lines[-1] if lines else type(error).__name__


def find_tracks(
    path: Path,
    subsets: Sequence[str] = SUBSETS,
    split: str | None = None,
    names: Sequence[str] = (),
) -> list[SongReader]:
    """List tracks without reading them.

    Args:
        path: The data set's folder, or the folder of a subset.
        subsets: "train", "test" or both.
        split: "train" or "valid": musdb's division of the training subset.
        names: Names of tracks; empty for all.

    Returns:
        Tracks sorted by subset and name.

    Raises:
        DataError: No track is found, or a name has no track.
    """
    path = Path(path)
    if not path.is_dir():
        raise DataError(f"{path}: no such folder; give the folder of MUSDB18 or MUSDB18-HQ")
    found: list[SongReader] = []
    for subset in subsets:
        folder = path / subset if (path / subset).is_dir() else path
        if folder == path and path.name != subset:
            continue
        files = sorted(file for file in folder.glob(f"*{_ENDING}") if file.is_file())
        found += [StemFile(file, subset) for file in files] or _folders(folder)
    if split is not None:
        held_out = set(validation_tracks())
        found = [
            t for t in found if t.split == "train" and (t.name in held_out) == (split == "valid")
        ]
    if not found:
        raise DataError(f"{path}: holds no tracks in {' or '.join(subsets)}; expected"
                        f" TRACK{_ENDING} files or TRACK/vocals.wav folders there")  # fmt: skip
    missing = sorted(set(names) - {track.name for track in found})
    if missing:
        raise DataError(f"{path}: has no track {missing[0]!r}")
    return [track for track in found if not names or track.name in names]


def _folders(folder: Path) -> list[SongReader]:
    """Return the tracks of the HQ layout."""
    try:
        return list(find_songs(folder))
    except DataError:
        return []


def validation_tracks() -> list[str]:
    """Return the tracks that musdb holds out of the training subset."""
    import importlib.util

    import yaml

    spec = importlib.util.find_spec("musdb")  # found without importing it, which needs ffmpeg
    if spec is None or spec.origin is None:
        raise DataError("--split needs musdb: pip install musdb")
    setup = yaml.safe_load((Path(spec.origin).parent / "configs" / "mus.yaml").read_text())
    return list(setup["validation_tracks"])


@dataclass(frozen=True)
class MusdbEval(Evaluation):
    """SDR, SIR, SAR and ISR of tracks, by museval's protocol."""

    engine: str = "blocks"  # see `bss_eval.evaluate`

    kind = "musdb"

    @property
    def metric(self) -> str:
        """The metric in words."""
        how = {
            "blocks": "BSS Eval v4, as museval computes it",
            "museval": "BSS Eval v4 by museval",
            "fast": "SDR of BSS Eval v4, without its filters",
        }[self.engine]
        return (
            f"{how}: {FRAME_SECONDS:g} s frames, a frame with a silent source left out;"
            " median over a track's frames, median over tracks (mean beside it)"
        )

    def fingerprint(self) -> dict[str, Any]:
        """Return all that a track's scores depend on."""
        return {**super().fingerprint(), "engine": self.engine}

    def score(self, reader: SongReader) -> SongScores:
        """Score each set of stems that the protocol scores together.

        Returns:
            As `StemsEval.score`, with frames and medians of SDR, SIR, SAR and ISR; "silent" names
            references that are silent from end to end, "nan_frames" counts frames left out.
        """
        song, estimates, head = read_and_separate(reader, self)
        frames: dict[str, Mapping[str, np.ndarray]] = {}
        silent: list[str] = []
        nan_frames = 0
        for stems in scenarios(song, estimates):
            references = {stem: song.references[stem] for stem in stems}
            scores = bss_eval.evaluate(references, estimates, song.sample_rate, self.engine)
            frames.update(scores.frames)
            silent += [stem for stem in scores.silent if stem not in silent]
            nan_frames = max(nan_frames, scores.nan_frames)
        entries: dict[str, Any] = {}
        for stem, values in frames.items():
            entry = score_stem(song, stem, estimates[stem], self.sounding_dbfs)
            entry.pop("sdr_frames")
            entry.update({metric: median_of_frames(row) for metric, row in values.items()})
            entries[stem] = {**entry, "bss_frames": values}
        return {
            **head,
            "missing": [stem for stem in self.stems if stem not in estimates],
            "silent": silent,
            "nan_frames": nan_frames,
            "stems": entries,
        }

    def outcome(self, songs: Sequence[SongScores]) -> dict[str, Any]:
        """Average over tracks.

        Raises:
            DataError: No set of stems could be scored.
        """
        stems = list(dict.fromkeys(stem for track in songs for stem in track["stems"]))
        if not stems:
            raise DataError(
                f"museval's protocol needs the vocals or two of {', '.join(STEMS)} that sound;"
                f" asked for {', '.join(self.stems)}: see --stems"
            )
        metrics = (*bss_eval.METRICS, "usdr", "si_sdr", "usdr_improvement")
        return {
            "engine": self.engine,
            "stems": stems,
            "summary": summarise(songs, stems, metrics),
            "silent": {track["song"]: track["silent"] for track in songs if track["silent"]},
            "nan_frames": sum(track["nan_frames"] for track in songs),
        }

    def further_files(self, songs: Sequence[SongScores]) -> dict[Path, Any]:
        """Return museval's JSON, `museval/<subset>/<track>.json`, for its `EvalStore`."""
        return {
            Path("museval", t["split"] or "test", f"{t['song']}.json"): museval_scores(t["stems"])
            for t in songs
        }


def scenarios(song: Song, estimates: Estimates) -> list[list[str]]:
    """Return the sets of stems that museval scores together; a later set overrides."""
    together = [stem for stem in STEMS if stem in song.references and stem in estimates]
    both = all(s in song.references and s in estimates for s in ("vocals", ACCOMPANIMENT))
    sets = [together] if len(together) > 1 else []
    return [*sets, ["vocals", ACCOMPANIMENT]] if both else sets


def museval_scores(stems: Mapping[str, Any]) -> dict[str, Any]:
    """Return a track's scores in museval's format: `musdb.schema.json`, five places, NaN."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        number = version("museval")
    except PackageNotFoundError:
        number = ""
    targets = []
    for stem, entry in stems.items():
        rows = {m: entry["bss_frames"].get(m) for m in bss_eval.METRICS}
        count = len(rows["SDR"])
        frames = [
            {
                "time": index * FRAME_SECONDS,
                "duration": FRAME_SECONDS,
                "metrics": {m: _place(row, index) for m, row in rows.items()},
            }
            for index in range(count)
        ]
        targets.append({"name": stem, "frames": frames})
    return {"targets": targets, "museval_version": number}


def _place(row: Sequence[float | None] | None, index: int) -> float:
    value = None if row is None else row[index]
    return float("nan") if value is None else round(float(value), 5)
