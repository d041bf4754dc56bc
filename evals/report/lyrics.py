"""Scores of lyrics into tables: totals of each way, and each song by itself."""

from collections.abc import Mapping, Sequence
from typing import Any

from separate.evals.report.table import NONE, Result, Table, method_name, number

_SUFFIX = {"plain": "", "guarded": ", guards"}


def lyrics_table(results: Sequence[Result]) -> Table:
    """One row a model, way and guards: pooled over unseen songs.

    In Whisper's own windows on the mixture stands plain Whisper; the others are held against it.
    """
    results = [result for result in results if result["kind"] == "lyrics"]
    header = (
        "Whisper: way", "WER %", "less than plain %", "MER %", "WIL %", "hits", "subst.", "del.",
        "ins.", "case %", "line F1", "punct. F1", "invented %", "times real time",
    )  # fmt: skip
    rows = [
        (f"{result['whisper']}: {way}{_SUFFIX[name]}", *_cells(entry))
        for result in results
        for way, both in result["summary"].items()
        for name, entry in both.items()
    ]
    return Table("Lyrics", header, tuple(rows), _note(results))


def _cells(entry: Mapping[str, Any]) -> tuple[str, ...]:
    interval = entry["wer_interval"]
    wer = _percent(entry["WER"])
    if interval is not None:
        wer += f" ({_percent(interval[0])} to {_percent(interval[1])})"
    factor = entry["real_time_factor"]
    return (
        wer,
        _reduction(entry["reduction"]),
        _percent(entry["MER"]),
        _percent(entry["WIL"]),
        *(str(entry[key]) for key in ("hits", "substitutions", "deletions", "insertions")),
        _percent(entry["ER_case"]),
        number(entry["F1_line"], 2),
        number(entry["F1_punc"], 2),
        _percent(entry["hallucinated_words"] / max(1, entry["words"])),
        number(1 / factor if factor else None, 1),
    )


def _reduction(entry: Mapping[str, Any] | None) -> str:
    if entry is None or entry["mean"] is None:
        return NONE
    text = _percent(entry["mean"])
    if entry["low"] is not None:
        text += f" ({_percent(entry['low'])} to {_percent(entry['high'])})"
    return text


def _percent(value: float | None) -> str:
    return number(None if value is None else 100 * value, 1)


def _note(results: Sequence[Result]) -> str:
    songs = sorted({song["song"] for result in results for song in result["songs"]})
    places = sorted({" ".join(filter(None, (r["dataset"], r["split"]))) for r in results})
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
    """One row a song, one column a way and guards: WER; failed ones last."""
    columns = [(way, name) for way in result["ways"] for name in _SUFFIX]
    rows = []
    for song in result["songs"]:
        mark = " (seen in training)" if song.get("seen") else ""
        cells = [
            _percent(song["ways"][way]["scores"][name]["WER"]) if way in song["ways"] else NONE
            for way, name in columns
        ]
        rows.append((song["song"] + mark, *cells))
    rows += [(f"{f['song']}: {f['error']}", *[NONE] * len(columns)) for f in result["failed"]]
    header = ("song", *(way + _SUFFIX[name] for way, name in columns))
    return Table(f"WER % of each song, Whisper {result['whisper']}", header, tuple(rows))
