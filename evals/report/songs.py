"""Tables of songs: any stems, fine labels, MUSDB18, MIR-1K, and each song.

Songs that a model was trained on are marked and left out of means.
"""

from collections.abc import Sequence
from typing import Any

from separate.errors import DataError
from separate.evals.report.table import (
    NONE,
    Result,
    Table,
    interval,
    method_name,
    number,
    of_kind,
    place,
    seen_note,
)

_MIR1K = ("nsdr", "sdr", "sir", "sar")


def stems_table(results: Sequence[Result], metric: str = "sdr") -> Table:
    """One row a method, one column a stem: means over unseen songs with their intervals.

    Raises:
        DataError: The results differ in data set or metric.
    """
    results = of_kind(results, "stems", "dataset", "split", "metric")
    stems = list(dict.fromkeys(stem for result in results for stem in result["stems"]))
    header = ("method", *stems, "mean", "songs", "mask rule")
    rows = []
    for result in results:
        summary = result["summary"]
        cells = [interval(summary[s][metric]) if s in summary else NONE for s in stems]
        mean = interval(summary["mean"][metric]) if set(stems) <= set(summary) else NONE
        count = sum(not song.get("seen") for song in result["songs"])
        rule = result["mask_rule"].split(":")[0]
        rows.append((method_name(result), *cells, mean, str(count), rule))
    first = results[0]
    note = f"{first['metric']}. dB, with 95 % bootstrap intervals over songs."
    return Table(f"Stems of {place(first)}", header, tuple(rows), note + seen_note(results, "song"))


def labels_table(results: Sequence[Result]) -> Table:
    """One row a fine label, the best first: songs, SDR of the mixture, SDR, improvement.

    Raises:
        DataError: The results differ in data set or metric.
    """
    results = of_kind(results, "labels", "dataset", "split", "metric")
    rows = []
    for result in results:
        entries = {label: result["summary"][label] for label in result["stems"]}
        found = {label: entry for label, entry in entries.items() if entry["sdr"]["songs"]}
        for label in sorted(found, key=lambda name: -found[name]["sdr_improvement"]["mean"]):
            gain, sdr = found[label]["sdr_improvement"], found[label]["sdr"]
            cells = (number(sdr["mean"] - gain["mean"]), number(sdr["mean"]), interval(gain))
            rows.append((method_name(result), label, str(sdr["songs"]), *cells))
    first = results[0]
    header = ("method", "label", "songs", "mixture", "SDR", "SDRi")
    note = f"{first['metric']}; each label is one query. Silence has an SDR of 0 dB."
    note += " dB, with 95 % bootstrap intervals over songs."
    return Table(
        f"Fine labels of {place(first)}", header, tuple(rows), note + seen_note(results, "song")
    )


def songs_table(result: Result, metric: str = "sdr") -> Table:
    """One row a song, seen ones marked; failed ones last."""
    stems = result["stems"]
    rows = []
    for song in result["songs"]:
        mark = " (seen in training)" if song.get("seen") else ""
        values = [number(song["stems"].get(stem, {}).get(metric), 2) for stem in stems]
        rows.append((song["song"] + mark, *values))
    rows += [(f"{f['song']}: {f['error']}", *[NONE] * len(stems)) for f in result["failed"]]
    return Table(f"{method_name(result)}, each song", ("song", *stems), tuple(rows))


def musdb_table(results: Sequence[Result]) -> Table:
    """One row a method and stem: median over tracks of museval's four metrics, mean SDR beside.

    Raises:
        DataError: The results differ in metric.
    """
    results = of_kind(results, "musdb", "dataset", "split", "metric")
    rows = []
    for result in results:
        summary = result["summary"]
        for stem in [*result["stems"], "mean"]:
            entry = summary.get(stem, {})
            cells = [_median(entry.get(metric)) for metric in ("SDR", "SIR", "ISR", "SAR")]
            means = [interval(entry.get(metric), 2) for metric in ("SDR", "usdr")]
            count = str(entry.get("SDR", {}).get("songs", 0))
            rows.append((f"{method_name(result)}: {stem}", *cells, *means, count))
    first = results[0]
    header = ("method: stem", "SDR", "SIR", "ISR", "SAR", "mean SDR", "mean global SDR", "tracks")
    note = (
        f"{place(first)}. {first['metric']}. Global SDR: whole track, no filters."
        f" Mask rule: {'; '.join(dict.fromkeys(r['mask_rule'] for r in results))}."
        f" {_left_out(results)}"
    )
    return Table("MUSDB18", header, tuple(rows), note.strip())


def published_musdb_table(results: Sequence[Result]) -> Table:
    """The same table for README and cards, which have whole test tracks only.

    Raises:
        DataError: A track is in the train subset, or is an excerpt.
    """
    for result in results:
        for song in result["songs"] if result["kind"] == "musdb" else ():
            if song["split"] != "test" or song["seconds"] < 60:
                raise DataError(
                    f"{song['song']}: MUSDB18 scores are published of whole tracks of the test"
                    " subset alone; print this table without --into"
                )
    return musdb_table(results)


def _median(entry: Any) -> str:
    return number(entry["median"], 2) if entry else NONE


def _left_out(results: Sequence[Result]) -> str:
    """Return a note on tracks, frames and stems that are left out."""
    parts = [seen_note(results, "track").strip()]
    for result in results:
        if result["nan_frames"]:
            parts.append(
                f"{method_name(result)}: {result['nan_frames']} frame(s) with a silent source left"
                " out (museval's rule)."
            )
        for song, stems in result["silent"].items():
            parts.append(f"{song}: {', '.join(stems)} silent throughout, not scored.")
    return " ".join(filter(None, parts))


def mir1k_table(results: Sequence[Result]) -> Table:
    """One row a method and source: GNSDR, GSIR, GSAR.

    Raises:
        DataError: The results differ in split.
    """
    results = of_kind(results, "mir1k", "dataset", "split", "metric")
    rows = []
    for result in results:
        for source in result["stems"]:
            entry = result["summary"][source]
            cells = [number(entry[f"g{m}"]["mean"], 2) for m in ("nsdr", "sir", "sar", "sdr")]
            count = str(entry["gnsdr"]["songs"])
            rows.append((f"{method_name(result)}: {source}", *cells, count))
    first = results[0]
    header = ("method: source", "GNSDR", "GSIR", "GSAR", "GSDR", "clips")
    note = f"{place(first)}. {first['metric']}.{seen_note(results, 'clip')}"
    return Table("MIR-1K", header, tuple(rows), note)


def thresholds_table(results: Sequence[Result]) -> Table:
    """One row a threshold."""
    header = ("model", "threshold", *(f"G{metric.upper()}" for metric in _MIR1K), "silent")
    rows = [
        (
            result["model"],
            number(row["threshold"], 2),
            *(number(row[f"g{metric}"], 2) for metric in _MIR1K),
            str(row["silent"]),
        )
        for result in results
        for row in result["rows"]
    ]
    clips = ", ".join(str(result["clips"]) for result in results)
    note = (
        f"Voice, {clips} clips; BSS Eval v3, means weighted by length, without clips of which"
        " nothing is left (silent). dB."
    )
    return Table("Thresholds", header, tuple(rows), note)
