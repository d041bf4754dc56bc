"""`separate data ...`: render songs, cache folders of audio, list a corpus."""

from pathlib import Path
from typing import Annotated

import typer

from separate.errors import SeparateError

_OUT = "Output folder; an interrupted run resumes in it."
data_app = typer.Typer(help="Training data: render songs, cache folders, list a corpus.")


@data_app.command()
def cache(
    source: Annotated[Path, typer.Argument(help="Folder of songs with stems, or clips by label.")],
    out: Annotated[Path, typer.Option("--out", help="Folder to write to.")],
    licence: Annotated[str, typer.Option(help="Licence of a folder that names none.")] = "",
    part: Annotated[
        str, typer.Option(help="Which clips: all, train, or holdout (every tenth).")
    ] = "all",
    only: Annotated[
        list[str] | None, typer.Option(help="Song names to keep, such as 'amy_*'; repeatable.")
    ] = None,
    credit: Annotated[str, typer.Option(help="Author of the songs, for the card of a model.")] = "",
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
            f"{report.unlicensed} name no licence and count as `research`, which `separate train`"
            " leaves out by default; name the licence with --licence",
            err=True,
        )
    if report.skipped:
        raise typer.Exit(1)


@data_app.command()
def mixtures(
    folders: Annotated[
        list[Path], typer.Argument(help="Unpacked packages, or folders of recordings.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help=_OUT)],
    tagger: Annotated[
        str, typer.Option(help="AudioSet tagger: efficientat-mn04, or an EfficientAT .pt file.")
    ] = "efficientat-mn04",
    licence: Annotated[str, typer.Option(help="Licence of folders without a copyright file.")] = "",
    licences: Annotated[str, typer.Option(help="Licence classes to keep.")] = "free,sharealike",
    window: Annotated[float, typer.Option(help="Length of a window, 6 to 12 s.")] = 10.0,
    shortest: Annotated[float, typer.Option(help="Shortest recording, in seconds.")] = 20.0,
    count: Annotated[
        bool, typer.Option("--count", help="Print hours by package and licence class, and stop.")
    ] = False,
) -> None:
    """Cache recordings without stems as windows with reliable labels; see docs/data.md.

    Folders and archives (.zip, .pk3) are searched. scripts/fetch_mixtures.sh downloads packages.
    """
    from separate.corpus.mixtures.build import (
        MixtureSettings,
        build_mixtures,
        count_recordings,
    )
    from separate.corpus.mixtures.clues import ClueFinder

    try:
        settings = MixtureSettings(
            window_seconds=window, shortest_seconds=shortest, licences=tuple(licences.split(","))
        )
        if count:
            typer.echo(count_recordings(folders, settings, licence))
            return
        finder = ClueFinder(tagger)
        report = build_mixtures(folders, out, finder, settings, licence=licence, on_progress=_show)
    except SeparateError as error:
        _fail(error)
    typer.echo(
        f"\n{report.written} recordings written to {out}, {report.present} were complete already,"
        f" {report.short} too short, {report.doubles} duplicates"
    )
    for line in report.left_out:
        typer.echo(f"left out: {line}", err=True)
    for line in report.skipped:
        typer.echo(f"skipped: {line}", err=True)
    if report.skipped:
        raise typer.Exit(1)


@data_app.command()
def estimates(
    corpora: Annotated[list[Path], typer.Argument(help="Folders that `mixtures` wrote.")],
    out: Annotated[Path, typer.Option("--out", "-o", help=_OUT)],
    model: Annotated[str, typer.Option("--model", "-m", help="The teacher, by name or path.")],
    agreement: Annotated[
        float, typer.Option(help="Least SDR (dB) between the estimates of two views of a window.")
    ] = 12.0,
    licences: Annotated[str, typer.Option(help="Licence classes.")] = "free,sharealike",
    device: Annotated[str, typer.Option("--device", "-d", help="cpu, cuda or mps.")] = "cpu",
) -> None:
    """Separate recordings by a teacher; cache the windows on which its views agree as songs."""
    from separate.backends.nets import open_model
    from separate.corpus.mixtures.estimates import EstimateSettings, Teacher, estimate_songs
    from separate.models import registry
    from separate.settings import Settings
    from separate.weights.store import models_dir

    try:
        settings = EstimateSettings(agreement_db=agreement, licences=tuple(licences.split(",")))
        card = registry.read_card(registry.find(model, [models_dir()]).with_suffix(".json"))
        opened = open_model(model, Settings(sum_to_mixture=True, device=device))
        teacher = Teacher(opened, card.name, card.licence)
        report = estimate_songs(corpora, out, teacher, settings, _show)
    except SeparateError as error:
        _fail(error)
    typer.echo(
        f"\n{report.songs} songs, {report.seconds / 3600:.2f} of {report.seen_seconds / 3600:.2f}"
        f" hours, written to {out}"
    )


@data_app.command(name="check-labels")
def check_labels(
    songs: Annotated[
        list[Path] | None, typer.Argument(help="Folders of cached songs with stems.")
    ] = None,
    tagger: Annotated[str, typer.Option(help="AudioSet tagger, as for `mixtures`.")] = (
        "efficientat-mn04"
    ),
    measured: Annotated[
        Path | None, typer.Option(help="File (.npz) to write measurements to, or to read.")
    ] = None,
    fit: Annotated[Path | None, typer.Option(help="File to write the fitted rule to.")] = None,
) -> None:
    """Fit the labels of `mixtures` on songs with stems; print precision and recall by threshold."""
    from separate.corpus.mixtures.clues import ClueFinder
    from separate.corpus.mixtures.known import Known, measure_songs
    from separate.corpus.mixtures.labels import fit_rule, table
    from separate.corpus.sources.licences import CLASSES
    from separate.train.data.folders import load_corpus

    is_measured = measured is not None and measured.exists()
    if not songs and not is_measured:
        raise typer.BadParameter("name folders of songs, or give a file of --measured")
    try:
        if measured is not None and is_measured:
            known = Known.load(measured)
        else:
            found = load_corpus(songs or [], CLASSES).songs
            known = measure_songs(found, ClueFinder(tagger), on_progress=_show)
            if measured is not None:
                known.save(measured)
        rule, likelihoods = fit_rule(known)
        typer.echo(table(known, likelihoods, rule))
        if fit is not None:
            rule.save(fit)
            typer.echo(f"\nwritten to {fit}")
    except SeparateError as error:
        _fail(error)


@data_app.command()
def render(
    out: Annotated[Path, typer.Option("--out", help=_OUT)],
    hours: Annotated[float, typer.Option(help="Hours of audio to render.")] = 1.0,
    seed: Annotated[int, typer.Option(help="The same seed gives the same songs.")] = 0,
    jobs: Annotated[int, typer.Option("--jobs", "-j", help="Processes.")] = 1,
    sources: Annotated[
        Path | None, typer.Option(help="Folder of instruments; see `separate data sources`.")
    ] = None,
    licences: Annotated[str, typer.Option(help="Licence classes.")] = "free,sharealike",
    shortest: Annotated[float, typer.Option(help="Shortest song, in seconds.")] = 30.0,
    longest: Annotated[float, typer.Option(help="Longest song, in seconds.")] = 60.0,
) -> None:
    """Render songs with labelled stems from the instruments, MIDI drums and voices found here."""
    from separate.corpus.rendering.build import CorpusPlan, render_corpus
    from separate.corpus.sources.catalogue import find_sources, prepare

    if hours <= 0 or not 4 <= shortest <= longest:
        raise typer.BadParameter("--hours is above 0, and 4 <= --shortest <= --longest")
    library = find_sources(sources, tuple(licences.split(",")))
    for source in library.missing:
        typer.echo(f"not found: {source.name} ({source.origin})", err=True)
    try:
        library = prepare(library, out / ".instruments")
        plan = CorpusPlan(out, hours, seed, jobs, (shortest, longest))
        songs = render_corpus(library, plan, _show_hours)
    except SeparateError as error:
        _fail(error)
    typer.echo(f"\n{songs} songs in {out}; `separate data list {out}` lists their contents")


@data_app.command()
def example(
    out: Annotated[Path, typer.Option("--out", help="File to write: .ogg or .flac.")],
    stems: Annotated[Path | None, typer.Option(help="Folder to write the true stems to.")] = None,
) -> None:
    """Make the bundled example from Debian's packages."""
    from separate.corpus.rendering.example import write_example

    try:
        typer.echo(write_example(out, stems))
    except SeparateError as error:
        _fail(error)


@data_app.command(name="sources")
def list_sources(
    sources: Annotated[Path | None, typer.Option(help="Folder of downloaded instruments.")] = None,
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
    from separate.train.data import recordings

    try:
        described = any(next(folder.rglob(name), None) for name in ("song.json", "clips.json"))
        if next(folder.rglob("mixture.json"), None):
            typer.echo(recordings.summarise(folder) + "\n" * described)
            if not described:
                return
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
