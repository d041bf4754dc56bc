"""`separate models`: list installed and available models, fetch and describe them."""

import json as json_module
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from separate.models.registry import Card
    from separate.weights.store import PretrainedWeights

models_app = typer.Typer(
    invoke_without_command=True, help="List, fetch and describe models; alone: list."
)
Json = Annotated[bool, typer.Option("--json", help="Print JSON with all fields of the cards.")]
Name = Annotated[str, typer.Argument(help="Name of a model; see `separate models`.")]


@models_app.callback()
def list_command(context: typer.Context, json: Json = False) -> None:
    """List the models on this machine, and those that can be fetched."""
    if context.invoked_subcommand is None:
        print_models(json)


@models_app.command("get")
def get_command(
    name: Name,
    path: Annotated[
        Path | None, typer.Option("--path", help="The file, if you have downloaded it yourself.")
    ] = None,
) -> None:
    """Fetch published weights, check and convert them once; print their path."""
    from separate.cli.progress import terminal
    from separate.insides import list_cards
    from separate.weights.store import PRETRAINED, fetch, models_dir

    if name not in PRETRAINED:
        here = {card.name: file for card, file in list_cards([models_dir()])}
        if name in here and path is None:
            typer.echo(str(here[name]))
            return
    with terminal(f"fetching {name}", in_bytes=True) as screen:
        fetched = fetch(name, path=path, on_progress=screen.update, on_note=screen.note)
    typer.echo(str(fetched))


@models_app.command("show")
def show_command(name: Name, json: Json = False) -> None:
    """Print a model's card."""
    data = asdict(_card(name))
    if json:
        typer.echo(json_module.dumps(data, ensure_ascii=False))
        return
    for key, value in data.items():
        if value in (None, "", (), [], {}):
            continue
        text = value if isinstance(value, str) else json_module.dumps(value, ensure_ascii=False)
        if key == "notices":
            text = "\n".join(value)
        indented = text.replace("\n", "\n" + " " * 18)
        typer.echo(f"{key + ':':<18}{indented}")


def print_models(json: bool = False) -> None:
    """Print a table of the cards; with `json` a list of them."""
    from separate.cli.table import print_table
    from separate.insides import list_cards
    from separate.weights.store import PRETRAINED, models_dir

    cards = [card for card, _ in list_cards([models_dir()])]
    if json:
        typer.echo(json_module.dumps([asdict(card) for card in cards], ensure_ascii=False))
        return
    rows = [_row(card) for card in cards]
    known = {card.name for card in cards}
    rows.extend(
        _pretrained_row(weights) for name, weights in PRETRAINED.items() if name not in known
    )
    print_table(("name", "parameters", "licence", "summary"), rows, numeric=False)


def _row(card: "Card") -> tuple[str, ...]:
    return card.name, f"{card.parameters / 1e6:.1f} M", card.licence, card.summary


def _pretrained_row(weights: "PretrainedWeights") -> tuple[str, ...]:
    from separate.weights.store import target_of

    how = (
        "Fetched" if target_of(weights).is_file() else f"Fetch: separate models get {weights.name}"
    )
    return weights.name, "-", weights.licence, f"{weights.summary}. {how}"


def _card(name: str) -> "Card":
    """Return a model's card by name or path."""
    from separate.insides import model_cards

    return model_cards([name])[0]
