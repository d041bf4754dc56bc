"""The commands of `separate eval` and `separate bench`.

Heavy imports are inside the functions, so that help is printed without delay.
"""

from typing import Annotated

import typer

from separate.evals.cli import lyrics as lyrics_commands
from separate.evals.cli import options
from separate.evals.cli import queries as query_commands
from separate.evals.cli import results as result_commands
from separate.evals.cli import songs as song_commands
from separate.evals.cli import weak as weak_commands
from separate.evals.cli.options import Out

eval_app = typer.Typer(no_args_is_help=True, help="Score separation.")
bench_app = typer.Typer(help="Speed, memory and start time, side by side.")

eval_app.command("stems")(song_commands.stems_command)
eval_app.command("musdb")(song_commands.musdb_command)
eval_app.command("mir1k")(query_commands.mir1k_command)
eval_app.command("clips")(query_commands.clips_command)
eval_app.command("queries")(query_commands.queries_command)
eval_app.command("weak")(weak_commands.weak_command)
eval_app.command("lyrics")(lyrics_commands.lyrics_command)
eval_app.command("compare")(result_commands.compare_command)
eval_app.command("tables")(result_commands.tables_command)
eval_app.command("report")(result_commands.report_command)


@bench_app.callback(invoke_without_command=True)
def bench_command(
    context: typer.Context,
    model: Annotated[
        list[str] | None, typer.Option("--model", "-n", help="Model; repeatable.")
    ] = None,
    seconds: Annotated[float, typer.Option(min=1, help="Length of the audio.")] = 180.0,
    runs: Annotated[int, typer.Option(min=1, help="Rounds; systems alternate.")] = 3,
    threads: Annotated[int, typer.Option(min=1, help="Threads of torch.")] = 2,
    baselines: Annotated[
        bool,
        typer.Option(
            "--baselines/--no-baselines",
            "--rivals/--no-rivals",
            help="Time HDemucs, Open-Unmix and Demucs too.",
        ),
    ] = True,
    start: Annotated[bool, typer.Option(help="Measure start times.")] = True,
    memory: Annotated[bool, typer.Option("--memory", help="Measure peak memory.")] = False,
    memory_minutes: Annotated[
        str, typer.Option(help="Lengths of the files for --memory, in minutes.")
    ] = "30,180",
    out: Out = None,
) -> None:
    """Time our models and public networks: same audio, same threads, alternating runs."""
    from separate.evals.bench.run import BenchSettings, bench
    from separate.evals.bench.systems import installed_baselines, our_systems

    if context.invoked_subcommand is not None:
        return
    minutes = tuple(options.read_numbers("--memory-minutes", memory_minutes)) if memory else ()
    systems = [*our_systems(model), *(installed_baselines() if baselines else [])]
    settings = BenchSettings(seconds, runs, threads, minutes, start)
    with options.progress("bench") as on_progress:
        result = bench(systems, settings, on_progress)
    options.finish(result, out)
