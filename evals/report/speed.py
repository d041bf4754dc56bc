"""Tables of benchmarks: speed, start, memory."""

from collections.abc import Sequence

from separate.evals.report.table import NONE, Result, Table, number, only


def speed_table(results: Sequence[Result]) -> Table:
    """One row a system: times real time, and by which factor our models are faster."""
    result = only(results, "bench")
    quick = {(entry["name"], entry["to"]): entry["times"] for entry in result["ratios"]}
    ours = [entry["name"] for entry in result["ratios"]]
    names = list(dict.fromkeys(ours))
    rows = []
    for entry in result["speed"]:
        label = f"{entry['name']} ({entry['package']})" if entry["package"] else entry["name"]
        ratio = [_times(quick.get((name, entry["name"]))) for name in names]
        times = number(entry["times_real_time"])
        seconds = number(entry["median_seconds"])
        rows.append((label, entry["weights"], str(entry["queries"]), times, seconds, *ratio))
    header = ("system", "weights", "stems", "x real time", "seconds")
    faster = tuple(f"{name} is faster by" for name in names)
    machine, audio = result["machine"], result["audio"]
    note = (
        f"{audio['seconds']:g} s of stereo at {audio['sample_rate']} Hz, {machine['threads']}"
        f" threads, {machine['cpu']}, torch {machine['torch']}; medians of {result['runs']}"
        f" alternating runs, in memory, model loaded. {result['mask_rule']}."
    )
    return Table("Speed", (*header, *faster), tuple(rows), note)


def start_table(results: Sequence[Result]) -> Table:
    """One row a command: seconds from its start to its end."""
    result = only(results, "bench")
    rows = [
        (e["what"], number(e["median_seconds"], 2), _megabytes(e["peak_bytes"]))
        for e in result.get("start", [])
    ]
    note = f"Medians of {result['runs']} runs, {result['machine']['cpu']}."
    return Table("Start", ("command", "seconds", "peak memory"), tuple(rows), note)


def memory_table(results: Sequence[Result]) -> Table:
    """One row a system and length of file: peak resident memory."""
    result = only(results, "bench")
    rows = [
        (e["name"], e["how"], f"{e['minutes']:g} min", _megabytes(e["peak_bytes"]))
        for e in result.get("memory", [])
    ]
    note = "Peak resident memory of the whole command, all its processes together."
    return Table("Memory", ("system", "how", "length", "peak"), tuple(rows), note)


def _times(value: float | None) -> str:
    return NONE if value is None else f"{value:.1f} x"


def _megabytes(value: int) -> str:
    return f"{value / 1e6:.0f} MB"
