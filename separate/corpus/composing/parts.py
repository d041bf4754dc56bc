"""Compose parts: bass with the kick drum, guitars, keyboards, pads, arpeggios, melodies."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from separate.corpus.composing.harmony import Chart, Chord
from separate.corpus.composing.notes import Note

_RHYTHMS = (  # one bar of sixteen steps: where a phrase's notes begin
    "x...x...x...x...", "x.....x...x.....", "x.x.x...x.x.x...", "..x...x.x...x...",
    "x.......x...x.x.", "x..x..x.x..x..x.", "....x.x.x...x...", "x...x.x.x.......",
    "x.x.x.x.x.x.x...", "x...............", "x.....x.........", "x.xxx.x.x.xxx.x.",
)  # fmt: skip


@dataclass(frozen=True)
class Setting:
    """What every player is told."""

    chart: Chart
    bpm: float
    kicks: tuple[float, ...]  # seconds

    @property
    def step(self) -> float:
        """Seconds of a sixteenth."""
        return 15.0 / self.bpm

    @property
    def bars(self) -> int:
        """Number of bars."""
        return len(self.chart.bars)

    def chord(self, bar: int, step: int = 0) -> Chord:
        """Return the chord at a sixteenth of a bar."""
        return self.chart.chord_at(bar * 4 + step / 4)


def _human(rng: np.random.Generator, velocity: float, spread: float = 7) -> int:
    return int(np.clip(rng.normal(velocity, spread), 15, 127))


def _late(rng: np.random.Generator, looseness: float = 0.006) -> float:
    return float(rng.normal(0, looseness))


def bass_line(setting: Setting, rng: np.random.Generator, low: int = 28) -> list[Note]:
    """Return a bass line: with the kicks, in eighths, walking, or off the beat by section."""
    styles = {
        section: str(rng.choice(["kick", "eighths", "kick", "long", "octaves", "busy"]))
        for section in set(setting.chart.sections)
    }
    starts: list[tuple[float, int, int]] = []  # (seconds, bar, step)
    for bar in range(setting.bars):
        begin = bar * 16 * setting.step
        style = styles[setting.chart.sections[bar]]
        if style in ("kick", "busy"):
            kicks = [
                k for k in setting.kicks if begin - 0.03 <= k < begin + 16 * setting.step - 0.03
            ]
            steps = [(k, round((k - begin) / setting.step)) for k in kicks] or [(begin, 0)]
            if style == "busy":
                extra = [s for s in range(0, 16, 2) if rng.random() < 0.45]
                steps += [(begin + s * setting.step, s) for s in extra]
            starts += [(max(time, 0.0), bar, min(step, 15)) for time, step in sorted(set(steps))]
        else:
            every = {"eighths": 2, "octaves": 2, "long": 8}[style]
            starts += [(begin + s * setting.step, bar, s) for s in range(0, 16, every)]
    return _bass_notes(setting, starts, styles, rng, low)


def _bass_notes(
    setting: Setting, starts: list[tuple[float, int, int]], styles: dict[int, str],
    rng: np.random.Generator, low: int,
) -> list[Note]:  # fmt: skip
    notes: list[Note] = []
    legato = float(rng.uniform(0.55, 1.0))
    for index, (time, bar, step) in enumerate(starts):
        following = starts[index + 1][0] if index + 1 < len(starts) else time + 4 * setting.step
        gap = following - time
        if gap < 0.04:
            continue
        chord = setting.chord(bar, step)
        root = low + (chord.root - low) % 12
        pitch = root
        roll = rng.random()
        if styles[setting.chart.sections[bar]] == "octaves":
            pitch = root + (12 if (step // 2) % 2 else 0)
        elif step and roll < 0.12:
            pitch = root + 12
        elif step and roll < 0.28:
            pitch = root + int(rng.choice([chord.intervals[2], chord.intervals[1], 10]))
        elif step >= 14 and roll < 0.6:
            target = setting.chord(min(bar + 1, setting.bars - 1))
            pitch = low + (target.root - low) % 12 + int(rng.choice([-1, 1, -2]))
        length = min(gap * legato, 3.0)
        velocity = _human(rng, 100 if step % 8 == 0 else 86, 9)
        notes.append(Note(max(0.0, time + _late(rng, 0.004)), length, max(pitch, 28), velocity))
    return notes


def riff_guitar(setting: Setting, rng: np.random.Generator) -> tuple[list[Note], list[Note]]:
    """Return power chords: those that ring, and those muted with the palm."""
    ringing: list[Note] = []
    muted: list[Note] = []
    patterns = {}
    for section in set(setting.chart.sections):
        chug = rng.random() < 0.6
        marks = rng.choice(list("XXmmm." if chug else "XX...."), 16)
        marks[0] = "X"
        if rng.random() < 0.4:  # steady eighths
            marks = np.array(list("XxMxXxMx".replace("x", ".").replace("M", "m") * 2))
        patterns[section] = "".join(marks)
    for bar in range(setting.bars):
        pattern = patterns[setting.chart.sections[bar]]
        for step, mark in enumerate(pattern):
            if mark == ".":
                continue
            rest = next((k for k in range(1, 16 - step) if pattern[step + k] != "."), 16 - step)
            chord = setting.chord(bar, step)
            root = 40 + (chord.root - 40) % 12
            shape = [root, root + 7, root + 12] if "dim" not in chord.quality else [root, root + 6]
            time = (bar * 16 + step) * setting.step + _late(rng)
            length = setting.step * (min(rest, 16) * 0.95 if mark == "X" else 0.7)
            for string, pitch in enumerate(shape if mark == "X" else shape[:2]):
                start = max(0.0, time + string * 0.003)
                velocity = _human(rng, 112 if mark == "X" else 96)
                (ringing if mark == "X" else muted).append(Note(start, length, pitch, velocity))
    return ringing, muted


def guitar_shape(chord: Chord) -> list[int]:
    """Return five or six strings that a guitarist would press for a chord."""
    root = 40 + (chord.root - 40) % 12
    third, fifth = chord.intervals[1], chord.intervals[2]
    shape = [root, root + fifth, root + 12, root + 12 + third, root + 12 + fifth]
    if len(chord.intervals) > 3:
        shape[2] = root + chord.intervals[3]
    if root + 24 <= 67:
        shape.append(root + 24)
    return shape


def strummed(setting: Setting, rng: np.random.Generator, style: str) -> list[Note]:
    """Return strummed chords: `strum`, `skank` (short, off the beat), or `funk` (sixteenths)."""
    choices = {
        "strum": ("D...D.DU..DUD.DU", "D...D...D.DUD.DU", "D.DUD.DUD.DUD.DU", "D.......D...D.U."),
        "skank": ("..d...d...d...d.", "....d.......d...", "..du..d...du..d."),
        "funk": ("d..du.u.d..du.d.", "..du.dud..d.u.du", "d.udu..u..dud..u"),
    }
    patterns = {s: str(rng.choice(choices[style])) for s in set(setting.chart.sections)}
    notes: list[Note] = []
    speed = float(rng.uniform(0.006, 0.016))
    for bar in range(setting.bars):
        pattern = patterns[setting.chart.sections[bar]]
        for step, mark in enumerate(pattern):
            if mark == ".":
                continue
            shape = guitar_shape(setting.chord(bar, step))
            strings = shape if mark == "D" else shape[-4:] if mark in "d" else shape[-3:][::-1]
            rest = next((k for k in range(1, 16 - step) if pattern[step + k] != "."), 16 - step)
            length = setting.step * (0.45 if mark in "du" else rest)
            time = (bar * 16 + step) * setting.step + _late(rng, 0.008)
            velocity = 95 if mark in "Dd" else 76
            notes += [
                Note(max(0.0, time + index * speed), length, pitch, _human(rng, velocity))
                for index, pitch in enumerate(strings)
            ]
    return notes


def picked(setting: Setting, rng: np.random.Generator, low: int, every: int = 2) -> list[Note]:
    """Return broken chords: a figure of chord notes in eighths or sixteenths."""
    figures = {
        section: [int(x) for x in rng.integers(0, 6, 16 // every)]
        for section in set(setting.chart.sections)
    }
    length = float(rng.uniform(0.8, 3.0)) * every
    notes: list[Note] = []
    for bar in range(setting.bars):
        for index, degree in enumerate(figures[setting.chart.sections[bar]]):
            step = index * every
            keys = setting.chord(bar, step).pitches(low)
            keys = [*keys, *(key + 12 for key in keys)]
            time = (bar * 16 + step) * setting.step + _late(rng, 0.005)
            pitch = keys[degree % len(keys)]
            notes.append(Note(max(0, time), length * setting.step, pitch, _human(rng, 88)))
    return notes


def pads(setting: Setting, rng: np.random.Generator, low: int = 52) -> list[Note]:
    """Return held chords, each voice moving as little as the next chord allows."""
    notes: list[Note] = []
    previous: list[int] = []
    for bar, chords in enumerate(setting.chart.bars):
        for index, chord in enumerate(chords):
            options = [chord.pitches(low + shift) for shift in (-4, 0, 3, 6)]
            center = np.mean(previous) if previous else low + 6
            voicing = min(options, key=lambda keys: abs(float(np.mean(keys)) - float(center)))
            previous = voicing
            length = 16 * setting.step / len(chords)
            start = (bar * 16 + index * 8) * setting.step
            notes += [Note(start, length * 0.99, pitch, _human(rng, 80)) for pitch in voicing]
    return notes


def stabs(setting: Setting, rng: np.random.Generator, low: int = 55) -> list[Note]:
    """Return short chords in a rhythm, as horns, organs and house pianos play."""
    rhythms = {s: str(rng.choice(_RHYTHMS)) for s in set(setting.chart.sections)}
    silent = {s: rng.random() < 0.25 for s in rhythms}
    length = float(rng.uniform(0.5, 2.5))
    notes: list[Note] = []
    for bar in range(setting.bars):
        section = setting.chart.sections[bar]
        if silent[section] and len(rhythms) > 1:
            continue
        for step, mark in enumerate(rhythms[section]):
            if mark == "x":
                keys = setting.chord(bar, step).pitches(low)
                time = max(0.0, (bar * 16 + step) * setting.step + _late(rng))
                velocity = _human(rng, 96)
                notes += [Note(time, length * setting.step, key, velocity) for key in keys]
    return notes


def melody(
    setting: Setting, rng: np.random.Generator, low: int, high: int, rest: float = 0.3
) -> list[Note]:
    """Return a melody in phrases of two bars whose motives come back.

    Args:
        setting: Harmony and tempo.
        rng: Source of chance.
        low: Lowest key.
        high: Highest key, at least an octave above.
        rest: Probability that a phrase is left out.
    """
    scale = sorted(
        key for key in range(low, high + 1)
        if (key - setting.chart.tonic) % 12 in setting.chart.scale
    )  # fmt: skip
    motives = [
        (str(rng.choice(_RHYTHMS)) + str(rng.choice(_RHYTHMS)), rng.integers(-2, 3, 32))
        for _ in range(3)
    ]
    notes: list[Note] = []
    place = len(scale) // 2
    for phrase in range(0, setting.bars, 2):
        if rng.random() < rest:
            continue
        rhythm, moves = motives[setting.chart.sections[phrase] % 3]
        starts = [
            s for s, mark in enumerate(rhythm) if mark == "x" and s < 16 * (setting.bars - phrase)
        ]
        for index, step in enumerate(starts):
            following = starts[index + 1] if index + 1 < len(starts) else min(step + 8, 32)
            chord = setting.chord(phrase + step // 16, step % 16)
            place = int(np.clip(place + moves[step], 0, len(scale) - 1))
            pitch = scale[place]
            if step % 8 == 0:  # strong beats take a note of the chord
                inside = {(chord.root + interval) % 12 for interval in chord.intervals[:3]}
                tones = [key for key in range(low, high + 1) if key % 12 in inside]
                pitch = min(tones, key=lambda key: abs(key - pitch)) if tones else pitch
            time = (phrase * 16 + step) * setting.step + _late(rng, 0.012)
            length = (following - step) * setting.step * float(rng.uniform(0.7, 1.0))
            notes.append(Note(max(0.0, time), length, int(pitch), _human(rng, 92, 10)))
    return notes


def harmonised(
    lead: Sequence[Note], setting: Setting, steps: int, rng: np.random.Generator
) -> list[Note]:
    """Return a second voice some scale steps above (or below) a melody."""
    scale = [
        key for key in range(24, 108) if (key - setting.chart.tonic) % 12 in setting.chart.scale
    ]
    notes = []
    for note in lead:
        near = min(range(len(scale)), key=lambda index: abs(scale[index] - note.pitch))
        start = max(0.0, note.start + _late(rng, 0.015))
        pitch = scale[int(np.clip(near + steps, 0, len(scale) - 1))]
        notes.append(Note(start, note.length, pitch, _human(rng, 80)))
    return notes
