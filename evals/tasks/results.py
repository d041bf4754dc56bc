"""Results on disk: one JSON file for each evaluation, and one for each song for `--resume`.

Every result has the method, the mask rule, the metric, and the scores of each song. Songs that the
model was trained on are marked and left out of the means.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from separate.errors import DataError, OutputError
from separate.evals.metrics.sdr import bootstrap
from separate.files import replacing

SongScores = dict[str, Any]  # song, split, seconds, seen, stems: {stem: {metric: dB}}
_NUMBER_LISTS = re.compile(r"\[[\s\d.,e+nul-]+\]")  # lists of numbers, written on one line
SUMMARY_METRICS = ("sdr", "sdr_improvement", "usdr", "si_sdr")


def plain(value: Any) -> Any:
    """Convert numbers to JSON's: NaN and infinity become null, floats are rounded to 4 places."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [plain(item) for item in value]
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (float, np.floating)):
        return round(float(value), 4) if math.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value


def write_json(path: Path, data: Any, *, allow_nan: bool = False) -> None:
    """Write JSON under a temporary name, then rename.

    Args:
        path: The file.
        data: Numbers of any kind in any nesting.
        allow_nan: Write NaN, which museval's files have, although JSON has no NaN.

    Raises:
        OutputError: The folder cannot be written.
    """
    try:
        text = json.dumps(data if allow_nan else plain(data), indent=1, ensure_ascii=False)
        text = _NUMBER_LISTS.sub(lambda match: re.sub(r"\s+", " ", match.group()), text) + "\n"
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror})") from error


def read_json(path: Path) -> dict[str, Any]:
    """Read a result.

    Raises:
        DataError: The file is missing, or is not a result.
    """
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not a readable result ({error})") from error
    if not isinstance(data, dict) or "kind" not in data:
        raise DataError(f"{path}: not a result of `separate eval` or `separate bench`")
    return data


def summarise(
    songs: Sequence[SongScores], stems: Sequence[str], metrics: Sequence[str] = SUMMARY_METRICS
) -> dict[str, Any]:
    """Average over the songs that the model was not trained on.

    Returns:
        By stem and metric: mean, 95 % bootstrap interval over songs, median, number of songs.
        "mean" is the mean over stems, with the interval over each song's mean. "seen" holds the
        same for the songs that the model was trained on, if any.
    """
    unseen = [song for song in songs if not song.get("seen")]
    summary = _summary(unseen, stems, metrics)
    seen = [song for song in songs if song.get("seen")]
    if seen:
        summary["seen"] = _summary(seen, stems, metrics)
    return summary


def _summary(
    songs: Sequence[SongScores], stems: Sequence[str], metrics: Sequence[str]
) -> dict[str, Any]:
    table: dict[str, Any] = {}
    for stem in stems:
        table[stem] = {m: asdict(bootstrap(_column(songs, stem, m))) for m in metrics}
    parts = [stem for stem in stems if stem != "accompaniment"]  # it is the sum of the others
    counted = parts if len(parts) > 1 else stems
    table["mean"] = {m: _mean_of_stems(songs, counted, m, table) for m in metrics}
    return table


def _mean_of_stems(
    songs: Sequence[SongScores], stems: Sequence[str], metric: str, table: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the mean of the stems' means; songs without all stems are not in the interval."""
    columns = np.array([_column(songs, stem, metric) for stem in stems]).reshape(len(stems), -1)
    whole = asdict(bootstrap([float(value) for value in columns.mean(axis=0)]))
    means = {key: [table[stem][metric][key] for stem in stems] for key in ("mean", "median")}
    return {**whole, **{key: float(np.mean(values)) for key, values in means.items()}}


def _column(songs: Sequence[SongScores], stem: str, metric: str) -> list[float]:
    values = [song["stems"].get(stem, {}).get(metric) for song in songs]
    return [math.nan if value is None else float(value) for value in values]


def is_seen(song: str, dataset: str, split: str, trained_on: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether a card's `trained_on` covers a song.

    An entry with a list of songs covers these songs in every data set, since data sets share songs
    (MusicDelta songs are in MedleyDB and in MUSDB18). An entry without a list covers all of its
    data set and split. An empty list covers nothing: rendered songs have no names.
    """
    for entry in trained_on:
        songs = entry.get("songs")
        if isinstance(songs, (list, tuple)):
            if _key(song) in {_key(str(name)) for name in songs}:
                return True
        elif _key(str(entry.get("dataset", ""))) == _key(dataset) and (
            entry.get("split") in (None, "", split)
        ):
            return True
    return False


def _key(name: str) -> str:
    """Return a title without case, spaces and punctuation, to compare spellings."""
    return re.sub(r"[\W_]+", "", name.lower())


def compare(result: Mapping[str, Any], baseline: Mapping[str, Any], stem: str) -> dict[str, Any]:
    """Compare two results on the songs that both scored and that no model was trained on.

    Returns:
        Each song's difference in SDR (positive: `result` is better), and the mean with its
        interval.
    """
    before = {s["song"]: s for s in baseline["songs"] if not s.get("seen")}
    differences = {}
    for song in result["songs"]:
        other = before.get(song["song"])
        if other is None or song.get("seen"):
            continue
        pair = [_column([s], stem, "sdr")[0] for s in (song, other)]
        if not any(map(math.isnan, pair)):
            differences[song["song"]] = pair[0] - pair[1]
    return {**asdict(bootstrap(list(differences.values()))), "songs": differences}
