"""The options of `separate run`, with their help, in the groups that the help shows.

In: nothing. Out: annotated types, one an option, for `run_command`; other commands take those that
they share.
"""

import re
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
    """A command of many options: help in sections, and `--ray` with or without an address."""

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
        """Give a `--ray` without address the word `local`."""
        end = args.index("--") if "--" in args else len(args)
        for at in range(end - 1, -1, -1):
            if args[at] == "--ray":
                given = args[at + 1] if at + 1 < end else ""
                is_address = _ADDRESS.fullmatch(given) is not None and not Path(given).exists()
                args = [*args[:at], f"--ray={given if is_address else 'local'}",
                        *args[at + 1 + is_address :]]  # fmt: skip
        return super().parse_args(ctx, args)


_ADDRESS = re.compile(r"auto|local|ray://\S+|[\w.-]+:\d{1,5}|\[[\da-fA-F:]+\]:\d{1,5}")
_WHAT, _HOW, _FILES, _WORK = "What to take out", "How", "Files", "Work"
_AUTO = "All that sounds"

Inputs = Annotated[
    list[str] | None,
    typer.Argument(metavar="INPUT...",
                   help="Sound files, videos, folders of them, or URLs (s3, gs, sftp, https)."),
]  # fmt: skip
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
NotLike = Annotated[
    list[Path] | None,
    typer.Option("--not-like", metavar="EXAMPLE", rich_help_panel=_WHAT,
                 help="A file that sounds like what is not meant; may be repeated."),
]  # fmt: skip
Words = Annotated[
    float,
    typer.Option("--words", metavar="X", rich_help_panel=_WHAT,
                 help="Weight of -q against --like, 0 to 1."),
]  # fmt: skip
Firmness = Annotated[
    float,
    typer.Option("--firmness", metavar="X", rich_help_panel=_WHAT,
                 help="How firmly --not takes out, 0 to 10."),
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
Auto = Annotated[
    bool,
    typer.Option("--auto", rich_help_panel=_AUTO,
                 help="Everything that sounds, as a tree of folders after AudioSet's ontology."),
]  # fmt: skip
Levels = Annotated[
    str | None,
    typer.Option("--levels", metavar="N,N", rich_help_panel=_AUTO,
                 help="Of the tree, from 1 (wide) to 6 (fine); default 1,2,3."),
]  # fmt: skip
Threshold = Annotated[
    float | None,
    typer.Option("--threshold", metavar="X", rich_help_panel=_AUTO,
                 help="Likelihood from which a source sounds; default 0.2."),
]  # fmt: skip
MaxSources = Annotated[
    int | None,
    typer.Option("--max-sources", metavar="N", rich_help_panel=_AUTO,
                 help="At most so many, the likeliest; default 12."),
]  # fmt: skip
Tagger = Annotated[
    str | None,
    typer.Option("--tagger", metavar="NAME", rich_help_panel=_AUTO,
                 help="embedded (default), efficientat-mn04, or the path of a .pt file."),
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
Start = Annotated[
    str | None,
    typer.Option("--start", metavar="TIME", rich_help_panel=_FILES,
                 help="Begin there: 83.5, 1:23.5 or 1:02:03."),
]  # fmt: skip
End = Annotated[
    str | None,
    typer.Option("--end", metavar="TIME", rich_help_panel=_FILES, help="End there."),
]  # fmt: skip
Out = Annotated[
    str,
    typer.Option("--out", "-o", metavar="DIR", rich_help_panel=_FILES,
                 help="Output folder, or a URL (s3, gs, sftp)."),
]  # fmt: skip
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
Device = Annotated[
    str, typer.Option("--device", "-d", rich_help_panel=_WORK, help="cpu, cuda, cuda:1 or mps.")
]
Jobs = Annotated[
    int | None,
    typer.Option("--jobs", "-j", metavar="N", rich_help_panel=_WORK,
                 help="Files at once: 1, and with --ray all that the cluster has room for."),
]  # fmt: skip
Ray = Annotated[
    str | None,
    typer.Option("--ray", metavar="[ADDRESS]", rich_help_panel=_WORK,
                 help="Work on a Ray cluster (HOST:PORT or auto); without address on a local one."),
]  # fmt: skip
GpusPerWorker = Annotated[
    float,
    typer.Option("--gpus-per-worker", metavar="X", rich_help_panel=_WORK,
                 help="GPUs of each worker on Ray, for example 1 or 0.5."),
]  # fmt: skip
MaxFetchGb = Annotated[
    float,
    typer.Option("--max-fetch-gb", metavar="X", rich_help_panel=_WORK,
                 help="Largest remote input that is fetched to the local disk."),
]  # fmt: skip
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
