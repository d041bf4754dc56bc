"""`separate eval compare`, `tables` and `report`: what is made of result files."""

from pathlib import Path
from typing import Annotated, Any

import typer


def compare_command(
    result: Annotated[Path, typer.Argument(help="result.json to compare.")],
    baseline: Annotated[Path, typer.Argument(help="result.json of the baseline.")],
    stem: Annotated[str, typer.Option(help="Stem to compare.")] = "vocals",
) -> None:
    """Show how much better a result is than another, song by song."""
    from separate.evals.report.table import Table, interval, number
    from separate.evals.tasks.results import compare, read_json

    difference = compare(read_json(result), read_json(baseline), stem)
    rows = [(song, number(value, 2)) for song, value in difference["songs"].items()]
    rows.append(("mean (95 % interval over songs)", interval(difference, 2)))
    Table(f"SDR of {stem}, difference in dB", ("song", "dB"), tuple(rows)).print()


def tables_command(
    results: Annotated[list[Path], typer.Argument(help="result.json files.")],
    into: Annotated[
        Path | None,
        typer.Option(help="Markdown file with <!-- table:NAME --> markers, or a model's card."),
    ] = None,
) -> None:
    """Write tables from result files into README or a model's card, or print them as Markdown."""
    from separate.evals.report.tables import PRINTED, write_tables
    from separate.evals.tasks.results import read_json

    loaded = [read_json(path) for path in results]
    if into is None:
        kinds = {result["kind"] for result in loaded}
        for name in (name for name in PRINTED if name.split("-")[0] in kinds):
            typer.echo(
                f"<!-- table:{name} -->\n{PRINTED[name](loaded).markdown()}<!-- /table -->\n"
            )
    elif into.suffix == ".json":
        _write_card(into, loaded)
    else:
        names = write_tables(into, loaded)
        typer.echo(f"{into}: wrote {', '.join(names) or 'nothing, no table fits the results'}")


def _write_card(path: Path, results: list[dict[str, Any]]) -> None:
    from dataclasses import asdict

    from separate.evals.report.tables import card_scores
    from separate.insides import read_card_file, write_card_file

    card = read_card_file(path)
    scores = {**card.scores, **card_scores(results, card.sha256)}
    write_card_file({**asdict(card), "scores": scores}, path)
    typer.echo(f"{path}: wrote scores")


def report_command(
    results: Annotated[list[Path], typer.Argument(help="result.json files.")],
    report: Annotated[Path, typer.Option("--report", "-o", help="Folder for the page.")],
) -> None:
    """Write one HTML page of several results: tables, box plots, SDR against speed."""
    from separate.evals.report.page import write_page
    from separate.evals.tasks.results import read_json

    typer.echo(str(write_page(report, [read_json(path) for path in results], [])))
