"""Tables of lyrics: totals of each route, and each song."""

from collections.abc import Mapping, Sequence
from typing import Any

from separate.evals.report.table import (
    NONE,
    Result,
    Table,
    interval,
    method_name,
    number,
    place,
)

_SUFFIX = {"plain": "", "guarded": ", guards"}


def lyrics_table(results: Sequence[Result]) -> Table:
    """One row a model, route and guards: pooled over unseen songs.

    The baseline is plain Whisper: the mixture in Whisper's own windows.
    """
    results = [result for result in results if result["kind"] == "lyrics"]
    header = (
        "Whisper: route", "WER %", "less than plain %", "MER %", "WIL %", "hits", "subst.", "del.",
        "ins.", "case %", "line F1", "punct. F1", "invented %", "times real time",
    )  # fmt: skip
    rows = [
        (f"{result['whisper']}: {route}{_SUFFIX[name]}", *_cells(entry))
        for result in results
        for route, both in result["summary"].items()
        for name, entry in both.items()
    ]
    return Table("Lyrics", header, tuple(rows), _note(results))


def _cells(entry: Mapping[str, Any]) -> tuple[str, ...]:
    low, high = entry["wer_interval"] or (None, None)
    factor = entry["real_time_factor"]
    return (
        interval({"mean": entry["WER"], "low": low, "high": high}, scale=100),
        interval(entry["reduction"], scale=100),
        *(_percent(entry[key]) for key in ("MER", "WIL")),
        *(str(entry[key]) for key in ("hits", "substitutions", "deletions", "insertions")),
        _percent(entry["ER_case"]),
        *(number(entry[key], 2) for key in ("F1_line", "F1_punc")),
        _percent(entry["hallucinated_words"] / max(1, entry["words"])),
        number(1 / factor if factor else None, 1),
    )


def _percent(value: float | None) -> str:
    return number(None if value is None else 100 * value, 1)


def _note(results: Sequence[Result]) -> str:
    songs = sorted({song["song"] for result in results for song in result["songs"]})
    places = sorted(set(map(place, results)))
    separators = sorted({method_name(result) for result in results})
    seen = sum(bool(song.get("seen")) for result in results for song in result["songs"])
    note = (
        f"{', '.join(places)}, {len(songs)} song(s), separated by {', '.join(separators)}."
        " Scores of alt-eval, pooled over songs; 95 % bootstrap intervals over songs. Whisper's"
        " windows: as Whisper works by itself, conditioned on its text before and falling back to"
        " higher temperatures; on the mixture that is plain Whisper. Invented:"
        " words in runs of more than ten inserted ones, as a part of the reference's words. Times"
        " real time includes separation where it is needed."
    )
    if seen:
        note += f" {seen} song(s) that the separator was trained on are left out."
    return note


def lyrics_songs_table(result: Result) -> Table:
    """One row a song, one column a route and guards: WER; failed songs last."""
    columns = [(route, name) for route in result["ways"] for name in _SUFFIX]
    rows = []
    for song in result["songs"]:
        mark = " (seen in training)" if song.get("seen") else ""
        cells = [
            _percent(song["ways"][route]["scores"][name]["WER"]) if route in song["ways"] else NONE
            for route, name in columns
        ]
        rows.append((song["song"] + mark, *cells))
    rows += [(f"{f['song']}: {f['error']}", *[NONE] * len(columns)) for f in result["failed"]]
    header = ("song", *(route + _SUFFIX[name] for route, name in columns))
    return Table(f"WER % of each song, Whisper {result['whisper']}", header, tuple(rows))
