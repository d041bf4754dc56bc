"""Tables and curves of the weakly supervised experiment."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from separate.evals.report.table import Result, Table, number

_PAPER = (
    ("weak", "unsupervised", 1.71),
    ("weak", "supervised", 0.975),
    ("semi", "supervised", 1.17),
)
_LEAST_DB = 1.0  # a ratio is stated only where the arm below it reaches so much


Rows = Sequence[Mapping[str, Any]]


def weak_table(results: Sequence[Result]) -> Table:
    """An arm and P a row: mean over seeds and the spread (standard deviation) between them."""
    rows: list[tuple[str, ...]] = []
    notes = []
    for result in results:
        base = result["mixture"]
        rows.append(("mixture", "-", number(base["sdr"]), "0.0", number(base["sir"]), *["-"] * 4))
        for (arm, sources, wrong), own in _by_arm(result["rows"]).items():
            sdr, gain, sir, sar, minutes = (
                [row[key] for row in own]
                for key in ("sdr", "sdr_improvement", "sir", "sar", "minutes")
            )
            spread = f"{np.mean(sdr):.2f} ± {np.std(sdr):.2f}"
            rest = (number(float(np.mean(column))) for column in (gain, sir, sar))
            late = number(_late_gain(own), 2)
            minutes_each = number(float(np.mean(minutes)))
            named = str(sources) if sources > 1 else "-"
            rows.append(
                (_named(arm, wrong), named, spread, *rest, late, minutes_each, str(len(own)))
            )
        notes.append(_ratios(result["rows"]))
        size = result["config"]["arm"]
        notes.append(
            f"{size['steps']} steps of {size['batch']}, {result['config']['tests']} test mixtures;"
            " last quarter: what the last quarter of the steps added to the curve."
        )
    header = ("arm", "P", "SDR", "SDRi", "SIR", "SAR", "last quarter", "minutes", "seeds")
    note = f"{results[0]['metric']}; dB. {' '.join(notes)}" if results else ""
    return Table("Weak supervision", header, tuple(rows), note)


def weak_curves(results: Sequence[Result]) -> Table:
    """A run a row: SDR of held-out mixtures while it learned."""
    runs = [row for result in results for row in result["rows"] if row["curve"]]
    steps = sorted({step for row in runs for step, _ in row["curve"]})
    rows = []
    for row in runs:
        curve = dict(map(tuple, row["curve"]))
        named = _named(row["arm"], _wrong(row))
        if row["sources"] > 1:
            named += f", P {row['sources']}"
        points = (number(curve.get(step), 2) for step in steps)
        rows.append((f"{named}, seed {row['seed']}", *points))
    note = "SDR after so many steps, of the first test mixtures; dB." if rows else ""
    return Table("Curves", ("run", *map(str, steps)), tuple(rows), note)


def _wrong(row: Mapping[str, Any]) -> float:
    return float(row.get("wrong_captions", 0.0))


def _named(arm: str, wrong: float) -> str:
    return f"{arm}, {wrong:.0%} of phrases wrong" if wrong else arm


def _by_arm(rows: Rows) -> dict[tuple[str, int, float], Rows]:
    """Group runs by arm, P and wrong captions, in the order in which they come."""
    groups: dict[tuple[str, int, float], list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["arm"], row["sources"], _wrong(row)), []).append(row)
    return {**groups}


def _late_gain(rows: Rows) -> float | None:
    """Mean over seeds of what the last quarter of the steps added, where there are curves."""
    gains = []
    for row in rows:
        before = [sdr for step, sdr in row["curve"] if step <= 0.75 * row["curve"][-1][0]]
        if before:
            gains.append(row["curve"][-1][1] - before[-1])
    return float(np.mean(gains)) if gains else None


def _ratios(rows: Rows) -> str:
    """The paper's ratios of SDR by P and share, over the seeds that both arms have."""
    parts = []
    arms = _by_arm(rows)
    for (name, sources, wrong), own in arms.items():
        arm, at, share = name.partition("@")
        for above, below, stated in _PAPER:
            mixed = sources if below == "unsupervised" else 1
            other = arms.get((below + at + share, mixed, wrong))
            if arm != above or other is None:
                continue
            pairs = [(a["sdr"], b["sdr"]) for a in own for b in other if a["seed"] == b["seed"]]
            if not pairs:
                continue
            high, low = np.mean(pairs, axis=0)
            said = f"{high / low:.2f}" if low >= _LEAST_DB else f"below {_LEAST_DB:g} dB, no ratio"
            parts.append(
                f"{_named(name, wrong)} / {below + at + share}, P = {sources}: {said}"
                f" ({len(pairs)} seeds; paper {stated:g})"
            )
    return "; ".join(parts) + "." if parts else ""
