"""`separate verify`: print each file of an output folder that is not as recorded."""

import json as json_module
from typing import Annotated

import typer

verify_app = typer.Typer(
    add_completion=False, context_settings={"help_option_names": ["-h", "--help"]}
)


@verify_app.command()
def verify_command(
    folder: Annotated[
        str, typer.Argument(metavar="DIR", help="Output folder of a run, or its URL.")
    ],
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Check output files against their record: missing, partial, changed and unknown files.

    The exit code is 1 if there is any. Inputs that had failed are printed and not counted.
    """
    from separate.batch.remote.files import place_of
    from separate.batch.verify import verify
    from separate.cli.progress import terminal

    with terminal("checking") as screen:
        report = verify(place_of(folder), screen.update)
        if json:
            screen.result(json_module.dumps(report.as_data()))
        else:
            for finding in report.findings:
                screen.result(f"{finding.problem}: {finding.path}")
        for error in () if json else report.failed.values():
            screen.note(f"had failed: {error}")
    if not json:
        typer.echo(f"{report.whole} of {report.files} files are as recorded", err=True)
    if report.findings:
        raise typer.Exit(1)
