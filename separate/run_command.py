"""`separate run`: the main job on the command line.

In: inputs and options. Out: one call of the library, lines on the terminal and an exit code. Heavy
imports stand inside the functions: they happen after the arguments are parsed.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from separate.batch_run import BatchResult, OnRecord, Progress
    from separate.settings import Settings


def _list_models(wanted: bool) -> None:
    if wanted:
        from separate.models_command import print_models

        print_models()
        raise typer.Exit()


_WHAT, _HOW, _FILES, _WORK = "What to take out", "How", "Files", "Work"

Inputs = Annotated[
    list[Path] | None,
    typer.Argument(metavar="INPUT...", help="Sound files, videos, or folders of them."),
]
Queries = Annotated[
    list[str] | None,
    typer.Option("--query", "-q", metavar="TEXT", rich_help_panel=_WHAT,
                 help="What to take out, in words; may be repeated."),
]  # fmt: skip
Stems = Annotated[
    bool,
    typer.Option("--stems", rich_help_panel=_WHAT,
                 help="Vocals, drums, bass and other, which sum to the mixture."),
]  # fmt: skip
TwoStems = Annotated[
    str | None,
    typer.Option("--two-stems", metavar="STEM", rich_help_panel=_WHAT,
                 help="STEM and the rest of it, called no_STEM."),
]  # fmt: skip
Like = Annotated[
    list[Path] | None,
    typer.Option("--like", metavar="EXAMPLE", rich_help_panel=_WHAT,
                 help="A file that sounds like it; alone or with one -q; may be repeated."),
]  # fmt: skip
Not = Annotated[
    list[str] | None,
    typer.Option("--not", metavar="TEXT", rich_help_panel=_WHAT,
                 help="What is not meant, for every query; may be repeated."),
]  # fmt: skip
SumToMix = Annotated[
    bool | None,
    typer.Option("--sum-to-mix/--no-sum-to-mix", rich_help_panel=_WHAT,
                 help="Several queries share out the mixture (default: only --stems alone does)."),
]  # fmt: skip
Residual = Annotated[
    bool | None,
    typer.Option("--residual/--no-residual", rich_help_panel=_WHAT,
                 help="Write what no query claims (default: unless --stems share out all)."),
]  # fmt: skip
Start = Annotated[
    str | None,
    typer.Option("--start", metavar="TIME", rich_help_panel=_WHAT,
                 help="Begin there: 83.5, 1:23.5 or 1:02:03."),
]  # fmt: skip
End = Annotated[
    str | None,
    typer.Option("--end", metavar="TIME", rich_help_panel=_WHAT, help="End there."),
]  # fmt: skip
Model = Annotated[
    str,
    typer.Option("--model", "--name", "-n", metavar="NAME", rich_help_panel=_HOW,
                 help="Model, by name or path; a,b averages the masks of two."),
]  # fmt: skip
QueryNet = Annotated[
    str | None,
    typer.Option("--query-net", metavar="NAME", rich_help_panel=_HOW,
                 help="Encoder of the queries (default: the model's own)."),
]  # fmt: skip
ListModels = Annotated[
    bool,
    typer.Option("--list-models", is_eager=True, callback=_list_models, rich_help_panel=_HOW,
                 help="List the models and exit."),
]  # fmt: skip
Segment = Annotated[
    float | None,
    typer.Option("--segment", metavar="SECONDS", rich_help_panel=_HOW,
                 help="Length of the windows (default: the model's own)."),
]  # fmt: skip
Overlap = Annotated[
    float | None,
    typer.Option("--overlap", metavar="PART", rich_help_panel=_HOW,
                 help="Part of a window that is cross-faded, 0 to 0.5."),
]  # fmt: skip
Shifts = Annotated[
    int,
    typer.Option("--shifts", metavar="N", rich_help_panel=_HOW,
                 help="Average over N more positions: better, and N times slower."),
]  # fmt: skip
Strength = Annotated[
    float,
    typer.Option("--strength", metavar="X", rich_help_panel=_HOW,
                 help="Above 1: cleaner targets with more holes; below 1: softer."),
]  # fmt: skip
Device = Annotated[
    str, typer.Option("--device", "-d", rich_help_panel=_HOW, help="cpu, cuda, cuda:1 or mps.")
]
Out = Annotated[
    Path,
    typer.Option("--out", "-o", metavar="DIR", rich_help_panel=_FILES, help="Output folder."),
]
Filename = Annotated[
    str,
    typer.Option("--filename", metavar="PATTERN", rich_help_panel=_FILES,
                 help="Path of each file in it, of {track}, {stem} and {ext}."),
]  # fmt: skip
Format = Annotated[
    str | None,
    typer.Option("--format", rich_help_panel=_FILES, help="wav (default), flac, ogg or mp3."),
]
Mp3 = Annotated[bool, typer.Option("--mp3", rich_help_panel=_FILES, help="Like --format mp3.")]
Flac = Annotated[bool, typer.Option("--flac", rich_help_panel=_FILES, help="Like --format flac.")]
Mp3Bitrate = Annotated[
    int, typer.Option("--mp3-bitrate", metavar="KBIT", rich_help_panel=_FILES, help="64 to 320.")
]
Int24 = Annotated[
    bool,
    typer.Option("--int24", rich_help_panel=_FILES,
                 help="24 bits (default: the depth of the input)."),
]  # fmt: skip
Float32 = Annotated[
    bool, typer.Option("--float32", rich_help_panel=_FILES, help="32-bit floating point.")
]
ClipMode = Annotated[
    str,
    typer.Option("--clip-mode", rich_help_panel=_FILES,
                 help="Beyond full scale: clamp (cut off), rescale (one gain for all) or none."),
]  # fmt: skip
Jobs = Annotated[
    int, typer.Option("--jobs", "-j", metavar="N", rich_help_panel=_WORK, help="Files at once.")
]
Threads = Annotated[
    int | None,
    typer.Option("--threads", metavar="N", rich_help_panel=_WORK, help="Of each process."),
]
Resume = Annotated[
    bool,
    typer.Option("--resume", rich_help_panel=_WORK,
                 help="Skip files whose results are there, whole and made the same way."),
]  # fmt: skip
Json = Annotated[
    bool,
    typer.Option("--json", rich_help_panel=_WORK,
                 help="Print the record of each file as a line of JSON."),
]  # fmt: skip


def run(
    inputs: Inputs = None,
    query: Queries = None,
    stems: Stems = False,
    two_stems: TwoStems = None,
    like: Like = None,
    exclude: Not = None,
    sum_to_mix: SumToMix = None,
    residual: Residual = None,
    start: Start = None,
    end: End = None,
    model: Model = "default",
    query_net: QueryNet = None,
    list_models: ListModels = False,
    segment: Segment = None,
    overlap: Overlap = None,
    shifts: Shifts = 0,
    strength: Strength = 1.0,
    device: Device = "cpu",
    out: Out = Path("separated"),
    filename: Filename = "{track}/{stem}.{ext}",
    format: Format = None,
    mp3: Mp3 = False,
    flac: Flac = False,
    mp3_bitrate: Mp3Bitrate = 320,
    int24: Int24 = False,
    float32: Float32 = False,
    clip_mode: ClipMode = "clamp",
    jobs: Jobs = 1,
    threads: Threads = None,
    resume: Resume = False,
    json: Json = False,
) -> None:
    """Take sources out of recordings: DIR/<track>/<query>.wav and DIR/<track>/residual.wav."""
    from separate.errors import SettingsError
    from separate.settings import Settings

    if not inputs:
        raise SettingsError("no input: name at least one file or folder")
    settings = Settings(
        model=model,
        query_net=query_net,
        device=device,
        threads=threads,
        segment=segment,
        overlap=overlap,
        shifts=shifts,
        strength=strength,
        start=seconds_of("--start", start) or 0.0,
        end=seconds_of("--end", end),
        format=_format(format, mp3, flac),
        subtype=_subtype(int24, float32),
        mp3_bitrate=mp3_bitrate,
        clip_mode=clip_mode,
        filename=filename,
    )
    asked = {
        "texts": query or (),
        "stems": stems,
        "two_stems": two_stems,
        "like": like or (),
        "exclude": exclude or (),
        "residual": residual,
        "share": sum_to_mix,
    }
    _run(inputs, out, settings, asked, jobs=jobs, resume=resume, json=json)


def _run(
    inputs: list[Path],
    out: Path,
    settings: "Settings",
    asked: dict[str, Any],
    *,
    jobs: int,
    resume: bool,
    json: bool,
) -> None:
    from separate.batch import run_batch
    from separate.batch_screen import show_batch
    from separate.task import make_task

    task = make_task(out, settings, **asked)

    def work(on_progress: "Progress", on_record: "OnRecord") -> "BatchResult":
        return run_batch(
            inputs, task, jobs=jobs, resume=resume, on_progress=on_progress, on_record=on_record
        )

    show_batch(work, "separating", out, json=json)


def seconds_of(flag: str, text: str | None) -> float | None:
    """Read seconds, m:s or h:m:s."""
    from separate.errors import SettingsError

    if text is None:
        return None
    try:
        parts = [float(part) for part in text.split(":")]
    except ValueError:
        parts = []
    if not 1 <= len(parts) <= 3 or any(part < 0 for part in parts):
        raise SettingsError(f"{flag} {text!r}: give seconds (83.5), 1:23.5 or 1:02:03")
    return sum(part * 60**power for power, part in enumerate(reversed(parts)))


def _format(format: str | None, mp3: bool, flac: bool) -> str:
    from separate.errors import SettingsError

    named = {name for name, wanted in (("mp3", mp3), ("flac", flac), (format, format)) if wanted}
    if len(named) > 1:
        raise SettingsError("several formats are named; take one of --format, --mp3 and --flac")
    return str(named.pop()).lower() if named else "wav"


def _subtype(int24: bool, float32: bool) -> str | None:
    from separate.errors import SettingsError

    if int24 and float32:
        raise SettingsError("--int24 and --float32 exclude each other; take one")
    return "PCM_24" if int24 else "FLOAT" if float32 else None
