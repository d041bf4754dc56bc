"""`separate eval stems` and `separate eval musdb`: songs with stems."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from separate.evals.cli.options import METHOD, RUN, EvalOptions, split_list, with_options

_SOUNDING_DBFS = -89.0


@with_options(*METHOD, "split", "stems", "mask_rule", "dataset", *RUN)
def stems_command(
    options: EvalOptions,
    path: Annotated[Path, typer.Argument(help="A folder with one folder of stems a song.")],
    fine: Annotated[
        bool, typer.Option("--fine", help="Query each song's finest labels, one by one.")
    ] = False,
    sounding: Annotated[
        float, typer.Option(help="Frames count where the reference's power is above this (dBFS).")
    ] = _SOUNDING_DBFS,
) -> None:
    """Score a model, files, an oracle or the mixture on songs with stems: SDR without filters."""
    from separate.evals.data.songs import find_songs
    from separate.evals.tasks.stems import StemsEval

    options.check()
    songs = find_songs(path, options.split)
    if fine:
        songs = [replace(song, fine=True) for song in songs]
        labels = sorted({label for song in songs for label in song.labels()})
        options = replace(options, stems=options.stems or ",".join(labels), mask_rule="free")
    chosen = options.choose()
    evaluation = StemsEval(
        chosen.method, chosen.stems, *options.place(path), sounding, chosen.trained_on, fine=fine
    )
    options.evaluate(evaluation, songs, "songs", examples=True)


@with_options(*METHOD, "stems", "mask_rule", *RUN)
def musdb_command(
    options: EvalOptions,
    path: Annotated[Path, typer.Argument(help="The folder of MUSDB18 or MUSDB18-HQ.")],
    subset: Annotated[str, typer.Option(help="train, test, or train,test.")] = "test",
    split: Annotated[
        str | None, typer.Option(help="train or valid: musdb's division of the train subset.")
    ] = None,
    track: Annotated[list[str] | None, typer.Option(help="Only this track; repeatable.")] = None,
    engine: Annotated[
        str,
        typer.Option(
            help="blocks; museval: the library, 6 GB a track; fast: SDR alone, no filters."
        ),
    ] = "blocks",
) -> None:
    """Score on MUSDB18 by museval's protocol (BSS Eval v4): SDR, SIR, SAR, ISR."""
    from separate.errors import SettingsError
    from separate.evals.metrics.bss_eval import ENGINES, require_ffmpeg, require_museval
    from separate.evals.tasks.musdb import SUBSETS, MusdbEval, StemFile, find_tracks

    options.check()
    subsets = split_list(subset) or []
    if engine not in ENGINES or not subsets or not set(subsets) <= set(SUBSETS):
        raise SettingsError(
            f"--engine takes {', '.join(ENGINES)}; --subset takes {' or '.join(SUBSETS)}"
        )
    if engine == "museval":
        require_museval()
    if split is not None:
        subsets = ["train"]
    tracks = find_tracks(path, subsets, split, track or ())
    if any(isinstance(reader, StemFile) for reader in tracks):
        require_ffmpeg("musdb")
    chosen = options.choose()
    evaluation = MusdbEval(
        chosen.method, chosen.stems, "MUSDB18", split or ",".join(subsets),
        trained_on=chosen.trained_on, accompaniment=True, engine=engine,
    )  # fmt: skip
    options.evaluate(evaluation, tracks, "tracks", examples=True)
