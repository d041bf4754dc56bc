"""`separate tags`: list what sounds in recordings, how likely, and when.

Modules that import torch are imported inside the functions, after the arguments are parsed.
"""

import json as json_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from separate.auto.tagging import Tag
    from separate.batch.tracks import Track

tags_app = typer.Typer(add_completion=False)
_MOST_SPANS = 6  # in a row of the table; JSON and label files have all


@tags_app.command()
def tags_command(
    inputs: Annotated[
        list[Path], typer.Argument(metavar="INPUT...", help="Sound files, videos, or folders.")
    ],
    tagger: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="embedded (default), efficientat-mn04, or a .pt file."),
    ] = None,
    sources: Annotated[
        bool,
        typer.Option("--sources", help="Separate, and list the sources that are present: slower,"
                     " but by names that work as queries."),
    ] = False,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="CLASS", help="List this class alone; may be repeated."),
    ] = None,
    threshold: Annotated[float, typer.Option(help="Least likelihood of a listed class.")] = 0.2,
    top: Annotated[int | None, typer.Option(min=1, help="Most classes to list.")] = None,
    start: Annotated[str | None, typer.Option(metavar="TIME", help="Time to start from.")] = None,
    end: Annotated[str | None, typer.Option(metavar="TIME", help="Time to end at.")] = None,
    stream: Annotated[
        int, typer.Option(min=0, metavar="N", help="Audio track of a video, from 0.")
    ] = 0,
    labels: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write DIR/<track>.txt, a label track of Audacity."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print a line of JSON per file.")] = False,
) -> None:  # fmt: skip
    """List what sounds in recordings: AudioSet classes with likelihood and times."""
    from separate.audio import check_writable
    from separate.batch.tracks import find_tracks
    from separate.cli.batch import seconds_of
    from separate.errors import InputError, SettingsError

    if not 0 < threshold <= 1:
        raise SettingsError(f"--threshold {threshold}: give more than 0, and at most 1")
    if Path("-") in inputs:
        raise SettingsError(
            "'-' (standard input or output) is not supported: name a file or folder"
        )
    if sources and (tagger or only):
        raise SettingsError("--sources uses neither --tagger nor --only: leave them out")
    span = {
        "start_seconds": seconds_of("--start", start) or 0.0,
        "end_seconds": seconds_of("--end", end),
        "stream": stream,
    }
    if labels is not None:
        check_writable(labels)
    tags_in = _by_presence(span) if sources else _by_tagger(tagger, only or (), threshold, span)
    failed = 0
    tracks = find_tracks(inputs)
    for track in tracks:
        try:
            if track.path.is_dir():
                raise InputError(f"{track.path}: holds no audio files")
            found = [tag for tag in tags_in(track.path) if tag.likelihood >= threshold][:top]
        except InputError as error:
            typer.echo(f"error: {error}", err=True)
            failed += 1
            continue
        _show(track, found, labels, json)
    if failed:
        raise typer.Exit(1)


def _by_tagger(tagger: str | None, only: Any, threshold: float, span: dict[str, Any]) -> Any:
    """Return a function from a path to the tags that the tagger finds."""
    from separate.auto.tagging import Tag, open_tagger, spans_of, tag_file, tags_of
    from separate.queries.tags import class_row

    rows = {class_row(name): name for name in only}
    opened = open_tagger(tagger)

    def tag(path: Path) -> list[Tag]:
        track = tag_file(path, opened, **span)
        if not rows:
            return tags_of(track, threshold)
        best = track.likelihoods.max(axis=0)
        return [
            Tag(name, round(float(best[row]), 3), spans_of(track, row, threshold))
            for row, name in rows.items()
        ]

    return tag


def _by_presence(span: dict[str, Any]) -> Any:
    """Return a function from a path to the sources that are present by separation."""
    from separate.auto.find import find_sources
    from separate.auto.tagging import Tag
    from separate.errors import SettingsError
    from separate.open import open_separator
    from separate.settings import Settings

    if span.pop("start_seconds"):
        raise SettingsError("--sources starts at the beginning: leave out --start")
    separator = open_separator(Settings())

    def tag(path: Path) -> list[Tag]:
        found = find_sources(separator, path, **span)
        return [Tag(source.name, source.likelihood, source.spans) for source in found]

    return tag


def _show(track: "Track", tags: "list[Tag]", labels: Path | None, json: bool) -> None:
    from separate.auto.tagging import as_labels

    if labels is not None:
        path = labels / f"{track.name}.txt"
        _write(path, as_labels(tags))
        if not json:
            typer.echo(str(path))
    if json:
        rows = [
            {"name": tag.name, "likelihood": tag.likelihood, "spans": [list(s) for s in tag.spans]}
            for tag in tags
        ]
        typer.echo(json_module.dumps({"input": str(track.path.absolute()), "tags": rows}))
    elif labels is None:
        _print_table(track, tags)


def _write(path: Path, text: str) -> None:
    from separate.errors import OutputError
    from separate.files import replacing

    try:
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from error


def _print_table(track: "Track", tags: "list[Tag]") -> None:
    typer.echo(str(track.path))
    if not tags:
        typer.echo("  no class reaches the threshold; try a lower --threshold")
    width = max((len(tag.name) for tag in tags), default=0)
    for tag in tags:
        times = ", ".join(f"{_clock(a)}-{_clock(b)}" for a, b in tag.spans[:_MOST_SPANS])
        more = f" and {len(tag.spans) - _MOST_SPANS} more" if len(tag.spans) > _MOST_SPANS else ""
        typer.echo(f"  {tag.name:<{width}}  {tag.likelihood:.2f}  {times}{more}")


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds, 1), 60)
    return f"{int(minutes)}:{rest:04.1f}"
