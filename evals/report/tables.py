"""The tables of results, and their places: terminal, README, cards.

A Markdown file has markers for tables, so that no number in it is written by hand:

    <!-- table:stems -->
    ...
    <!-- /table -->
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from separate.errors import DataError, OutputError
from separate.evals.report.lyrics import lyrics_songs_table, lyrics_table
from separate.evals.report.published_scores import PUBLISHED
from separate.evals.report.queries import (
    classes_table,
    clips_table,
    queries_table,
    understanding_table,
)
from separate.evals.report.songs import (
    labels_table,
    mir1k_table,
    musdb_table,
    published_musdb_table,
    songs_table,
    stems_table,
    thresholds_table,
)
from separate.evals.report.speed import memory_table, speed_table, start_table
from separate.evals.report.table import Result, Table, only
from separate.evals.report.weak import weak_curves, weak_table

_MARKERS = re.compile(r"(<!-- table:([\w-]+) -->\n).*?(<!-- /table -->)", re.DOTALL)


def published_table(results: Sequence[Result]) -> Table:
    """Scores that others publish, each with metric and source; they can't be compared to ours."""
    rows = tuple((entry.system, entry.scores, entry.metric, entry.source) for entry in PUBLISHED)
    note = "As published by others, not measured here; metrics differ, so columns don't compare."
    return Table(
        "Published by others", ("system", "score (dB)", "metric, set", "source"), rows, note
    )


TABLES: dict[str, Callable[[Sequence[Result]], Table]] = {
    "stems": stems_table,
    "labels": labels_table,
    "stems-songs": lambda results: songs_table(only(results, "stems")),
    "musdb": published_musdb_table,
    "mir1k": mir1k_table,
    "clips": clips_table,
    "clips-classes": classes_table,
    "queries": queries_table,
    "understanding": understanding_table,
    "weak": weak_table,
    "thresholds": thresholds_table,
    "lyrics": lyrics_table,
    "lyrics-songs": lambda results: lyrics_songs_table(only(results, "lyrics")),
    "bench": speed_table,
    "bench-start": start_table,
    "bench-memory": memory_table,
    "published": published_table,
    "peers": published_table,  # the marker of Markdown files that were written before
}
PRINTED = {**TABLES, "musdb": musdb_table}  # printing allows excerpts, unlike publishing

_SHOWN: dict[str, tuple[Callable[[Sequence[Result]], Table], ...]] = {
    "bench": (speed_table, start_table, memory_table),
    "stems": (lambda results: songs_table(only(results, "stems")), stems_table),
    "labels": (labels_table,),
    "musdb": (lambda results: songs_table(only(results, "musdb"), "SDR"), musdb_table),
    "mir1k": (mir1k_table,),
    "clips": (classes_table, clips_table),
    "queries": (understanding_table, queries_table),
    "weak": (weak_table, weak_curves),
    "thresholds": (thresholds_table,),
    "lyrics": (lambda results: lyrics_songs_table(only(results, "lyrics")), lyrics_table),
}

_HEADLINE = {  # the metric and average that a card has of each kind of result
    "stems": ("sdr", "mean"),
    "labels": ("sdr_improvement", "mean"),
    "musdb": ("SDR", "median"),
    "mir1k": ("gnsdr", "mean"),
    "clips": ("sdr_improvement", "mean"),
    "queries": ("synonym_cost", "mean"),
}


def tables_of(result: Result) -> list[Table]:
    """Return the tables of a result, for the terminal.

    Raises:
        DataError: The kind of the result is unknown.
    """
    if result["kind"] not in _SHOWN:
        raise DataError(f"unknown kind of result {result['kind']!r}; update the program")
    tables = [make([result]) for make in _SHOWN[result["kind"]]]
    return [table for table in tables if table.rows]


def write_tables(path: Path, results: Sequence[Result]) -> list[str]:
    """Fill the markers of a Markdown file for which there are results; keep the others.

    Returns:
        The names of the tables that are written.

    Raises:
        DataError: The file has no markers, or a marker names an unknown table.
        OutputError: It cannot be written.
    """
    text = _read(path)
    kinds = {result["kind"] for result in results}
    written: list[str] = []

    def fill(match: re.Match[str]) -> str:
        name = match.group(2)
        if name not in TABLES:
            raise DataError(f"{path}: unknown table {name!r}; there is {', '.join(TABLES)}")
        if TABLES[name] is not published_table and name.split("-")[0] not in kinds:
            return match.group(0)
        written.append(name)
        return f"{match.group(1)}{TABLES[name](results).markdown()}{match.group(3)}"

    filled, markers = _MARKERS.subn(fill, text)
    if not markers:
        raise DataError(
            f"{path}: has no markers for tables; add <!-- table:stems --> <!-- /table -->"
        )
    if filled != text:
        try:
            path.write_text(filled, encoding="utf-8")
        except OSError as error:
            raise OutputError(f"{path}: cannot be written ({error.strerror})") from error
    return written


def card_scores(results: Sequence[Result], sha256: str) -> dict[str, Any]:
    """Return the scores for a model's card: the summaries of all results with its weights.

    Raises:
        DataError: No result has these weights.
    """
    scores: dict[str, Any] = {}
    for result in results:
        if result.get("method", {}).get("sha256") != sha256:
            continue
        if result["kind"] not in _HEADLINE:
            continue
        if result["kind"] == "musdb":
            published_musdb_table([result])
        place = (result["kind"], result["dataset"], result["split"])
        name = " ".join(dict.fromkeys(filter(None, place)))
        name += f" by {result['by']}" if "by" in result else ""
        metric, average = _HEADLINE[result["kind"]]
        found = {
            stem: (entry[metric][average], entry[metric].get("songs"))
            for stem, entry in result["summary"].items()
            if stem != "seen" and entry[metric][average] is not None
        }
        found |= {
            label: (entry[metric], entry["mixtures"])
            for label, entry in result.get("classes", {}).items()
        }
        scores[name] = {
            metric.lower(): {label: value for label, (value, _) in found.items()},
            "count": {label: count for label, (_, count) in found.items()},
            "metric": result["metric"],
            "mask_rule": result["mask_rule"],
        }
        if result["kind"] == "labels":
            scores[name]["label_sdr"] = {
                label: result["summary"][label]["sdr"][average] for label in found
            }
    if not scores:
        raise DataError("none of the results has this card's weights; evaluate them anew")
    return scores


def _read(path: Path) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as text ({error})") from error
