"""`separate lyrics`: what is sung, as text with times.

In: inputs and options; Whisper's flags keep their names, with underscores and with hyphens. Out:
files, lines on the terminal and an exit code. Heavy imports stand inside the functions.
"""

from pathlib import Path
from typing import Annotated

import typer

from separate.cli.options import (
    BatchCommand,
    Device,
    End,
    GpusPerWorker,
    Inputs,
    Jobs,
    Json,
    MaxFetchGb,
    Ray,
    Resume,
    Start,
    Threads,
)

_WHAT, _WHISPER, _FILES = "What is heard", "Whisper", "Files"

Out = Annotated[
    str,
    typer.Option("--out", "-o", "--output_dir", "--output-dir", metavar="DIR",
                 rich_help_panel=_FILES, help="Output folder, or a URL."),
]  # fmt: skip
Formats = Annotated[
    list[str] | None,
    typer.Option("--output_format", "--output-format", "-f", rich_help_panel=_FILES,
                 help="txt, lrc, elrc (words), srt, vtt, json, tsv, ass (karaoke), all;"
                 " several with commas or repeated (default: txt,lrc,json)."),
]  # fmt: skip
Whisper = Annotated[
    str | None,
    typer.Option("--whisper", metavar="NAME", rich_help_panel=_WHISPER,
                 help="Size (base, tiny.en, large-v3...) or a .pt file (default: the best here)."),
]  # fmt: skip
Language = Annotated[
    str | None,
    typer.Option("--language", rich_help_panel=_WHISPER,
                 help="Of the singing (default: found out)."),
]  # fmt: skip
TaskOption = Annotated[
    str,
    typer.Option("--task", rich_help_panel=_WHISPER, help="transcribe, or translate to English."),
]
BeamSize = Annotated[
    int | None,
    typer.Option("--beam_size", "--beam-size", rich_help_panel=_WHISPER,
                 help="Beams (default: greedy)."),
]  # fmt: skip
BestOf = Annotated[
    int | None,
    typer.Option("--best_of", "--best-of", rich_help_panel=_WHISPER,
                 help="Candidates when tokens are drawn."),
]  # fmt: skip
Patience = Annotated[
    float | None, typer.Option("--patience", rich_help_panel=_WHISPER, help="Of the beams.")
]
Temperature = Annotated[
    float,
    typer.Option("--temperature", rich_help_panel=_WHISPER, help="0: the likeliest token."),
]
Increment = Annotated[
    float | None,
    typer.Option("--temperature_increment_on_fallback", "--temperature-increment-on-fallback",
                 rich_help_panel=_WHISPER,
                 help="A window that fails is tried again with so much more; 0: never (default:"
                 " 0.2 in Whisper's own windows, else never)."),
]  # fmt: skip
Prompt = Annotated[
    str | None,
    typer.Option("--initial_prompt", "--initial-prompt", rich_help_panel=_WHISPER,
                 help="Words that are likely: names, spelling."),
]  # fmt: skip
Condition = Annotated[
    str | None,
    typer.Option("--condition_on_previous_text", "--condition-on-previous-text",
                 metavar="BOOL", rich_help_panel=_WHISPER,
                 help="True: a window's or segment's text is the next one's prompt (default:"
                 " True in Whisper's own windows, else False)."),
]  # fmt: skip
WordTimes = Annotated[
    str | None,
    typer.Option("--word_timestamps", "--word-timestamps", metavar="BOOL",
                 rich_help_panel=_WHISPER,
                 help="True or False (default: if a format shows words)."),
]  # fmt: skip
CompressionRatio = Annotated[
    float,
    typer.Option("--compression_ratio_threshold", "--compression-ratio-threshold",
                 rich_help_panel=_WHISPER, help="Fall back above."),
]  # fmt: skip
LogProb = Annotated[
    float,
    typer.Option("--logprob_threshold", "--logprob-threshold", rich_help_panel=_WHISPER,
                 help="Fall back below."),
]  # fmt: skip
NoSpeech = Annotated[
    float,
    typer.Option("--no_speech_threshold", "--no-speech-threshold", rich_help_panel=_WHISPER,
                 help="A window is silent above."),
]  # fmt: skip
Model = Annotated[
    str,
    typer.Option("--model", "--name", "-n", metavar="NAME", rich_help_panel=_WHAT,
                 help="The separator, by name or path."),
]  # fmt: skip
Audio = Annotated[
    str,
    typer.Option("--audio", rich_help_panel=_WHAT,
                 help="What Whisper hears: mixture, vocals, blend, or auto (by its size)."),
]  # fmt: skip
BlendDb = Annotated[
    float,
    typer.Option("--blend_db", "--blend-db", metavar="DB", rich_help_panel=_WHAT,
                 help="The rest beside the vocals in a blend."),
]  # fmt: skip
Segmentation = Annotated[
    str,
    typer.Option("--segmentation", rich_help_panel=_WHAT,
                 help="rms-vad (of the vocals), whisper: its own windows, or auto (by its size)."),
]  # fmt: skip
Lines = Annotated[
    Path | None,
    typer.Option("--lines", metavar="FILE", rich_help_panel=_WHAT,
                 help="Line times, if known: .json, .lrc or .srt, or a folder of them."),
]  # fmt: skip
Concatenate = Annotated[
    bool,
    typer.Option("--concatenate/--no-concatenate", rich_help_panel=_WHAT,
                 help="With --lines: neighbouring lines in one piece."),
]  # fmt: skip
Stems = Annotated[
    Path | None,
    typer.Option("--stems", metavar="DIR", rich_help_panel=_WHAT,
                 help="Take vocals from there: DIR/TRACK/vocals.* of any tool."),
]  # fmt: skip
Guards = Annotated[
    bool,
    typer.Option("--guards/--no-guards", rich_help_panel=_WHAT,
                 help="Drop what was not sung; the JSON says why."),
]  # fmt: skip


