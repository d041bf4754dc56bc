"""The table of the weakly supervised experiment; comes in: results; goes out: a table."""

from collections.abc import Sequence

import numpy as np

from separate.evals.report.table import Result, Table, number

_PAPER = (
    ("weak", "unsupervised", 1.71),
    ("weak", "supervised", 0.975),
    ("semi", "supervised", 1.17),
)
_LEAST_DB = 1.0  # a ratio is stated only where the arm below it reaches so much


def weak_table(results: Sequence[Result]) -> Table:
    """An arm a row: mean over seeds and the spread (standard deviation) between them."""
    rows: list[tuple[str, ...]] = []
    notes = []
    for result in results:
        base = result["mixture"]
        rows.append(("mixture", number(base["sdr"]), "0.0", number(base["sir"]), "-", "-", "-"))
        arms = list(dict.fromkeys(row["arm"] for row in result["rows"]))
        for arm in arms:
            own = [row for row in result["rows"] if row["arm"] == arm]
            sdr, gain, sir, sar, minutes = (
                [row[key] for row in own]
                for key in ("sdr", "sdr_improvement", "sir", "sar", "minutes")
            )
            spread = f"{np.mean(sdr):.2f} ± {np.std(sdr):.2f}"
            rest = (number(float(np.mean(column))) for column in (gain, sir, sar, minutes))
            rows.append((arm, spread, *rest, str(len(own))))
        notes.append(_ratios(result))
        steps, batch = result["config"]["steps"], result["config"]["batch"]
        notes.append(f"{steps} steps of {batch}, {result['config']['tests']} test mixtures.")
    header = ("arm", "SDR", "SDRi", "SIR", "SAR", "minutes", "seeds")
    note = f"{results[0]['metric']}; dB. {' '.join(notes)}" if results else ""
    return Table("Weak supervision", header, tuple(rows), note)


def _ratios(result: Result) -> str:
    """The paper's ratios of SDR, where the arm below has at least 1 dB."""
    means: dict[str, float] = {}
    for arm in {row["arm"] for row in result["rows"]}:
        own = [row["sdr"] for row in result["rows"] if row["arm"] == arm]
        means[arm] = float(np.mean(own))
    parts = []
    for above, below, stated in _PAPER:
        if above in means and below in means:
            ratio = means[above] / means[below] if means[below] >= _LEAST_DB else None
            said = f"below {_LEAST_DB:g} dB, no ratio" if ratio is None else f"{ratio:.2f}"
            parts.append(f"{above} / {below}: {said} (paper {stated:g})")
    return "; ".join(parts) + "." if parts else ""
