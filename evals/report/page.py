"""One self-contained HTML page of results; comes in: results and examples; goes out: a file.

Everything stands inside it (style, charts, pictures, sound), so that it works without a network.
"""

import html
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from separate.errors import OutputError
from separate.evals.report.charts import box_plots, scatter
from separate.evals.report.examples import Example
from separate.evals.report.pictures import audio_uri, spectrogram_png
from separate.evals.report.table import Table, method_name
from separate.evals.report.tables import tables_of

_MAIN_METRIC = {"stems": "sdr", "musdb": "SDR", "mir1k": "nsdr", "clips": "sdr_improvement"}
_TITLES = {"nsdr": "NSDR", "sdr_improvement": "SDR improvement"}
_EXAMPLES_NOTE = (
    '<p class="note">Where the reference is loudest. Spectrograms: 40 Hz at the bottom to half the'
    " sample rate at the top, logarithmic; 80 dB from dark to light.</p>"
)
_LONG = 30  # rows; a longer table is folded
_STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --paper: #fff; --soft: #d8dde5; --mark: #2b6cb0;
  --fill: #2b6cb033; --seen: #a15c00 }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaf0; --paper: #14181e; --soft: #39424f;
  --mark: #7db4ea; --fill: #7db4ea33; --seen: #e0a458 } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 66rem; margin: 2rem auto; padding: 0 1rem }
.wide { overflow-x: auto }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem }
th, td { padding: .3rem .6rem; border-bottom: 1px solid var(--soft); text-align: right }
th, td + td { white-space: nowrap }
th:first-child, td:first-child { text-align: left; min-width: 11rem }
summary { cursor: pointer }
tr.seen td { color: var(--seen) }
p.note { font-size: .85rem; opacity: .8 }
svg { width: 100%; min-width: 36rem; height: auto; display: block }
svg text { font-size: 12px; fill: var(--ink) }
.grid { stroke: var(--soft) } .whisker, .median { stroke: var(--mark); stroke-width: 2 }
.box { fill: var(--fill); stroke: var(--mark) } .dot { fill: var(--ink); opacity: .45 }
.point { fill: var(--mark) }
figure { margin: 0; flex: 1 1 16rem } figure img { width: 100%; height: 10rem;
  image-rendering: auto } figure audio { width: 100% }
.row { display: flex; flex-wrap: wrap; gap: 1rem }
"""


def write_page(
    folder: Path, results: Sequence[Mapping[str, Any]], examples: Sequence[Example]
) -> Path:
    """Write `<folder>/index.html`.

    Args:
        folder: Made if it is not there.
        results: Of any kinds, as written to result.json.
        examples: To see and hear.

    Returns:
        The page.

    Raises:
        OutputError: It cannot be written.
    """
    path = Path(folder) / "index.html"
    text = page(results, examples)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror})") from error
    return path


def page(results: Sequence[Mapping[str, Any]], examples: Sequence[Example]) -> str:
    """Return the page as text."""
    parts = ["<h1>Separation scores</h1>", _speed(results)]
    for result in results:
        parts.append(f"<h2>{html.escape(_heading(result))}</h2>")
        parts += [_table(table) for table in tables_of(result)]
        parts.append(_boxes(result))
        if result.get("failed"):
            lines = "".join(
                f"<li>{html.escape(f['song'])}: {html.escape(f['error'])}</li>"
                for f in result["failed"]
            )
            parts.append(f"<h3>Failed</h3><ul>{lines}</ul>")
    if examples:
        parts.append(f"<h2>Best and worst</h2>{_EXAMPLES_NOTE}")
        parts += [_example(example) for example in examples]
    body = "\n".join(filter(None, parts))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Separation scores</title><style>{_STYLE}</style></head>\n<body>\n{body}\n"
        "</body></html>\n"
    )


def _heading(result: Mapping[str, Any]) -> str:
    if result["kind"] == "bench":
        return f"Benchmark on {result['machine']['cpu']}"
    place = " ".join(filter(None, (result["dataset"], result["split"])))
    return f"{place}: {method_name(result)}"


def _table(table: Table) -> str:
    head = "".join(f"<th>{html.escape(name)}</th>" for name in table.header)
    rows = []
    for row in table.rows:
        kind = ' class="seen"' if "(seen in training)" in row[0] else ""
        cells = "".join(f"<td>{html.escape(cell)}</td>" for cell in row)
        rows.append(f"<tr{kind}>{cells}</tr>")
    note = f'<p class="note">{html.escape(table.note)}</p>' if table.note else ""
    body = _wide(f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>")
    if len(rows) > _LONG:
        body = f"<details><summary>{len(rows)} rows</summary>{body}</details>"
    return f"<h3>{html.escape(table.title)}</h3>{body}{note}"


def _boxes(result: Mapping[str, Any]) -> str:
    """A box a stem, or a class of clips; seen songs stay out as they stay out of means."""
    metric = _MAIN_METRIC.get(result["kind"])
    if metric is None:
        return ""
    groups: dict[str, list[float]] = {stem: [] for stem in result["stems"]}
    for song in result["songs"]:
        if song.get("seen"):
            continue
        for stem, entry in song["stems"].items():
            value = entry.get(metric)
            if value is not None:
                groups.setdefault(song.get("label", stem), []).append(value)
    # Many classes: a chart of at most twelve boxes stays readable.
    names = [name for name, values in groups.items() if values]
    charts = [
        box_plots({name: groups[name] for name in names[i : i + 12]})
        for i in range(0, len(names), 12)
    ]
    title = _TITLES.get(metric, "SDR")
    return f"<h3>{title} of each song by stem</h3>{_wide(*charts)}" if charts else ""


def _speed(results: Sequence[Mapping[str, Any]]) -> str:
    """SDR against speed, a point a method: its mean over stems, or the voice's GNSDR."""
    points = []
    for result in results:
        metric = _MAIN_METRIC.get(result["kind"])
        songs = [s for s in result.get("songs", ()) if s.get("separation_seconds")]
        if metric is None or not songs or result["method"]["kind"] != "model":
            continue
        speed = sum(s["seconds"] for s in songs) / sum(s["separation_seconds"] for s in songs)
        summary = result["summary"]
        place, average = ("mean", "median" if result["kind"] == "musdb" else "mean")
        if result["kind"] == "mir1k":
            place, metric = "vocals", "gnsdr"
        value = summary[place][metric][average]
        score = math.nan if value is None else value
        points.append((method_name(result), speed, score))
    chart = scatter(points, "times real time, on the machine that scored", "dB")
    return f"<h2>Quality against speed</h2>{_wide(chart)}" if chart else ""


def _wide(*parts: str) -> str:
    """What scrolls by itself on a narrow screen."""
    return f'<div class="wide">{"".join(parts)}</div>'


def _example(example: Example) -> str:
    arrays = {
        "mixture": example.mixture,
        "reference": example.reference,
        "estimate": example.estimate,
    }
    figures = "".join(
        f'<figure><figcaption>{name}</figcaption><img alt="spectrogram of the {name}"'
        f' src="{spectrogram_png(audio, example.sample_rate)}">'
        f'<audio controls preload="none" src="{audio_uri(audio, example.sample_rate)}"></audio>'
        "</figure>"
        for name, audio in arrays.items()
    )
    return f'<h3>{html.escape(example.title)}</h3><div class="row">{figures}</div>'
