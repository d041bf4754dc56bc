"""The command `separate`: arguments in, one call of the library, lines and an exit code out.

torch is not imported before the arguments are parsed. Other packages add commands by entry points
of the group `separate.commands`, which are loaded when they are called.
"""

from importlib import import_module
from importlib.metadata import EntryPoint, entry_points, version
from typing import Annotated, Any

import typer
import typer.core
from typer.core import TyperCommand, TyperGroup

from separate.cli.options import BatchCommand
from separate.cli.run import run

# Help and errors are plain text: importing rich takes as long as everything else together.
typer.core.HAS_RICH = False

_GROUP = "separate.commands"
# Own commands that are loaded when called: (where, help, order of the list).
_OWN = {
    "tags": ("separate.cli.tags:tags_app", "List what sounds, how likely, and when."),
    "lyrics": ("separate.cli.lyrics:lyrics_app", "Transcribe what is sung, with times."),
    "verify": ("separate.cli.verify:verify_app", "Check output files against their record."),
    "models": ("separate.cli.models:models_app", "List, fetch and describe models."),
    "train": ("separate.cli.train:train_app", "Train or adapt a separator."),
    "data": ("separate.cli.data:data_app", "Prepare training data."),
}
_KNOWN_HELP = {
    "eval": "Score separation on data sets.",
    "bench": "Measure speed, memory and start time.",
    "app": "Open the web page.",
}


class CommandGroup(TyperGroup):
    """Commands that are imported when called, and errors as one line with an exit code."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Name all commands, without importing any."""
        return [*super().list_commands(ctx), *_OWN, *sorted(_plugins())]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command, or a stand-in with a name and a line of help."""
        command = super().get_command(ctx, cmd_name)
        if command is not None:
            return command
        if cmd_name in _OWN:
            return TyperCommand(cmd_name, help=_OWN[cmd_name][1])
        plugin = _plugins().get(cmd_name)
        if plugin is None:
            return None
        source = plugin.dist.name if plugin.dist is not None else plugin.value
        return TyperCommand(cmd_name, help=_KNOWN_HELP.get(cmd_name, f"Added by {source}."))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Load the command that is called."""
        name, command, rest = super().resolve_command(ctx, args)
        if command is not None and name is not None and name not in self.commands:
            self.commands[name] = command = _load_command(name)
        return name, command, rest

    def invoke(self, ctx: Any) -> Any:
        """Run a command; print an error of the library as one line and exit with code 1."""
        from separate.errors import SeparateError, one_line

        try:
            return super().invoke(ctx)
        except SeparateError as error:
            typer.echo(f"error: {one_line(error)}", err=True)
            raise typer.Exit(1) from error
        except KeyboardInterrupt as error:
            typer.echo("stopped", err=True)
            raise typer.Exit(130) from error


def _plugins() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=_GROUP)}


def _load_command(name: str) -> Any:
    from separate.errors import SettingsError

    if name in _OWN:
        module, _, attribute = _OWN[name][0].partition(":")
        loaded = getattr(import_module(module), attribute)
    else:
        entry = _plugins()[name]
        try:
            loaded = entry.load()
        except (ImportError, AttributeError) as error:
            raise SettingsError(
                f"the command {name!r} ({entry.value}) can't be loaded: {error}"
            ) from error
    command = typer.main.get_command(loaded) if isinstance(loaded, typer.Typer) else loaded
    command.name = name
    return command


app = typer.Typer(
    cls=CommandGroup,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Type what you want to hear and get it out of any recording.",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"separate {version('separate-audio')}")
        raise typer.Exit()


@app.callback()
def _options(
    is_version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_print_version, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Type what you want to hear and get it out of any recording."""


app.command("run", cls=BatchCommand, short_help="Separate sources from recordings.")(run)


def main() -> None:
    """Run the command line."""
    app()
