"""`separate eval stems` and `separate eval musdb`: songs with stems."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from separate.evals.cli import options
from separate.evals.cli.options import (
    SOUNDING_DBFS,
    Band,
    DatasetName,
    Device,
    EstimatesDir,
    Jobs,
    Mixture,
    Model,
    Oracle,
    Out,
    Report,
    Resume,
    Rule,
    Sounding,
    Split,
    Stems,
    Threads,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from separate.evals.data.songs import SongSource
    from separate.evals.tasks.stems import StemsTask


def stems_command(
    path: Annotated[Path, typer.Argument(help="A folder with one folder of stems a song.")],
    model: Model = None,
    estimates: EstimatesDir = None,
    oracle: Oracle = None,
    band: Band = "whole",
    mixture: Mixture = False,
    split: Split = None,
    stems: Stems = None,
    mask_rule: Rule = "sum-to-mix",
    fine: Annotated[
        bool, typer.Option("--fine", help="Ask for each song's finest labels, each by itself.")
    ] = False,
    dataset: DatasetName = None,
    sounding: Sounding = SOUNDING_DBFS,
    resume: Resume = False,
    out: Out = None,
    report: Report = None,
    jobs: Jobs = 1,
    device: Device = "cpu",
    threads: Threads = None,
) -> None:
    """Score a model, files, an oracle or the mixture on songs with stems: SDR without filters."""
    from separate.evals.data.songs import find_songs
    from separate.evals.tasks.stems import StemsTask, evaluate_stems

    options.check_resume(resume, out)
    options.check_report(report)
    songs = find_songs(path, split)
    if fine:
        songs = [replace(song, fine=True) for song in songs]
        labels = sorted({label for song in songs for label in song.labels()})
        stems, mask_rule = stems or ",".join(labels), "free"
    choice = options.choose(
        model=model, estimates=estimates, oracle=oracle, band=band, mixture=mixture, stems=stems,
        rule=mask_rule, device=device, threads=threads, jobs=jobs,
    )  # fmt: skip
    name, split = options.dataset_name(path, split)
    task = StemsTask(
        choice.method, choice.stems, dataset or name, split, sounding, choice.trained_on, fine=fine
    )
    with options.progress(f"{len(songs)} songs") as on_progress:
        result = evaluate_stems(
            songs, task, out=out, resume=resume, jobs=jobs, on_progress=on_progress
        )
    _end(result, out, report, songs, task)


def musdb_command(
    path: Annotated[Path, typer.Argument(help="The folder of MUSDB18 or MUSDB18-HQ.")],
    model: Model = None,
    estimates: EstimatesDir = None,
    oracle: Oracle = None,
    band: Band = "whole",
    mixture: Mixture = False,
    subset: Annotated[str, typer.Option(help="train, test, or train,test.")] = "test",
    split: Annotated[
        str | None, typer.Option(help="train or valid: musdb's division of the train subset.")
    ] = None,
    track: Annotated[list[str] | None, typer.Option(help="Only this track; repeatable.")] = None,
    stems: Stems = None,
    mask_rule: Rule = "sum-to-mix",
    engine: Annotated[
        str,
        typer.Option(
            help="blocks; museval: the library, 6 GB a track; fast: SDR alone, no filters."
        ),
    ] = "blocks",
    resume: Resume = False,
    out: Out = None,
    report: Report = None,
    jobs: Jobs = 1,
    device: Device = "cpu",
    threads: Threads = None,
) -> None:
    """Score on MUSDB18 by museval's protocol (BSS Eval v4): SDR, SIR, SAR, ISR."""
    from separate.errors import SettingsError
    from separate.evals.metrics.bss_eval import ENGINES, require_ffmpeg, require_museval
    from separate.evals.tasks.musdb import SUBSETS, MusdbTask, StemFile, evaluate_musdb, find_tracks

    options.check_resume(resume, out)
    options.check_report(report)
    subsets = options.split_list(subset) or []
    if engine not in ENGINES or not subsets or not set(subsets) <= set(SUBSETS):
        raise SettingsError(
            f"--engine takes {', '.join(ENGINES)}; --subset takes {' or '.join(SUBSETS)}"
        )
    if engine == "museval":
        require_museval()
    if split is not None:
        subsets = ["train"]
    tracks = find_tracks(path, subsets, split, track or ())
    if any(isinstance(source, StemFile) for source in tracks):
        require_ffmpeg("musdb")
    choice = options.choose(
        model=model, estimates=estimates, oracle=oracle, band=band, mixture=mixture, stems=stems,
        rule=mask_rule, device=device, threads=threads, jobs=jobs,
    )  # fmt: skip
    task = MusdbTask(
        choice.method, choice.stems, "MUSDB18", split or ",".join(subsets),
        trained_on=choice.trained_on, accompaniment=True, engine=engine,
    )  # fmt: skip
    with options.progress(f"{len(tracks)} tracks") as on_progress:
        result = evaluate_musdb(
            tracks, task, out=out, resume=resume, jobs=jobs, on_progress=on_progress
        )
    _end(result, out, report, tracks, task)


def _end(
    result: dict[str, Any],
    out: Path | None,
    report: Path | None,
    songs: "Sequence[SongSource]",
    task: "StemsTask",
) -> None:
    """Print, write, report."""
    result = options.finish(result, out)
    if report is not None:
        from separate.evals.report.examples import song_examples
        from separate.evals.report.page import write_page

        typer.echo(str(write_page(report, [result], song_examples(result, songs, task))))
    options.exit_if_failed(result)
