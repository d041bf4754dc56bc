"""`separate app`: start the web server.

Modules that import torch are imported inside the command, so that help is printed at once.
"""

import signal
from pathlib import Path
from typing import Annotated, NoReturn

import typer

app_app = typer.Typer(add_completion=False, help="Open the web page.")

_WHO, _LIMITS, _WORK = "Who and where", "Limits", "Work"


@app_app.command()
def app_command(
    host: Annotated[
        str, typer.Option(rich_help_panel=_WHO, help="Address; 0.0.0.0 for all of the network.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(rich_help_panel=_WHO, help="0 takes a free one.")] = 7860,
    auth: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|env",
            rich_help_panel=_WHO,
            help="Ask for a login: a file with name:password lines, or env for $SEPARATE_AUTH.",
        ),
    ] = None,
    root_path: Annotated[
        str,
        typer.Option(metavar="/PATH", rich_help_panel=_WHO, help="Where a proxy puts the page."),
    ] = "",
    max_minutes: Annotated[
        float, typer.Option(rich_help_panel=_LIMITS, help="Of a recording, as stereo at 48 kHz.")
    ] = 20.0,
    max_upload_mb: Annotated[float, typer.Option(rich_help_panel=_LIMITS, help="Of a file.")] = 500,
    keep_minutes: Annotated[
        float,
        typer.Option(rich_help_panel=_LIMITS, help="Files are deleted so long after their use."),
    ] = 60.0,
    temporary: Annotated[
        Path | None,
        typer.Option(metavar="DIR", rich_help_panel=_LIMITS, help="Folder of uploads and results."),
    ] = None,
    max_jobs: Annotated[
        int, typer.Option(rich_help_panel=_LIMITS, help="Of a session, waiting or running.")
    ] = 50,
    max_files_gb: Annotated[
        float, typer.Option(rich_help_panel=_LIMITS, help="Of all files; a quarter per address.")
    ] = 50,
    concurrency: Annotated[
        int, typer.Option(rich_help_panel=_WORK, help="Files at once, a process each.")
    ] = 1,
    threads: Annotated[
        int | None, typer.Option(rich_help_panel=_WORK, help="Of each process.")
    ] = None,
    model: Annotated[
        str, typer.Option("--model", "--name", "-n", rich_help_panel=_WORK, help="Name or path.")
    ] = "default",
    device: Annotated[
        str, typer.Option("--device", "-d", rich_help_panel=_WORK, help="cpu, cuda or mps.")
    ] = "cpu",
) -> None:
    """Serve a page on which anybody can separate recordings; Ctrl-C ends it."""
    from separate.app.config import ServeConfig
    from separate.app.http.auth import read_accounts
    from separate.app.http.server import run_server
    from separate.insides import model_cards
    from separate.settings import Settings

    config = ServeConfig(
        host=host,
        port=port,
        accounts=read_accounts(auth),
        max_minutes=max_minutes,
        max_upload_mb=max_upload_mb,
        concurrency=concurrency,
        root_path=root_path.rstrip("/"),
        keep_minutes=keep_minutes,
        folder=temporary,
        max_jobs=max_jobs,
        max_files_gb=max_files_gb,
        settings=Settings(model=model, device=device, threads=threads),
    )
    model_cards(config.settings.model)  # a missing model fails now
    signal.signal(signal.SIGTERM, _terminated)
    run_server(config)


def _terminated(number: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt  # as Ctrl-C: files are deleted on the way out
