"""Tables of queries: classes of clips, wordings, presence."""

from collections.abc import Sequence

from separate.evals.report.table import (
    Result,
    Table,
    interval,
    method_name,
    number,
    of_kind,
    only,
    seen_note,
)


def clips_table(results: Sequence[Result]) -> Table:
    """One row a method: mean over classes of the SDR improvement.

    Raises:
        DataError: The results differ in data set or split.
    """
    results = of_kind(results, "clips", "dataset", "split")
    rows = []
    for result in results:
        mean = result["summary"]["mean"]
        cells = [interval(mean[key], 2) for key in ("sdr_improvement", "si_sdr_improvement")]
        classes = result["classes"]
        counts = (str(len(classes)), str(sum(entry["mixtures"] for entry in classes.values())))
        rows.append((method_name(result), result["by"], *cells, *counts))
    header = ("method", "asked by", "SDRi", "SI-SDRi", "classes", "mixtures")
    note = (
        "SDRi = SDR - SDR of the mixture, whole mixture, no filters; two held-out clips at equal"
        " energy; median in a class, mean over classes with its 95 % bootstrap interval. dB."
    )
    note += "".join(_negative_note(result) for result in results if result["by"] == "negative")
    note += seen_note(results, "mixture")
    return Table("Label-queried mixtures", header, tuple(rows), note)


def _negative_note(result: Result) -> str:
    """Return a note on the effect of an exclusion, which only models have."""
    mean = result["summary"]["mean"]
    if "excluded_lowered_db" not in mean:
        return ""
    lowered, cost = (number(mean[k]["mean"], 1) for k in ("excluded_lowered_db", "target_cost_db"))
    return (
        f" {method_name(result)}, negative: against the plain query the excluded clip is {lowered}"
        f" dB softer, and the target {cost} dB, in the mean over mixtures."
    )


def classes_table(results: Sequence[Result]) -> Table:
    """One row a class of the last result."""
    result = only(results, "clips")
    keys = ("sdr_improvement", "si_sdr_improvement")
    rows = [
        (label, str(entry["mixtures"]), *(number(entry[key], 2) for key in keys))
        for label, entry in result["classes"].items()
    ]
    header = ("class", "mixtures", "SDRi", "SI-SDRi")
    return Table(f"{method_name(result)}, by {result['by']}, each class", header, tuple(rows))


def understanding_table(results: Sequence[Result]) -> Table:
    """One row a measure of how queries are understood."""
    result = only(results, "queries")
    rows = []
    for kind in ("synonym", "paraphrase"):
        means = [result["summary"][stem][f"{kind}_cost"]["mean"] for stem in result["stems"]]
        known = [value for value in means if value is not None and value == value]
        mean = sum(known) / len(known) if known else float("nan")
        rows.append((f"{kind}s cost, mean of stems", f"{number(mean, 2)} dB", str(len(known))))
    for kind, entry in result["reading"].items():
        share = 100 * entry["right"] / entry["phrases"]
        rows.append((f"{kind} read right", f"{number(share, 0)} %", str(entry["phrases"])))
    for half, entry in result["phrases"].items():
        counts = (str(entry["present"] + entry["absent"]), str(entry["present"]))
        if entry["present"] and entry["absent"]:
            rows.append((f"presence, {half} phrases: ROC AUC", number(entry["auc"], 3), counts[0]))
            missed, wrong = (number(100 * entry[key], 1) for key in ("missed", "wrongly_found"))
            rows.append((f"presence, {half}: present, not found", f"{missed} %", counts[1]))
            rows.append((f"presence, {half}: absent, found", f"{wrong} %", str(entry["absent"])))
    note = f"{method_name(result)}.{seen_note([result], 'song')}"
    return Table("Understanding of queries", ("measure", "value", "cases"), tuple(rows), note)


def queries_table(results: Sequence[Result]) -> Table:
    """One row a stem: SDR of its plain label, and the cost of other wordings."""
    result = only(results, "queries")
    rows = []
    for stem in result["stems"]:
        entry = result["summary"][stem]
        cells = [interval(entry[k], 2) for k in ("label_sdr", "synonym_cost", "paraphrase_cost")]
        costs = entry["phrases"]
        worst = max(costs, key=lambda phrase: costs[phrase] or 0.0) if costs else ""
        rows.append((stem, *cells, f"{worst}: {number(costs[worst], 2)}" if worst else ""))
    presence = result["presence"]
    note = f"{method_name(result)}. {result['metric']}.{seen_note([result], 'song')}"
    if presence["present"]:
        note += (
            f" Presence: ROC AUC {number(presence['auc'], 3)} over {presence['present']} labels"
            f" that are in the mixture and {presence['absent']} that are not."
        )
    header = ("stem", "SDR of the label", "synonyms cost", "paraphrases cost", "worst phrase")
    return Table("Wording of queries", header, tuple(rows), note)
