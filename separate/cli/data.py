"""`separate data ...`: render a corpus, cache folders of audio, list what a corpus holds."""

from pathlib import Path
from typing import Annotated

import typer

from separate.errors import SeparateError

data_app = typer.Typer(help="Training data: render songs, cache folders, list a corpus.")


@data_app.command()
def cache(
    source: Annotated[Path, typer.Argument(help="Folder of songs with stems, or clips by label.")],
    out: Annotated[Path, typer.Option("--out", help="Folder to write to.")],
    licence: Annotated[str, typer.Option(help="Licence where the folder names none.")] = "",
    part: Annotated[str, typer.Option(help="Of clips: all, train, holdout (every tenth).")] = "all",
    only: Annotated[
        list[str] | None, typer.Option(help="Only songs of such names, say 'amy_*'; repeat.")
    ] = None,
    credit: Annotated[str, typer.Option(help="Whose songs they are, for a model's card.")] = "",
) -> None:
    """Decode songs or clips once into 16-bit arrays that training maps into memory."""
    from separate.corpus.sources.convert import convert

    if part not in ("all", "train", "holdout"):
        raise typer.BadParameter("--part is all, train, or holdout")
    try:
        report = convert(source, out, licence, part, only or (), credit, _show)
    except SeparateError as error:
        _fail(error)
    typer.echo(f"\n{report.written} written to {out}, {len(report.skipped)} skipped")
    for line in report.skipped:
        typer.echo(f"skipped: {line}", err=True)
    if report.unlicensed:
        typer.echo(
            f"{report.unlicensed} name no licence and count as research, which `separate train`"
            " leaves out unless asked; name it with --licence",
            err=True,
        )
    if report.skipped:
        raise typer.Exit(1)


@data_app.command()
def render(
    out: Annotated[Path, typer.Option("--out", help="Folder to write to; a run is resumed there.")],
    hours: Annotated[float, typer.Option(help="How much to render.")] = 1.0,
    seed: Annotated[int, typer.Option(help="The same seed gives the same songs.")] = 0,
    jobs: Annotated[int, typer.Option("--jobs", "-j", help="Processes.")] = 1,
    sources: Annotated[
        Path | None, typer.Option(help="Folder of checkouts; see `separate data sources`.")
    ] = None,
    licences: Annotated[str, typer.Option(help="Licence classes.")] = "free,sharealike",
    shortest: Annotated[float, typer.Option(help="Shortest song, in seconds.")] = 30.0,
    longest: Annotated[float, typer.Option(help="Longest song, in seconds.")] = 60.0,
) -> None:
    """Render songs with labelled stems from instruments, drummers' MIDI and voices at hand."""
    from separate.corpus.rendering.build import CorpusPlan, render_corpus
    from separate.corpus.sources.catalogue import find_sources, prepare

    if hours <= 0 or not 4 <= shortest <= longest:
        raise typer.BadParameter("--hours is above 0, and 4 <= --shortest <= --longest")
    library = find_sources(sources, tuple(licences.split(",")))
    for source in library.missing:
        typer.echo(f"without {source.name} ({source.origin})", err=True)
    try:
        library = prepare(library, out / ".instruments")
        plan = CorpusPlan(out, hours, seed, jobs, (shortest, longest))
        songs = render_corpus(library, plan, _show_hours)
    except SeparateError as error:
        _fail(error)
    typer.echo(f"\n{songs} songs in {out}; `separate data list {out}` shows what they hold")


@data_app.command()
def example(
    out: Annotated[Path, typer.Option("--out", help="File to write: .ogg or .flac.")],
    stems: Annotated[Path | None, typer.Option(help="Folder for the true stems.")] = None,
) -> None:
    """Make the bundled example from Debian's packages."""
    from separate.corpus.rendering.example import write_example

    try:
        typer.echo(write_example(out, stems))
    except SeparateError as error:
        _fail(error)


@data_app.command(name="sources")
def list_sources(
    sources: Annotated[Path | None, typer.Option(help="Folder of checkouts.")] = None,
    licences: Annotated[str, typer.Option(help="Licence classes.")] = "free,sharealike",
) -> None:
    """Print which instruments, kits, performances and voices were found, and their licences."""
    from separate.corpus.sources.catalogue import find_sources
    from separate.corpus.sources.listing import describe

    typer.echo(describe(find_sources(sources, tuple(licences.split(",")))))


@data_app.command(name="list")
def list_corpus(folder: Annotated[Path, typer.Argument(help="Folder of cached audio.")]) -> None:
    """Print hours, size and licence classes of a corpus, by source and by label."""
    from separate.corpus.sources.listing import summarise

    try:
        typer.echo(summarise(folder))
    except SeparateError as error:
        _fail(error)


def _show(done: int, total: int) -> None:
    typer.echo(f"\r{done}/{total}", nl=False, err=True)


def _show_hours(done: float, total: float) -> None:
    typer.echo(f"\r{done:.2f} of {total:.2f} hours", nl=False, err=True)


def _fail(error: SeparateError) -> None:
    typer.echo(f"error: {error}", err=True)
    raise typer.Exit(1)
