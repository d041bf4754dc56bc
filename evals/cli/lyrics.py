"""`separate eval lyrics`: word error rates of songs, transcribed by several routes."""

from pathlib import Path
from typing import Annotated

import typer

from separate.evals.cli.options import (
    RUN,
    EvalOptions,
    finish,
    progress,
    split_list,
    trained_on,
    with_options,
)


@with_options("model", "split", "dataset", *RUN, model="default")
def lyrics_command(
    options: EvalOptions,
    path: Annotated[
        Path,
        typer.Argument(help="Audio with lyrics beside it, or folders of stems with lyrics.txt."),
    ],
    whisper: Annotated[
        str | None, typer.Option(help="Size or .pt file; default: the best one that is installed.")
    ] = None,
    audio: Annotated[
        str, typer.Option(help="Input of Whisper: of mixture, vocals, blend; comma-separated.")
    ] = "mixture,vocals",
    segmentation: Annotated[
        str, typer.Option(help="Of whisper, rms-vad; comma-separated.")
    ] = "whisper,rms-vad",
    by_default: Annotated[
        bool, typer.Option(help="Score the defaults of `separate lyrics` for this Whisper too.")
    ] = True,
    true_stem: Annotated[
        bool, typer.Option(help="Score the true vocal stem too, where it is known.")
    ] = True,
    blend_db: Annotated[float, typer.Option("--blend_db", "--blend-db")] = -12.0,
    language: Annotated[
        str | None, typer.Option(help="Language; default: the data's, else en.")
    ] = None,
    beam_size: Annotated[int | None, typer.Option("--beam_size", "--beam-size")] = None,
    increment: Annotated[
        float | None,
        typer.Option("--temperature_increment_on_fallback", "--temperature-increment-on-fallback"),
    ] = None,
    song: Annotated[list[str] | None, typer.Option(help="Only this song; repeatable.")] = None,
) -> None:
    """Score lyrics: each input of Whisper with each segmentation, by one Whisper model."""
    from separate.errors import DataError
    from separate.evals.data.lyrics import find_lyrics_songs
    from separate.evals.metrics.wer import require_alt_eval
    from separate.evals.tasks.lyrics import DEFAULT, TRUE, LyricsEval, LyricsMethod, evaluate_lyrics
    from separate.evals.tasks.runner import RunOptions
    from separate.lyrics.settings import LyricsSettings

    options.check()
    require_alt_eval()
    songs = find_lyrics_songs(path, options.split)
    if song:
        songs = [item for item in songs if item.name in song]
        if not songs:
            raise DataError(f"{path}: holds no song {', '.join(song)} with lyrics")
    cuts = split_list(segmentation) or []
    routes = [LyricsMethod(name, cut) for name in split_list(audio) or [] for cut in cuts]
    if by_default:
        routes.append(DEFAULT)
    if true_stem and any(item.path.is_dir() for item in songs):
        routes += [LyricsMethod("vocals", cut, TRUE) for cut in cuts]
    model = options.model or "default"
    settings = LyricsSettings(
        whisper=whisper,
        model=model,
        language=language,
        blend_db=blend_db,
        beam_size=beam_size,
        temperature_increment_on_fallback=increment,
        device=options.device,
        threads=options.threads,
    )
    for route in routes:  # unknown names fail here, not after the first separation
        LyricsSettings(audio=route.audio, segmentation=route.segmentation)
    evaluation = LyricsEval(settings, tuple(routes), *options.place(path), trained_on(model))
    with progress(f"{len(songs)} songs") as on_progress:
        run = RunOptions(options.out, options.resume, options.jobs, on_progress)
        result = evaluate_lyrics(songs, evaluation, run)
    options.end(finish(result, options.out))
