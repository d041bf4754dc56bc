"""`separate lyrics`: transcribe what is sung, with times.

Whisper's flags keep their names, with underscores and with hyphens. Modules that import torch are
imported inside the functions.
"""

import logging
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
    Stream,
    Threads,
)

_what = partial(typer.Option, rich_help_panel="What is transcribed")
_file = partial(typer.Option, rich_help_panel="Files")


def _whisper(name: str, **more: Any) -> Any:
    """Return an option of Whisper by its own name, with hyphens too."""
    names = dict.fromkeys((f"--{name}", f"--{name.replace('_', '-')}"))
    return typer.Option(*names, rich_help_panel="Whisper", **more)


_LATEST = 1e7  # seconds: after the end of every file
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

_CARRY = "True: the prompt stands before every window, not before the first alone."
_CLIPS = "Transcribe only these: start,end,start,end... in seconds; the last end may be missing."
_SILENCE = "Pass over silence longer than this where text is likely invented."
_HIGHLIGHT = "True: underline each word in SRT and VTT while it is sung."
_VERBOSE = "True: print each line as it is transcribed (with one job)."
LengthPenalty = Annotated[
    float | None, _whisper("length_penalty", help="Of the beam search, 0 to 1.")
]
SuppressTokens = Annotated[
    str, _whisper("suppress_tokens", metavar="IDS", help="Tokens never taken; -1: most symbols.")
]
CarryPrompt = Annotated[str, _whisper("carry_initial_prompt", metavar="BOOL", help=_CARRY)]
Clips = Annotated[str, _whisper("clip_timestamps", metavar="TIMES", help=_CLIPS)]
SilenceThreshold = Annotated[
    float | None,
    _whisper("hallucination_silence_threshold", metavar="SECONDS", help=_SILENCE),
]
Prepend = Annotated[
    str | None, _whisper("prepend_punctuations", help="Symbols that go with the next word.")
]
Append = Annotated[
    str | None, _whisper("append_punctuations", help="Symbols that go with the word before.")
]
Fp16 = Annotated[str, _whisper("fp16", metavar="BOOL", help="Half precision on a GPU.")]
Verbose = Annotated[str, _whisper("verbose", metavar="BOOL", help=_VERBOSE)]
ModelDir = Annotated[
    str | None, _whisper("model_dir", metavar="DIR", help="Look for Whisper's files there first.")
]
LineWidth = Annotated[
    int | None, _whisper("max_line_width", help="Characters of a line in SRT and VTT.")
]
LineCount = Annotated[
    int | None, _whisper("max_line_count", help="Lines of a subtitle, with --max_line_width.")
]
WordsPerLine = Annotated[int | None, _whisper("max_words_per_line", help="Words of a subtitle.")]
Highlight = Annotated[str, _whisper("highlight_words", metavar="BOOL", help=_HIGHLIGHT)]

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
    length_penalty: LengthPenalty = None,
    suppress_tokens: SuppressTokens = "-1",
    carry_initial_prompt: CarryPrompt = "False",
    clip_timestamps: Clips = "0",
    hallucination_silence_threshold: SilenceThreshold = None,
    prepend_punctuations: Prepend = None,
    append_punctuations: Append = None,
    max_line_width: LineWidth = None,
    max_line_count: LineCount = None,
    max_words_per_line: WordsPerLine = None,
    highlight_words: Highlight = "False",
    fp16: Fp16 = "True",
    verbose: Verbose = "False",
    model_dir: ModelDir = None,
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
    stream: Stream = 0,
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
    from separate.lyrics.settings import (
        GuardSettings,
        LyricsSettings,
        ShortFormSettings,
        SubtitleSettings,
    )

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
        length_penalty=length_penalty,
        suppress_tokens=suppress_tokens,
        carry_initial_prompt=bool(_bool("--carry_initial_prompt", carry_initial_prompt)),
        clips=_clips(clip_timestamps),
        hallucination_silence_threshold=hallucination_silence_threshold,
        prepend_punctuations=_or(prepend_punctuations, LyricsSettings.prepend_punctuations),
        append_punctuations=_or(append_punctuations, LyricsSettings.append_punctuations),
        fp16=bool(_bool("--fp16", fp16)),
        model_dir=model_dir,
        device=device_of(device, gpus_per_worker),
        threads=threads,
        start=seconds_of("--start", start) or 0.0,
        end=seconds_of("--end", end),
        stream=stream,
        formats=_formats(output_format),
        short_form=ShortFormSettings(is_concatenated=concatenate),
        guards=GuardSettings(is_on=guards),
        subtitles=SubtitleSettings(
            max_line_width,
            max_line_count,
            max_words_per_line,
            bool(_bool("--highlight_words", highlight_words)),
        ),
    )
    if _bool("--verbose", verbose):
        _print_lines()
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


def _or(given: str | None, default: str) -> str:
    """Return what was given, also an empty text."""
    return default if given is None else given


def _clips(text: str) -> tuple[tuple[float, float], ...]:
    """Read --clip_timestamps; "0", Whisper's default, is the whole file."""
    from separate.errors import SettingsError

    try:
        times = [float(part) for part in text.split(",") if part.strip()]
    except ValueError as error:
        raise SettingsError(
            f"--clip_timestamps {text!r}: give start,end,start,end... in seconds"
        ) from error
    if times in ([], [0.0]):
        return ()
    ends = [*times[1::2], *([_LATEST] if len(times) % 2 else [])]
    return tuple(zip(times[::2], ends, strict=True))


def _print_lines() -> None:
    """Print the lines that the transcription logs."""

    class Printer(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            typer.echo(self.format(record), err=True)

    log = logging.getLogger("separate.lyrics")
    log.addHandler(Printer())
    log.setLevel(logging.INFO)


def _formats(given: list[str] | None) -> tuple[str, ...]:
    from separate.lyrics.settings import FORMATS, LyricsSettings

    names = [part.strip().lower() for text in given or () for part in text.split(",")]
    names = list(dict.fromkeys(filter(None, names)))
    if "all" in names:
        return FORMATS
    return tuple(names) if given is not None else LyricsSettings().formats
