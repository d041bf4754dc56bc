"""`separate eval lyrics`: word error rates of songs, transcribed in several ways."""

from pathlib import Path
from typing import Annotated

import typer

from separate.evals.cli import options
from separate.evals.cli.options import (
    DatasetName,
    Device,
    Jobs,
    Out,
    Report,
    Resume,
    Split,
    Threads,
)


def lyrics_command(
    path: Annotated[
        Path,
        typer.Argument(help="Audio with lyrics beside it, or folders of stems with lyrics.txt."),
    ],
    whisper: Annotated[
        str | None, typer.Option("--whisper", help="Size or .pt (default: the best here).")
    ] = None,
    model: Annotated[str, typer.Option("--model", "-n", help="The separator.")] = "default",
    audio: Annotated[
        str, typer.Option(help="What Whisper hears: of mixture, vocals, blend; commas.")
    ] = "mixture,vocals",
    segmentation: Annotated[
        str, typer.Option(help="Of whisper, rms-vad; commas.")
    ] = "whisper,rms-vad",
    by_default: Annotated[
        bool, typer.Option(help="Also as `separate lyrics` does it with this Whisper.")
    ] = True,
    true_stem: Annotated[
        bool, typer.Option(help="The true vocal stem too, where it is known.")
    ] = True,
    blend_db: Annotated[float, typer.Option("--blend_db", "--blend-db")] = -12.0,
    language: Annotated[str | None, typer.Option(help="Default: the data's, else en.")] = None,
    beam_size: Annotated[int | None, typer.Option("--beam_size", "--beam-size")] = None,
    increment: Annotated[
        float | None,
        typer.Option("--temperature_increment_on_fallback", "--temperature-increment-on-fallback"),
    ] = None,
    song: Annotated[list[str] | None, typer.Option(help="Only this song; repeatable.")] = None,
    split: Split = None,
    dataset: DatasetName = None,
    resume: Resume = False,
    out: Out = None,
    report: Report = None,
    jobs: Jobs = 1,
    device: Device = "cpu",
    threads: Threads = None,
) -> None:
    """Score lyrics: each of what Whisper hears with each way to cut it, one Whisper model."""
    from separate.errors import DataError
    from separate.evals.data.lyrics import find_lyrics_songs
    from separate.evals.metrics.wer import require_alt_eval
    from separate.evals.tasks.lyrics import DEFAULT, TRUE, LyricsEval, Way, evaluate_lyrics
    from separate.insides import model_cards
    from separate.lyrics.settings import LyricsSettings

    options.check_resume(resume, out)
    require_alt_eval()
    songs = find_lyrics_songs(path, split)
    if song:
        songs = [item for item in songs if item.name in song]
        if not songs:
            raise DataError(f"{path}: holds no song {', '.join(song)} with lyrics")
    heard = options.split_list(audio) or []
    cuts = options.split_list(segmentation) or []
    ways = [Way(name, cut) for name in heard for cut in cuts]
    if by_default:
        ways.append(DEFAULT)
    if true_stem and any(item.path.is_dir() for item in songs):
        ways += [Way("vocals", cut, TRUE) for cut in cuts]
    settings = LyricsSettings(
        whisper=whisper,
        model=model,
        language=language,
        blend_db=blend_db,
        beam_size=beam_size,
        temperature_increment_on_fallback=increment,
        device=device,
        threads=threads,
    )
    for way in ways:  # unknown names fail here, not after the first separation
        LyricsSettings(audio=way.audio, segmentation=way.segmentation)
    name, split = options.dataset_name(path, split)
    trained_on = tuple(entry for card in model_cards(model) for entry in card.trained_on)
    task = LyricsEval(settings, tuple(ways), dataset or name, split, trained_on)
    with options.progress(f"{len(songs)} songs") as on_progress:
        result = evaluate_lyrics(
            songs, task, out=out, resume=resume, jobs=jobs, on_progress=on_progress
        )
    result = options.finish(result, out)
    if report is not None:
        from separate.evals.report.lyrics_page import write_lyrics_page

        typer.echo(str(write_lyrics_page(report, result)))
    options.exit_if_failed(result)