def lyrics(
    inputs: Inputs = None,
    out: Out = "lyrics",
    output_format: Formats = None,
    whisper: Whisper = None,
    language: Language = None,
    task: TaskOption = "transcribe",
    beam_size: BeamSize = None,
    best_of: BestOf = None,
    patience: Patience = None,
    temperature: Temperature = 0.0,
    temperature_increment_on_fallback: Increment = None,
    initial_prompt: Prompt = None,
    condition_on_previous_text: Condition = None,
    word_timestamps: WordTimes = None,
    compression_ratio_threshold: CompressionRatio = 2.4,
    logprob_threshold: LogProb = -1.0,
    no_speech_threshold: NoSpeech = 0.6,
    model: Model = "default",
    audio: Audio = "auto",
    blend_db: BlendDb = -12.0,
    segmentation: Segmentation = "auto",
    lines: Lines = None,
    concatenate: Concatenate = True,
    stems: Stems = None,
    guards: Guards = True,
    start: Start = None,
    end: End = None,
    device: Device = "cpu",
    jobs: Jobs = None,
    threads: Threads = None,
    ray: Ray = None,
    gpus_per_worker: GpusPerWorker = 0.0,
    max_fetch_gb: MaxFetchGb = 8.0,
    resume: Resume = False,
    json: Json = False,
) -> None:
    """Write down what is sung: DIR/<track>.txt, .lrc, .json and other formats."""
    from separate.cli.batch import batch_options, device_of, seconds_of
    from separate.cli.screen import show_batch
    from separate.lyrics.batch import make_lyrics_job
    from separate.lyrics.settings import GuardSettings, LyricsSettings, ShortFormSettings

    given = batch_options(inputs, out, jobs, ray, gpus_per_worker, max_fetch_gb, resume)
    settings = LyricsSettings(
        whisper=whisper,
        model=model,
        audio=audio,
        blend_db=blend_db,
        segmentation=segmentation,
        language=language,
        task=task,
        temperature=temperature,
        temperature_increment_on_fallback=temperature_increment_on_fallback,
        beam_size=beam_size,
        best_of=best_of,
        patience=patience,
        initial_prompt=initial_prompt,
        condition_on_previous_text=_bool(
            "--condition_on_previous_text", condition_on_previous_text
        ),
        word_timestamps=_bool("--word_timestamps", word_timestamps),
        compression_ratio_threshold=compression_ratio_threshold,
        logprob_threshold=logprob_threshold,
        no_speech_threshold=no_speech_threshold,
        device=device_of(device, gpus_per_worker),
        threads=threads,
        start=seconds_of("--start", start) or 0.0,
        end=seconds_of("--end", end),
        formats=_formats(output_format),
        short_form=ShortFormSettings(is_concatenated=concatenate),
        guards=GuardSettings(is_on=guards),
    )
    job = make_lyrics_job(settings, given.folder, stems=stems, line_times=lines)
    remark = ""
    if whisper is None:
        found = Path(str(job.settings.whisper))
        remark = f"Whisper: {found.stem.removeprefix('whisper-')}, the best here ({found})"
    show_batch(given, job, "writing down", json=json, remark=remark)


lyrics_app = typer.Typer(
    add_completion=False, context_settings={"help_option_names": ["-h", "--help"]}
)
lyrics_app.command("lyrics", cls=BatchCommand)(lyrics)


def _bool(flag: str, text: str | None) -> bool | None:
    """Read Whisper's True and False; None is left to the settings."""
    from separate.errors import SettingsError

    if text is None:
        return None
    known = {"true": True, "false": False, "1": True, "0": False, "yes": True, "no": False}
    if text.lower() not in known:
        raise SettingsError(f"{flag} {text!r}: give True or False")
    return known[text.lower()]


def _formats(given: list[str] | None) -> tuple[str, ...]:
    from separate.lyrics.settings import FORMATS, LyricsSettings

    names = [part.strip().lower() for text in given or () for part in text.split(",")]
    names = list(dict.fromkeys(filter(None, names)))
    if "all" in names:
        return FORMATS
    return tuple(names) if given is not None else LyricsSettings().formats
