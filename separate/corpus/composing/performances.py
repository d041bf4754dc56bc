"""Drum performances: human ones of the Groove MIDI Dataset, and step patterns of drum machines."""

import csv
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from separate.corpus.composing.notes import Hit

# Roland TD-11 keys of the data set -> articulations.
_KEYS = {
    36: "kick", 38: "snare", 40: "snare_edge", 37: "rim", 48: "tom1", 50: "tom1", 45: "tom2",
    47: "tom2", 43: "tom3", 58: "tom3", 46: "hh_open", 26: "hh_open", 42: "hh_closed",
    22: "hh_closed", 44: "hh_pedal", 49: "crash1", 55: "crash1", 57: "crash2", 52: "crash2",
    51: "ride", 59: "ride", 53: "ride_bell", 54: "tambourine", 39: "clap", 56: "cowbell",
}  # fmt: skip
# Sixteen steps a bar: x hard, o soft, . nothing.
_KICKS = {
    "house": ("x...x...x...x...",),
    "synthpop": ("x...x...x...x...", "x.......x.......", "x.......x.x.....", "x..x....x......."),
    "trap": ("x.......x.x.....", "x......x..x...x.", "x..x......x..x..", "x.........x....."),
    "breaks": ("x.........x.....", "x..x......x.x...", "x.....x...x....."),
    "any": ("x.......x.......", "x......xx.......", "x..x..x...x.....", "x.....x.x.....x."),
}
_SNARES = {
    "house": ("....x.......x...", "....x..o....x..o", "............x..."),
    "trap": ("........x.......", "........x......o"),
    "any": ("....x.......x...", "....x..o.o..x...", "....x.......x..x"),
}
_HATS = {
    "house": ("..x...x...x...x.", "o.x.o.x.o.x.o.x.", "xoxoxoxoxoxoxoxo"),
    "trap": ("x.x.x.x.x.x.x.x.", "xoxoxoxoxoxoxoxo", "x.xoxox.x.x.xoxo"),
    "any": ("x.o.x.o.x.o.x.o.", "xoxoxoxoxoxoxoxo", "x...x...x...x...", "xox.xox.xox.xox."),
}


@dataclass(frozen=True)
class Performance:
    """One drummer's take in the data set."""

    path: Path
    style: str  # such as funk/groove1
    bpm: float
    seconds: float


@lru_cache(maxsize=2)
def performances(folder: Path) -> tuple[Performance, ...]:
    """Return the beats (no fills) in four-four time of at least eight seconds."""
    with (folder / "info.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["time_signature"] == "4-4"]
    found = [
        Performance(
            folder / row["midi_filename"], row["style"], float(row["bpm"]), float(row["duration"])
        )
        for row in rows
        if row["beat_type"] == "beat" and float(row["duration"]) >= 8
    ]
    return tuple(one for one in found if one.path.exists())


def choose(
    found: tuple[Performance, ...], styles: tuple[str, ...], rng: np.random.Generator
) -> Performance:
    """Return a take whose style starts with one of those wanted, longer takes more often."""
    fitting = [one for one in found if one.style.startswith(styles)] or list(found)
    weights = np.array([min(one.seconds, 60.0) for one in fitting])
    return fitting[int(rng.choice(len(fitting), p=weights / weights.sum()))]


def play_performance(
    one: Performance, bpm: float, bars: int, rng: np.random.Generator
) -> list[Hit]:
    """Return a take's hits at a tempo, from a random bar on, repeated until `bars` are full."""
    import mido

    beat = 60.0 / one.bpm
    hits: list[Hit] = []
    now = 0.0
    for message in mido.MidiFile(one.path):
        now += message.time
        if message.type == "note_on" and message.velocity and message.note in _KEYS:
            hits.append(Hit(now, _KEYS[message.note], message.velocity))
    bar = 4 * beat
    available = max(1, int((hits[-1].start + beat) // bar)) if hits else 1
    first = int(rng.integers(0, max(1, available - min(bars, available) + 1)))
    stretch = one.bpm / bpm
    result: list[Hit] = []
    filled, source = 0, first
    while filled < bars:
        low, high = source * bar - 0.03 * beat, (source + 1) * bar - 0.03 * beat
        moved = filled * bar - source * bar
        result += [
            replace(hit, start=max(0.0, (hit.start + moved) * stretch))
            for hit in hits
            if low <= hit.start < high
        ]
        filled += 1
        source = source + 1 if source + 1 < available else min(first, available - 1)
    return result


def machine_pattern(
    style: str, bpm: float, bars: int, sections: tuple[int, ...], rng: np.random.Generator
) -> list[Hit]:
    """Return a programmed beat with sections, fills, swing and small accents."""
    step = 60.0 / bpm / 4
    swing = float(rng.choice([0.0, 0.0, 0.12, 0.25])) * step
    jitter = float(rng.choice([0.0, 0.0, 0.004]))

    def pick(table: dict[str, tuple[str, ...]]) -> str:
        return str(rng.choice(table.get(style, table["any"])))

    lines = {
        section: {
            "kick": pick(_KICKS), "snare": pick(_SNARES),
            "hh_closed": pick(_HATS) if rng.random() < 0.9 else "." * 16,
            "hh_open": "..x...x...x...x." if style == "house" and rng.random() < 0.5
            else str(rng.choice(["." * 16, "..............x.", "......x........."])),
            "clap": pick(_SNARES) if rng.random() < 0.4 else "." * 16,
            str(rng.choice(["rim", "conga_high", "cowbell", "tom1", "shaker"])): "".join(
                rng.choice(list("x.o..."), 16)) if rng.random() < 0.4 else "." * 16,
        }
        for section in set(sections)
    }  # fmt: skip
    hits: list[Hit] = []
    for bar in range(bars):
        start = bar * 16 * step
        new = bar == 0 or sections[bar] != sections[bar - 1]
        last = bar + 1 < bars and sections[bar + 1] != sections[bar]
        if new and rng.random() < 0.6:
            hits.append(Hit(start, "crash1", int(rng.integers(90, 120))))
        for articulation, line in lines[sections[bar]].items():
            hits += _line(articulation, line, start, step, swing, jitter, style, rng)
        if last and rng.random() < 0.7:
            hits += _fill(start, step, rng)
    return sorted(hits, key=lambda hit: hit.start)


def _line(
    articulation: str, line: str, start: float, step: float, swing: float, jitter: float,
    style: str, rng: np.random.Generator,
) -> list[Hit]:  # fmt: skip
    hits = []
    for index, mark in enumerate(line):
        if mark == ".":
            continue
        time = start + index * step + (swing if index % 2 else 0) + rng.normal(0, 1) * jitter
        velocity = int(np.clip(rng.normal(112 if mark == "x" else 70, 6), 20, 127))
        hits.append(Hit(max(0.0, time), articulation, velocity))
        if style == "trap" and articulation == "hh_closed" and rng.random() < 0.12:
            rolls = int(rng.choice([2, 3, 4]))
            hits += [
                Hit(max(0.0, time) + step * roll / rolls, articulation, velocity - 12)
                for roll in range(1, rolls)
            ]
    return hits


def _fill(start: float, step: float, rng: np.random.Generator) -> list[Hit]:
    drums = ["snare", "tom1", "tom2", "tom3", "snare", "clap"]
    first = int(rng.choice([8, 12, 12, 14]))
    return [
        Hit(start + index * step, str(rng.choice(drums)), int(60 + 4 * index))
        for index in range(first, 16)
        if rng.random() < 0.8
    ]
