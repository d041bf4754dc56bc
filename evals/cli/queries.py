"""`separate eval mir1k`, `clips` and `queries`: voice against karaoke, labels, wording."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from separate.evals.cli import options
from separate.evals.cli.options import (
    Band,
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
    Split,
    Threads,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from separate.evals.tasks.mir1k import Clip

Number = Annotated[int | None, typer.Option("--limit", min=1, help="Only the first so many.")]


def mir1k_command(
    path: Annotated[Path, typer.Argument(help="The folder with vocals/ and accompaniment/.")],
    model: Model = None,
    estimates: EstimatesDir = None,
    oracle: Oracle = None,
    band: Band = "whole",
    mixture: Mixture = False,
    split: Annotated[str, typer.Option(help="test, train, or all.")] = "test",
    singers: Annotated[str | None, typer.Option(help="Only these, comma-separated.")] = None,
    limit: Number = None,
    mask_rule: Rule = "sum-to-mix",
    thresholds: Annotated[
        str | None,
        typer.Option(help="Of a model of `train ibm`, comma-separated: score each instead."),
    ] = None,
    resume: Resume = False,
    out: Out = None,
    report: Report = None,
    jobs: Jobs = 1,
    device: Device = "cpu",
    threads: Threads = None,
) -> None:
    """Score on MIR-1K: GNSDR, GSIR, GSAR of voice and accompaniment, by clip length."""
    from separate.evals.tasks.mir1k import Mir1kTask, evaluate_mir1k, find_clips

    options.check_resume(resume, out)
    options.check_report(report)
    wanted = options.split_list(singers) or ()
    clips = find_clips(path, None if split == "all" else split, wanted)[:limit]
    if thresholds is not None:
        _sweep(clips, model, thresholds, threads, out)
        return
    choice = options.choose(
        model=model, estimates=estimates, oracle=oracle, band=band, mixture=mixture,
        default_stems=("vocals",), rule=mask_rule, device=device, threads=threads, jobs=jobs,
    )  # fmt: skip
    task = Mir1kTask(
        choice.method, choice.stems, "MIR-1K", split,
        trained_on=choice.trained_on, accompaniment=True,
    )  # fmt: skip
    with options.progress(f"{len(clips)} clips") as on_progress:
        result = evaluate_mir1k(
            clips, task, out=out, resume=resume, jobs=jobs, on_progress=on_progress
        )
    _end(result, out, report)


def _sweep(
    clips: "Sequence[Clip]", model: str | None, thresholds: str, threads: int | None, out: Out
) -> None:
    """Score every threshold of a binary-mask model."""
    import torch

    from separate.evals.tasks.thresholds import sweep

    values = options.numbers("--thresholds", thresholds)
    if threads is not None:
        torch.set_num_threads(threads)
    with options.progress(f"{len(clips)} clips") as on_progress:
        result = sweep(clips, model or "default", values, on_progress)
    options.finish(result, out)


def clips_command(
    path: Annotated[Path, typer.Argument(help="A folder with one folder of clips a label.")],
    model: Model = None,
    oracle: Oracle = None,
    mixture: Mixture = False,
    by: Annotated[str, typer.Option(help="Ask by text, example, tag, mixed or negative.")] = "text",
    per_class: Annotated[int, typer.Option(min=1, help="Mixtures a class.")] = 10,
    seed: Annotated[int, typer.Option(help="Of the draw of mixtures.")] = 0,
    labels: Annotated[str | None, typer.Option(help="Only these targets.")] = None,
    resume: Resume = False,
    out: Out = None,
    report: Report = None,
    jobs: Jobs = 1,
    device: Device = "cpu",
    threads: Threads = None,
) -> None:
    """Score label-queried mixtures of two clips (the USS protocol): SDR improvement by class."""
    from separate.evals.tasks.clips import ClipsTask, draw, evaluate_clips, held_out

    options.check_resume(resume, out)
    options.check_report(report)
    mixtures = draw(held_out(path), per_class, seed)
    wanted = options.split_list(labels)
    mixtures = [m for m in mixtures if not wanted or m.label in wanted]
    choice = options.choose(
        model=model, oracle=oracle, mixture=mixture, stems="target", rule="free", device=device,
        threads=threads, jobs=jobs,
    )  # fmt: skip
    task = ClipsTask(
        choice.method, ("target",), options.dataset_name(path, None)[0], "held-out",
        trained_on=choice.trained_on, by=by, root=path,
    )  # fmt: skip
    with options.progress(f"{len(mixtures)} mixtures") as on_progress:
        result = evaluate_clips(
            mixtures, task, out=out, resume=resume, jobs=jobs, on_progress=on_progress
        )
    _end(result, out, report)


def queries_command(
    path: Annotated[Path, typer.Argument(help="A folder with one folder of stems a song.")],
    clips: Annotated[
        Path | None, typer.Option(help="A folder of clips a label, for presence.")
    ] = None,
    model: Model = None,
    split: Split = None,
    phrases: Annotated[int, typer.Option(min=1, help="Synonyms a stem.")] = 8,
    seconds: Annotated[float, typer.Option(min=1, help="Of each song's middle.")] = 30.0,
    per_class: Annotated[int, typer.Option(min=1, help="Clip mixtures a class.")] = 4,
    resume: Resume = False,
    out: Out = None,
    report: Report = None,
    jobs: Jobs = 1,
    device: Device = "cpu",
    threads: Threads = None,
) -> None:
    """What synonyms and paraphrases cost against the plain label; ROC AUC of presence."""
    from separate.evals.data.songs import STEMS, find_songs
    from separate.evals.tasks.clips import draw, held_out
    from separate.evals.tasks.queries import QueriesTask, evaluate_queries

    options.check_resume(resume, out)
    options.check_report(report)
    songs = find_songs(path, split)
    mixtures = draw(held_out(clips), per_class) if clips is not None else []
    choice = options.choose(
        model=model, default_stems=STEMS, rule="free", device=device, threads=threads, jobs=jobs
    )
    name, split = options.dataset_name(path, split)
    task = QueriesTask(
        choice.method, choice.stems, name, split,
        trained_on=choice.trained_on, phrases=phrases, seconds=seconds,
    )  # fmt: skip
    with options.progress("queries") as on_progress:
        result = evaluate_queries(
            songs, mixtures, task, out=out, resume=resume, jobs=jobs, on_progress=on_progress
        )
    _end(result, out, report)


def _end(result: dict[str, Any], out: Path | None, report: Path | None) -> None:
    result = options.finish(result, out)
    if report is not None:
        from separate.evals.report.page import write_page

        typer.echo(str(write_page(report, [result], [])))
    options.exit_if_failed(result)
