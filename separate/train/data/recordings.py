"""Recordings without stems, for training: windows with labels that are present or absent.

`separate data mixtures` writes them. The samples stay on disk as 16 bits until a window is read.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from separate.corpus.mixtures.build import AUDIO, descriptions
from separate.corpus.mixtures.clues import CLUES
from separate.corpus.mixtures.labels import Rule, load_rule
from separate.corpus.sources.store import SAMPLE_RATE
from separate.errors import DataError
from separate.queries.vocabulary import STEMS

FAMILIES = STEMS[:3]  # vocals, drums, bass: the stems that windows are labelled with


@dataclass(frozen=True)
class Window:
    """A stretch of a recording with what surely sounds in it, and what surely doesn't."""

    start: int  # samples
    stop: int
    sounds: tuple[str, ...]
    silent: tuple[str, ...]


@dataclass(frozen=True)
class Mixture:
    """A recording without stems."""

    name: str
    audio: np.ndarray  # int16 (samples, 2), memory-mapped
    licence_class: str
    license: str
    source: str  # package and authors, for the credits
    windows: tuple[Window, ...]


def load_mixtures(
    folders: Iterable[Path],
    licences: Iterable[str] = ("free", "sharealike"),
    rule: Rule | None = None,
) -> tuple[Mixture, ...]:
    """Map the recordings of some corpora, with the labels that the rule gives each window.

    Args:
        folders: That `build_mixtures` wrote.
        licences: Classes to use.
        rule: Turns clues into labels; None: the one that ships.

    Returns:
        Those that have windows, perhaps none.

    Raises:
        DataError: One is damaged, or was measured by another tagger than the rule was fitted for.
    """
    rule, wanted = rule or load_rule(), set(licences)
    return tuple(
        _mapped(path, info, rule)
        for folder in folders
        for path, info in descriptions(Path(folder))
        if info["windows"] and info["licence_class"] in wanted
    )


def _mapped(path: Path, info: dict[str, Any], rule: Rule) -> Mixture:
    if info["tagger"] != rule.tagger or info["clues"] != list(CLUES):
        raise DataError(
            f"{path}: measured by the tagger {info['tagger']!r}, the rule is for {rule.tagger!r};"
            " build it again"
        )
    values = np.array([window["clues"] for window in info["windows"]], np.float32)
    labels = rule.apply(values)
    try:
        audio = np.load(path / AUDIO, mmap_mode="r")
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: damaged ({error}); delete it and build it again") from error
    windows = tuple(
        Window(window["start"], window["stop"], sounds, silent)
        for window, (sounds, silent) in zip(info["windows"], labels, strict=True)
    )
    return Mixture(
        f"{info['package']}/{path.name}", audio, info["licence_class"], info["license"],
        info["source"], windows,
    )  # fmt: skip


def captioned(mixtures: Iterable[Mixture]) -> list[tuple[Mixture, Window, str]]:
    """Return the windows of which a caption can name all that sounds.

    Vocals, drums and bass must each be known to sound or not to; what is none of them is `other`.

    Returns:
        Recording, window, and caption, such as "drums, other".
    """
    found = []
    for mixture in mixtures:
        for window in mixture.windows:
            if all(family in (*window.sounds, *window.silent) for family in FAMILIES):
                names = [family for family in FAMILIES if family in window.sounds]
                found.append((mixture, window, ", ".join([*names, "other"])))
    return found


def summarise(folder: Path) -> str:
    """Return a table of the recordings below a folder, by package and class, and of their labels.

    Hours are those of the windows; of a label those in which it surely sounds, and surely doesn't.
    """
    rows: dict[tuple[str, str], list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])
    hours_of: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    rule = load_rule()
    for path, info in descriptions(folder):
        if not info["windows"]:
            continue
        row = rows[(info["package"], info["licence_class"])]
        seconds = [(w["stop"] - w["start"]) / SAMPLE_RATE for w in info["windows"]]
        row[0] += 1
        row[1] += sum(seconds) / 3600
        row[2] += (path / AUDIO).stat().st_size / 1e9
        if info["tagger"] == rule.tagger:
            values = np.array([window["clues"] for window in info["windows"]], np.float32)
            for length, labels in zip(seconds, rule.apply(values), strict=True):
                for column, names in enumerate(labels):
                    for name in names:
                        hours_of[name][column] += length / 3600
    rows[("all", "")] = [sum(row[column] for row in rows.values()) for column in range(3)]
    lines = [f"{'recordings of':24} {'licence':12} {'items':>7} {'hours':>8} {'GB':>7}"]
    for (name, licence), (items, hours, size) in rows.items():
        lines.append(f"{name:24} {licence:12} {items:7.0f} {hours:8.2f} {size:7.2f}")
    lines += ["", f"{'label (hours)':24} {'sounds':>12} {'is silent':>10}"]
    lines += [f"{label:24} {a:12.2f} {b:10.2f}" for label, (a, b) in sorted(hours_of.items())]
    return "\n".join(lines)
