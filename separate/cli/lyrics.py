"""`separate lyrics`: transcribe what is sung, with times.

Whisper's flags keep their names, with underscores and with hyphens. Modules that import torch are
imported inside the functions.
"""

from functools import partial
from pathlib import Path
from typing import Annotated, Any

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
    Overwrite,
    Ray,
    Resume,
    Start,
    Threads,
)

_what = partial(typer.Option, rich_help_panel="What is transcribed")
_file = partial(typer.Option, rich_help_panel="Files")


def _whisper(name: str, **more: Any) -> Any:
    """Return an option of Whisper by its own name, with hyphens too."""
    names = dict.fromkeys((f"--{name}", f"--{name.replace('_', '-')}"))
    return typer.Option(*names, rich_help_panel="Whisper", **more)


_FORMATS = (
    "txt, lrc, elrc (words), srt, vtt, json, tsv, ass (karaoke), all; several with commas or"
    " repeated (default: txt,lrc,json)."
)
Out = Annotated[
    str,
    _file("--out", "-o", "--output_dir", "--output-dir", metavar="DIR",
          help="Output folder, or a URL."),
]  # fmt: skip
Formats = Annotated[
    list[str] | None, _file("--output_format", "--output-format", "-f", help=_FORMATS)
]

_SIZE = "Size (base, tiny.en, large-v3...) or a .pt file (default: the best that is installed)."
_INCREMENT = (
    "Added to the temperature when a window is decoded again after a failure; 0: never (default:"
    " 0.2 with --segmentation whisper, else never)."
)
_CONDITION = (
    "True: the text of a segment is the prompt of the next (default: True with --segmentation"
    " whisper, else False)."
)
_WORDS = "Times of words, True or False (default: True if a format shows words)."
Whisper = Annotated[str | None, _whisper("whisper", metavar="NAME", help=_SIZE)]
Language = Annotated[
    str | None, _whisper("language", help="Language of the lyrics (default: detected).")
]
TaskOption = Annotated[str, _whisper("task", help="transcribe, or translate to English.")]
BeamSize = Annotated[int | None, _whisper("beam_size", help="Beams (default: greedy).")]
BestOf = Annotated[int | None, _whisper("best_of", help="Candidates at temperatures above 0.")]
Patience = Annotated[float | None, _whisper("patience", help="Patience of the beam search.")]
Temperature = Annotated[float, _whisper("temperature", help="0: the likeliest token.")]
Increment = Annotated[float | None, _whisper("temperature_increment_on_fallback", help=_INCREMENT)]
Prompt = Annotated[
    str | None, _whisper("initial_prompt", help="Words that are likely: names, spelling.")
]
Condition = Annotated[
    str | None, _whisper("condition_on_previous_text", metavar="BOOL", help=_CONDITION)
]
WordTimes = Annotated[str | None, _whisper("word_timestamps", metavar="BOOL", help=_WORDS)]
CompressionRatio = Annotated[
    float, _whisper("compression_ratio_threshold", help="Above it a window is decoded again.")
]
LogProb = Annotated[
    float, _whisper("logprob_threshold", help="Below it a window is decoded again.")
]
NoSpeech = Annotated[
    float, _whisper("no_speech_threshold", help="Above it a window counts as silent.")
]

_AUDIO = "Input of Whisper: mixture, vocals, blend, or auto (by Whisper's size)."
_BLEND = "Level of the accompaniment beside the vocals in a blend."
_SEGMENTATION = "rms-vad (by the level of the vocals), whisper (30 s windows), or auto (by size)."
_LINES = "Times of the lines, if known: .json, .lrc or .srt, or a folder of such files."
_VOCALS = "Use separated vocals of any tool: DIR/TRACK/vocals.*."
Model = Annotated[
    str,
    _what("--model", "--name", "-n", metavar="NAME", help="The separator, by name or path."),
]
Audio = Annotated[str, _what("--audio", help=_AUDIO)]
BlendDb = Annotated[float, _what("--blend_db", "--blend-db", metavar="DB", help=_BLEND)]
Segmentation = Annotated[str, _what("--segmentation", help=_SEGMENTATION)]
Lines = Annotated[Path | None, _what("--lines", metavar="FILE", help=_LINES)]
Concatenate = Annotated[
    bool,
    _what("--concatenate/--no-concatenate", help="With --lines: join neighbouring lines."),
]
Stems = Annotated[Path | None, _what("--stems", metavar="DIR", help=_VOCALS)]
Guards = Annotated[
    bool,
    _what("--guards/--no-guards", help="Drop text that was not sung; the JSON gives the reasons."),
]


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
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Transcribe what is sung: DIR/<track>.txt, .lrc, .json and other formats."""
    from separate.cli.batch import batch_options, device_of, seconds_of
    from separate.cli.screen import show_batch
    from separate.lyrics.batch import make_lyrics_job
    from separate.lyrics.settings import GuardSettings, LyricsSettings, ShortFormSettings

    given = batch_options(inputs, out, jobs, ray, gpus_per_worker, max_fetch_gb, resume, overwrite)
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
        remark = (
            f"Whisper: {found.stem.removeprefix('whisper-')}, the best that is installed ({found})"
        )
    show_batch(given, job, "transcribing", json=json, remark=remark)


lyrics_app = typer.Typer(
    add_completion=False, context_settings={"help_option_names": ["-h", "--help"]}
)
lyrics_app.command("lyrics", cls=BatchCommand)(lyrics)


def _bool(flag: str, text: str | None) -> bool | None:
    """Read True or False as Whisper does; None stays None."""
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
