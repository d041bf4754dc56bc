"""Options of `separate run`, each an annotated type, in the panels that the help shows.

Other commands import the options that they share with it.
"""

import re
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand


def _list_models(wanted: bool) -> None:
    if wanted:
        from separate.cli.models import print_models

        print_models()
        raise typer.Exit()


class BatchCommand(TyperCommand):
    """A command whose help has sections, and whose `--ray` takes an address or none."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write a section for each panel of options, in their order."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None:
                kind = "Arguments" if param.param_type_name == "argument" else "Options"
                panel = getattr(param, "rich_help_panel", None) or kind
                sections.setdefault(panel, []).append(record)
        for title, rows in sections.items():
            with formatter.section(title):
                formatter.write_dl(rows)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Insert the address `local` after a `--ray` without one."""
        end = args.index("--") if "--" in args else len(args)
        for at in range(end - 1, -1, -1):
            if args[at] == "--ray":
                given = args[at + 1] if at + 1 < end else ""
                is_address = _ADDRESS.fullmatch(given) is not None and not Path(given).exists()
                args = [*args[:at], f"--ray={given if is_address else 'local'}",
                        *args[at + 1 + is_address :]]  # fmt: skip
        return super().parse_args(ctx, args)


_ADDRESS = re.compile(r"auto|local|ray://\S+|[\w.-]+:\d{1,5}|\[[\da-fA-F:]+\]:\d{1,5}")
_what = partial(typer.Option, rich_help_panel="What to take out")
_auto = partial(typer.Option, rich_help_panel="All that sounds")
_how = partial(typer.Option, rich_help_panel="How")
_file = partial(typer.Option, rich_help_panel="Files")
_work = partial(typer.Option, rich_help_panel="Work")
_INPUTS = "Sound files, videos, folders of them, or URLs (s3, gs, sftp, https)."

Inputs = Annotated[list[str] | None, typer.Argument(metavar="INPUT...", help=_INPUTS)]

_QUERY = "What to take out, in words; may be repeated."
_STEMS = "Vocals, drums, bass and other, which sum to the mixture."
_TWO_STEMS = "STEM and the rest of the mixture, called no_STEM."
_LIKE = "A file that sounds like the target; alone or with one -q; may be repeated."
_NOT = "What to exclude from every query, in words; may be repeated."
_NOT_LIKE = "A file that sounds like what to exclude; may be repeated."
_SUM = "Estimates of several queries sum to the mixture (default: those of --stems alone)."
_KEEP_ABSENT = "Keep the level of what was not found (default: 30 dB softer)."
_RESIDUAL = "Write the mixture without all queries (default: unless --stems sum to the mixture)."
Queries = Annotated[list[str] | None, _what("--query", "-q", metavar="TEXT", help=_QUERY)]
Stems = Annotated[bool, _what("--stems", help=_STEMS)]
TwoStems = Annotated[str | None, _what("--two-stems", metavar="STEM", help=_TWO_STEMS)]
Like = Annotated[list[Path] | None, _what("--like", metavar="EXAMPLE", help=_LIKE)]
Not = Annotated[list[str] | None, _what("--not", metavar="TEXT", help=_NOT)]
NotLike = Annotated[list[Path] | None, _what("--not-like", metavar="EXAMPLE", help=_NOT_LIKE)]
TextWeight = Annotated[
    float, _what("--words", metavar="X", help="Weight of -q against --like, 0 to 1.")
]
NegativeWeight = Annotated[
    float, _what("--firmness", metavar="X", help="Weight of --not and --not-like, 0 to 10.")
]
SumToMix = Annotated[bool | None, _what("--sum-to-mix/--no-sum-to-mix", help=_SUM)]
KeepAbsent = Annotated[bool, _what("--keep-absent", help=_KEEP_ABSENT)]
Residual = Annotated[bool | None, _what("--residual/--no-residual", help=_RESIDUAL)]

_AUTO = "Separate everything that sounds into a tree of folders by AudioSet's ontology."
_LEVELS = "Levels of the tree, from 1 (wide) to 6 (fine); default 1,2,3."
_THRESHOLD = "Likelihood from which a source counts as present; default 0.2."
_MAX_SOURCES = "Most sources, the likeliest first; default 12."
_TAGGER = "embedded (default), efficientat-mn04, or the path of a .pt file."
Auto = Annotated[bool, _auto("--auto", help=_AUTO)]
Levels = Annotated[str | None, _auto("--levels", metavar="N,N", help=_LEVELS)]
Threshold = Annotated[float | None, _auto("--threshold", metavar="X", help=_THRESHOLD)]
MaxSources = Annotated[int | None, _auto("--max-sources", metavar="N", help=_MAX_SOURCES)]
Tagger = Annotated[str | None, _auto("--tagger", metavar="NAME", help=_TAGGER)]

