"""The About tab: models, their training data and scores, as Markdown from their cards."""

from typing import Any

from separate.insides import Card, cards_by_name

_INTRODUCTION = """## About

**separate** takes what you ask for, in words or by an example sound, out of any recording. It works
on this server alone, and what you upload is deleted {minutes:g} minutes after you last used it. The
same program runs on the command line and gives the same files: `separate run song.wav -q drums`.
Programs use the [HTTP API](reference).

What you hear is a guess. The *presence* figure beside each result says how likely the sound is in
the recording at all; results below 10 % are marked *probably not in this mix*.
"""
_LICENCES = {
    "CC-BY-SA-4.0": "commercial use is fine; share changes alike",
    "MIT": "commercial use is fine",
    "research": "for research only",
}


def about(keep_minutes: float, in_use: str) -> str:
    """Return the page's text.

    Args:
        keep_minutes: How long files stay.
        in_use: Name of the model that this server separates with.
    """
    parts = [_INTRODUCTION.format(minutes=keep_minutes)]
    parts += [_card(card, card.name == in_use) for card in cards_by_name().values()]
    parts.append(
        "Lyrics are written down by OpenAI's Whisper (MIT), where its weights are installed. The"
        " program itself is free software under the MIT licence."
    )
    return "\n\n".join(parts)


def _card(card: Card, is_used: bool) -> str:
    licence = (
        f"{card.licence} ({_LICENCES[card.licence]})"
        if card.licence in _LICENCES
        else (card.licence or "not stated")
    )
    lines = [
        f"### Model `{card.name}`{' (in use here)' if is_used else ''}",
        card.summary,
        f"- **Licence of the weights:** {licence}",
        f"- **Size:** {card.parameters / 1e6:.1f} million parameters",
    ]
    if card.initialised_from:
        lines.append(f"- **Started from:** {card.initialised_from}")
    lines += [f"- **Notice:** {notice}" for notice in card.notices]
    if card.limits:
        lines.append(f"- **Limits:** {card.limits}")
    text = [lines[0], lines[1], "\n".join(lines[2:])]
    if card.trained_on:
        text.append(_training(card))
    text += [_scores(name, score) for name, score in card.scores.items()]
    return "\n\n".join(part for part in text if part)


def _training(card: Card) -> str:
    """Return the training data of a model, with credits."""
    rows = ["| trained on | hours | licence class |", "| --- | ---: | --- |"]
    rows += [
        f"| {_count(part)}{part.get('dataset', '')} | {part.get('hours', '-')}"
        f" | {part.get('licence_class', '-')} |"
        for part in card.trained_on
    ]
    credits = dict.fromkeys(name for part in card.trained_on for name in part.get("credits", []))
    thanks = (
        f"\n\n<details><summary>Credits of the training data</summary>\n\n"
        f"{', '.join(credits)}\n\n</details>"
        if credits
        else ""
    )
    return "\n".join(rows) + thanks


def _count(part: dict[str, Any]) -> str:
    if part.get("count"):
        return f"{part['count']} "
    return f"{len(part['labels'])} kinds of " if part.get("labels") else ""


def _scores(name: str, score: Any) -> str:
    """Return a table of what was measured, with the metric's definition below."""
    if not isinstance(score, dict):
        return ""
    rule = f" Masks: {score['mask_rule']}." if score.get("mask_rule") else ""
    small = f"<small>{score.get('metric', '')}.{rule}</small>"
    if isinstance(score.get("sdr"), dict):
        values = score["sdr"]
        head = f"| measured on {name} | " + " | ".join(values) + " |"
        line = "| --- |" + " ---: |" * len(values)
        row = "| SDR (dB) | " + " | ".join(f"{value:.1f}" for value in values.values()) + " |"
        return f"{head}\n{line}\n{row}\n\n{small}"
    if isinstance(score.get("sdr_improvement"), dict):
        return _labels(name, score, small)
    return ""


def _labels(name: str, score: dict[str, Any], small: str) -> str:
    """Return what each label gained, the best first, to be unfolded.

    Where the labels are stems of songs, their SDR comes first: a soft stem gains much by silence.
    """
    gains, counts, sdr = (score.get(key, {}) for key in ("sdr_improvement", "count", "label_sdr"))
    best = sdr or gains
    rows = [
        f"| label | mixtures |{' SDR (dB) |' if sdr else ''} SDRi (dB) |",
        f"| --- | ---: |{' ---: |' if sdr else ''} ---: |",
    ]
    rows += [
        f"| {label.replace('_', ' ')} | {counts.get(label, '-')} |"
        f"{f' {sdr[label]:.1f} |' if sdr else ''} {gains[label]:.1f} |"
        for label in sorted(gains, key=lambda label: -best.get(label, 0.0))
        if label != "mean"
    ]
    summary = f"How well each label is found: {name}"
    if "mean" in best:
        summary += f", {best['mean']:.1f} dB in the mean"
    table = "\n".join(rows)
    return f"<details><summary>{summary}</summary>\n\n{table}\n\n{small}\n\n</details>"
