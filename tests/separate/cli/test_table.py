import io

import pytest
from rich.console import Console

from separate.cli.table import print_table

HEADER = ("Whisper: route", *(f"column {letter}" for letter in "ABCDEFGHIJKL"))
ROW = ("tiny.en: vocals, RMS-VAD", *["12.3\n(20.1 to 40.2)"] * 12)


def printed(header, rows, width, **options):
    console = Console(width=width, file=io.StringIO())
    print_table(header, rows, console=console, **options)
    text = console.file.getvalue()
    assert all(len(line) <= width for line in text.splitlines())
    assert "…" not in text and "..." not in text
    return text


@pytest.mark.parametrize("width", [40, 60, 80, 200])
@pytest.mark.parametrize("columns", [2, 5, 13])
def test_no_number_is_cut(columns, width):
    text = printed(HEADER[:columns], [ROW[:columns]] * 2, width, title="T", note="Some words.")
    for number in ("12.3", "(20.1", "40.2)"):
        assert text.count(number) == 2 * (columns - 1)
    assert "tiny.en:" in text and "RMS-VAD" in text and "Some words." in text


def test_a_narrow_terminal_gets_a_list():
    text = printed(HEADER, [ROW], 80)
    assert "column L" in text and "12.3 (20.1 to 40.2)" in text and "│" not in text
    assert "│" in printed(HEADER[:6], [ROW[:6]], 80)


@pytest.mark.parametrize("width", [40, 80, 200])
def test_long_names_and_summaries_are_whole(width):
    rows = [("whisper-large-v3-turbo", "1550 M", "CC-BY-SA-4.0", "[Fetch]: separate models get it")]
    header = ("name", "parameters", "licence", "summary")
    text = printed(header, rows, width, numeric=False)
    for word in " ".join(rows[0]).split():
        assert word in text


def test_an_empty_table_is_its_header():
    assert "method" in printed(("method", "dB"), [], 80)
