"""One self-contained HTML page that shows what was heard wrongly; comes in: a result.

Reference and hypothesis stand in one text, errors coloured: missing words, words that were not
sung, wrong upper and lower case, line breaks. Nothing is loaded from elsewhere.
"""

import html
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from separate.errors import OutputError
from separate.evals.metrics.wer import errors_html
from separate.evals.report.lyrics import lyrics_songs_table, lyrics_table
from separate.evals.report.table import Table

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --paper: #fff; --soft: #d8dde5;
  --gone: #a61b1b; --gone-fill: #fbdcdc; --new: #14602e; --new-fill: #d3f0dc; --case: #7a4a00;
  --case-fill: #fbeccb }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaf0; --paper: #14181e; --soft: #39424f;
  --gone: #ff9d9d; --gone-fill: #4a1d1d; --new: #8fe3ab; --new-fill: #173a24; --case: #f0c674;
  --case-fill: #40320f } }
body { font: 16px/1.6 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
.wide { overflow-x: auto }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .85rem }
th, td { padding: .3rem .6rem; border-bottom: 1px solid var(--soft); text-align: right }
th:first-child, td:first-child { text-align: left }
p.note { font-size: .85rem; opacity: .8 }
details { border: 1px solid var(--soft); border-radius: .5rem; margin: .6rem 0;
  padding: .4rem .9rem }
summary { cursor: pointer }
.lyrics { line-height: 1.9 }
.token { padding: 0 .12em; border-radius: .2em }
.ref { color: var(--gone); background: var(--gone-fill); text-decoration: line-through }
.hyp { color: var(--new); background: var(--new-fill) }
.ref-case { color: var(--case); background: var(--case-fill); text-decoration: line-through }
.hyp-case { color: var(--case); background: var(--case-fill) }
.hit.token-line_break, .hit.token-section_break { opacity: .25 }
.token-line_break, .token-section_break { font-size: .7em }
"""
_LEGEND = (
    '<p><span class="token hit">right</span> '
    '<span class="token ref">sung, but missing</span> '
    '<span class="token hyp">written, but not sung</span> '
    '<span class="token ref-case">Case</span> <span class="token hyp-case">case</span> '
    "&lt;L&gt; line break, &lt;S&gt; section break</p>"
)


def write_lyrics_page(folder: Path, result: Mapping[str, Any]) -> Path:
    """Write `<folder>/index.html`.

    Args:
        folder: Made if it is not there.
        result: Of kind "lyrics".

    Raises:
        OutputError: It cannot be written.
    """
    path = Path(folder) / "index.html"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(lyrics_page(result), encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror})") from error
    return path


def lyrics_page(result: Mapping[str, Any]) -> str:
    """Return the page as text."""
    title = html.escape(f"Lyrics of {result['dataset']}: Whisper {result['whisper']}")
    parts = [f"<h1>{title}</h1>", _table(lyrics_table([result]))]
    parts += [_table(lyrics_songs_table(result)), "<h2>Word by word</h2>", _LEGEND]
    for song in result["songs"]:
        parts.append(f"<h3>{html.escape(song['song'])}</h3>")
        for way, entry in song["ways"].items():
            for name, text in entry["texts"].items():
                parts.append(_diff(song, f"{way}, {name}", text, entry["scores"][name]))
    body = "\n".join(parts)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{_STYLE}</style></head>\n<body>\n{body}\n</body></html>\n"
    )


def _diff(song: Mapping[str, Any], label: str, text: str, scores: Mapping[str, Any]) -> str:
    view = errors_html(song["reference"], text, song["language"])
    counts = ", ".join(
        f"{scores[key]} {key}" for key in ("substitutions", "deletions", "insertions")
    )
    return (
        f"<details><summary>{html.escape(label)}: WER {100 * scores['WER']:.1f} % ({counts})"
        f'</summary><p class="lyrics">{view}</p></details>'
    )


def _table(table: Table) -> str:
    head = "".join(f"<th>{html.escape(name)}</th>" for name in table.header)
    rows = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>"
        for row in table.rows
    )
    note = f'<p class="note">{html.escape(table.note)}</p>' if table.note else ""
    return (
        f'<h2>{html.escape(table.title)}</h2><div class="wide"><table><thead><tr>{head}</tr>'
        f"</thead><tbody>{rows}</tbody></table></div>{note}"
    )