_MODEL = "Model, by name or path; a,b averages the estimates of two."
_QUERY_NET = "Encoder of the queries (default: the model's own)."
_SEGMENT = "Length of the segments (default: the model's own)."
_OVERLAP = "Fraction of a segment that is cross-faded, 0 to 0.5."
_SHIFTS = "Average over N further positions of the segments: better, and N times slower."
_EXPONENT = "Exponent of the masks. Above 1: fewer other sources, more holes; below 1: softer."
Model = Annotated[str, _how("--model", "--name", "-n", metavar="NAME", help=_MODEL)]
QueryNet = Annotated[str | None, _how("--query-net", metavar="NAME", help=_QUERY_NET)]
ListModels = Annotated[
    bool,
    _how("--list-models", is_eager=True, callback=_list_models, help="List the models and exit."),
]
Segment = Annotated[float | None, _how("--segment", metavar="SECONDS", help=_SEGMENT)]
Overlap = Annotated[float | None, _how("--overlap", metavar="FRACTION", help=_OVERLAP)]
Shifts = Annotated[int, _how("--shifts", metavar="N", help=_SHIFTS)]
MaskExponent = Annotated[float, _how("--strength", metavar="X", help=_EXPONENT)]

_START = "Time to start from: 83.5, 1:23.5 or 1:02:03."
_FILENAME = "Path of each file in the output folder, of {track}, {stem} and {ext}."
_OVERWRITE = "Replace existing files that no earlier run wrote."
_CLIP_MODE = "Samples beyond full scale: clamp (cut off), rescale (one gain for all files) or none."
Start = Annotated[str | None, _file("--start", metavar="TIME", help=_START)]
End = Annotated[str | None, _file("--end", metavar="TIME", help="Time to end at.")]
Stream = Annotated[
    int, _file("--stream", metavar="N", help="Audio track of a video that has several, from 0.")
]
Out = Annotated[
    str, _file("--out", "-o", metavar="DIR", help="Output folder, or a URL (s3, gs, sftp).")
]
Filename = Annotated[str, _file("--filename", metavar="PATTERN", help=_FILENAME)]
Format = Annotated[str | None, _file("--format", help="wav (default), flac, ogg or mp3.")]
Mp3 = Annotated[bool, _file("--mp3", help="Same as --format mp3.")]
Flac = Annotated[bool, _file("--flac", help="Same as --format flac.")]
Mp3Bitrate = Annotated[int, _file("--mp3-bitrate", metavar="KBIT", help="64 to 320 kbit/s.")]
Int24 = Annotated[bool, _file("--int24", help="24 bits (default: the depth of the input).")]
Float32 = Annotated[bool, _file("--float32", help="32-bit floating point.")]
ClipMode = Annotated[str, _file("--clip-mode", help=_CLIP_MODE)]
Overwrite = Annotated[bool, _file("--overwrite", help=_OVERWRITE)]

_JOBS = "Files at once: 1, or with --ray as many as fit on the cluster."
_RAY = "Run on a Ray cluster (HOST:PORT or auto); without address on a local one."
_GPUS = "GPUs of each worker on Ray, for example 1 or 0.5."
_FETCH = "Largest remote input, in GiB, that may be copied to the local disk."
_RESUME = "Skip inputs whose outputs are complete and were made with the same settings."
Device = Annotated[str, _work("--device", "-d", help="cpu, cuda, cuda:1 or mps.")]
Jobs = Annotated[int | None, _work("--jobs", "-j", metavar="N", help=_JOBS)]
Ray = Annotated[str | None, _work("--ray", metavar="[ADDRESS]", help=_RAY)]
GpusPerWorker = Annotated[float, _work("--gpus-per-worker", metavar="X", help=_GPUS)]
MaxFetchGb = Annotated[float, _work("--max-fetch-gb", metavar="X", help=_FETCH)]
Threads = Annotated[int | None, _work("--threads", metavar="N", help="Threads of each process.")]
Resume = Annotated[bool, _work("--resume", help=_RESUME)]
Json = Annotated[bool, _work("--json", help="Print the record of each file as a line of JSON.")]
