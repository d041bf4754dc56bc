"""One HTML page of results, with style, charts, pictures and sound inside: it needs no network."""

import importlib.util
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from separate.errors import OutputError
from separate.evals.report.charts import box_plots, have_matplotlib, scatter
from separate.evals.report.examples import Example
from separate.evals.report.table import Result, Table, method_name, place
from separate.evals.report.tables import tables_of

_MAIN_METRIC = {"stems": "sdr", "musdb": "SDR", "mir1k": "nsdr", "clips": "sdr_improvement"}
_TITLES = {"nsdr": "NSDR", "sdr_improvement": "SDR improvement"}
_MOST_BOXES = 12  # a chart; more are not readable


@dataclass(frozen=True)
class TextView:
    """One transcription with its errors marked."""

    label: str
    text: str  # HTML


@dataclass(frozen=True)
class Section:
    """One result, as the template shows it."""

    heading: str
    tables: list[Table]
    metric: str  # of the charts
    charts: list[str]  # SVG
    failed: Sequence[Mapping[str, str]]  # song, error
    texts: dict[str, list[TextView]]  # by song


def write_page(folder: Path, results: Sequence[Result], examples: Sequence[Example]) -> Path:
    """Write `<folder>/index.html`.

    Args:
        folder: It is created if it is missing.
        results: Results of any kinds, as written to result.json.
        examples: Excerpts with spectrograms and sound.

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


def page(results: Sequence[Result], examples: Sequence[Example]) -> str:
    """Return the page as text."""
    from jinja2 import Environment

    template = Path(__file__).with_name("page.html").read_text(encoding="utf-8")
    return (
        Environment(autoescape=True)
        .from_string(template)
        .render(
            title="Separation scores",
            no_charts=not have_matplotlib(),
            speed=_speed(results),
            sections=[_section(result) for result in results],
            examples=examples,
        )
    )


def _section(result: Result) -> Section:
    return Section(
        _heading(result),
        tables_of(result),
        _TITLES.get(_MAIN_METRIC.get(result["kind"], ""), "SDR"),
        list(_boxes(result)),
        result.get("failed", ()),
        _texts(result) if result["kind"] == "lyrics" else {},
    )


def _heading(result: Result) -> str:
    if result["kind"] == "bench":
        return f"Benchmark on {result['machine']['cpu']}"
    if result["kind"] == "lyrics":
        return f"Lyrics of {result['dataset']}: Whisper {result['whisper']}"
    return f"{place(result)}: {method_name(result)}"


def _boxes(result: Result) -> Iterator[str]:
    """Yield charts with a box for each stem or class of clips, without songs seen in training."""
    metric = _MAIN_METRIC.get(result["kind"])
    if metric is None or not have_matplotlib():
        return
    groups: dict[str, list[float]] = {stem: [] for stem in result["stems"]}
    for song in result["songs"]:
        if song.get("seen"):
            continue
        for stem, entry in song["stems"].items():
            if entry.get(metric) is not None:
                groups.setdefault(song.get("label", stem), []).append(entry[metric])
    names = [name for name, values in groups.items() if values]
    for start in range(0, len(names), _MOST_BOXES):
        yield box_plots({name: groups[name] for name in names[start : start + _MOST_BOXES]})


def _speed(results: Sequence[Result]) -> str:
    """Draw SDR against speed, one point a model: its mean over stems, or the voice's GNSDR."""
    points = []
    for result in results:
        metric = _MAIN_METRIC.get(result["kind"])
        songs = [s for s in result.get("songs", ()) if s.get("separation_seconds")]
        if metric is None or not songs or result["method"]["kind"] != "model":
            continue
        speed = sum(s["seconds"] for s in songs) / sum(s["separation_seconds"] for s in songs)
        stem, average = ("mean", "median" if result["kind"] == "musdb" else "mean")
        if result["kind"] == "mir1k":
            stem, metric = "vocals", "gnsdr"
        value = result["summary"][stem][metric][average]
        points.append((method_name(result), speed, math.nan if value is None else value))
    if not have_matplotlib():
        return ""
    return scatter(points, "times real time, on the machine that scored", "dB")


def _texts(result: Result) -> dict[str, list[TextView]]:
    """Return all transcriptions with their errors marked; none where alt-eval is missing."""
    from separate.evals.metrics.wer import errors_html

    if importlib.util.find_spec("alt_eval") is None:
        return {}
    texts: dict[str, list[TextView]] = {}
    for song in result["songs"]:
        views = texts.setdefault(song["song"], [])
        for route, entry in song["ways"].items():
            for name, text in entry["texts"].items():
                scores = entry["scores"][name]
                keys = ("substitutions", "deletions", "insertions")
                counts = ", ".join(f"{scores[key]} {key}" for key in keys)
                label = f"{route}, {name}: WER {100 * scores['WER']:.1f} % ({counts})"
                html = errors_html(song["reference"], text, song["language"])
                views.append(TextView(label, html))
    return texts
