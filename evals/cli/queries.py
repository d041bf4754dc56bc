"""`separate eval mir1k`, `clips` and `queries`: voice against karaoke, labels, wording."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from separate.evals.cli.options import (
    METHOD,
    RUN,
    EvalOptions,
    finish,
    progress,
    read_numbers,
    split_list,
    with_options,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from separate.evals.tasks.mir1k import KaraokeClip


@with_options(*METHOD, "mask_rule", *RUN)
def mir1k_command(
    options: EvalOptions,
    path: Annotated[Path, typer.Argument(help="MIR-1K, iKala or DSD100.")],
    split: Annotated[str, typer.Option(help="test, train, or all.")] = "test",
    singers: Annotated[
        str | None, typer.Option(help="Only these singers, comma-separated.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many.")] = None,
    thresholds: Annotated[
        str | None,
        typer.Option(help="Score each of these thresholds of a model of `train ibm` instead."),
    ] = None,
) -> None:
    """Score on MIR-1K, iKala or DSD100: GNSDR, GSIR, GSAR of voice and accompaniment."""
    from separate.evals.tasks.mir1k import Mir1kEval, find_clips

    options.check()
    wanted = split_list(singers) or ()
    clips = find_clips(path, None if split == "all" else split, wanted)[:limit]
    if thresholds is not None:
        _sweep(clips, read_numbers("--thresholds", thresholds), options)
        return
    chosen = options.choose(("vocals",))
    evaluation = Mir1kEval(
        chosen.method, chosen.stems, "MIR-1K", split,
        trained_on=chosen.trained_on, accompaniment=True,
    )  # fmt: skip
    options.evaluate(evaluation, clips, "clips")


def _sweep(clips: "Sequence[KaraokeClip]", thresholds: list[float], options: EvalOptions) -> None:
    """Score every threshold of a binary-mask model."""
    import torch

    from separate.evals.tasks.thresholds import sweep

    if options.threads is not None:
        torch.set_num_threads(options.threads)
    with progress(f"{len(clips)} clips") as on_progress:
        result = sweep(clips, options.model or "default", thresholds, on_progress)
    finish(result, options.out)


@with_options("model", "oracle", "mixture", *RUN, stems="target", mask_rule="free")
def clips_command(
    options: EvalOptions,
    path: Annotated[Path, typer.Argument(help="A folder with one folder of clips a label.")],
    by: Annotated[str, typer.Option(help="Ask by text, example, tag, mixed or negative.")] = "text",
    per_class: Annotated[int, typer.Option(min=1, help="Mixtures a class.")] = 10,
    seed: Annotated[int, typer.Option(help="Seed of the draw of mixtures.")] = 0,
    labels: Annotated[str | None, typer.Option(help="Only these targets.")] = None,
) -> None:
    """Score label-queried mixtures of two clips (the USS protocol): SDR improvement by class."""
    from separate.evals.tasks.clips import ClipsEval, draw, held_out

    options.check()
    mixtures = draw(held_out(path), per_class, seed)
    wanted = split_list(labels)
    mixtures = [m for m in mixtures if not wanted or m.label in wanted]
    chosen = options.choose()
    evaluation = ClipsEval(
        chosen.method, ("target",), options.place(path)[0], "held-out",
        trained_on=chosen.trained_on, by=by, root=path,
    )  # fmt: skip
    options.evaluate(evaluation, mixtures, "mixtures")


@with_options("model", "split", *RUN, mask_rule="free")
def queries_command(
    options: EvalOptions,
    path: Annotated[Path, typer.Argument(help="A folder with one folder of stems a song.")],
    clips: Annotated[
        Path | None, typer.Option(help="A folder of clips a label, for presence.")
    ] = None,
    phrases: Annotated[int, typer.Option(min=1, help="Synonyms a stem.")] = 8,
    seconds: Annotated[float, typer.Option(min=1, help="Length of each song's excerpt.")] = 30.0,
    per_class: Annotated[int, typer.Option(min=1, help="Clip mixtures a class.")] = 4,
    locked: Annotated[
        bool, typer.Option("--locked", help="Ask the locked half of the phrases too.")
    ] = False,
) -> None:
    """How queries are understood: cost of other wordings, how phrases are read, presence."""
    from separate.evals.data.songs import STEMS, find_songs
    from separate.evals.tasks.clips import draw, held_out
    from separate.evals.tasks.queries import QueriesEval

    options.check()
    songs = find_songs(path, options.split)
    mixtures = draw(held_out(clips), per_class) if clips is not None else []
    chosen = options.choose(STEMS)
    evaluation = QueriesEval(
        chosen.method, chosen.stems, *options.place(path),
        trained_on=chosen.trained_on, phrases=phrases, seconds=seconds, locked=locked,
    )  # fmt: skip
    options.evaluate(evaluation, [*songs, *mixtures], "songs and mixtures")
