"""Draw keys, chords and chord charts with the form of a song."""

from dataclasses import dataclass

import numpy as np

_NAMES = ("C", "Db", "D", "Eb", "E", "F", "Gb", "G", "Ab", "A", "Bb", "B")
_INTERVALS = {
    "": (0, 4, 7), "m": (0, 3, 7), "7": (0, 4, 7, 10), "m7": (0, 3, 7, 10), "M7": (0, 4, 7, 11),
    "sus4": (0, 5, 7), "dim": (0, 3, 6), "m7b5": (0, 3, 6, 10), "9": (0, 4, 7, 10, 14),
    "6": (0, 4, 7, 9), "m6": (0, 3, 7, 9), "M9": (0, 4, 7, 11, 14), "m9": (0, 3, 7, 10, 14),
}  # fmt: skip
MAJOR = (0, 2, 4, 5, 7, 9, 11)
MINOR = (0, 2, 3, 5, 7, 8, 10)

# Progressions, four bars each: degree above the tonic in semitones and quality.
_MAJOR_LOOPS = (
    "0 7 9m 5", "0 9m 5 7", "9m 5 0 7", "0 5 7 5", "0 5 0 7", "0 4m 5 7", "0 7 5 5m", "5 7 0 0",
    "0 10 5 0", "0 2m 5 7", "0 5 9m 7", "5 0 7 9m", "0 11m7b5 4 9m", "0 0 5 7", "0 7 2m 5",
    "5 5 0 0", "0 3 5 0", "9m 7 5 7",
)  # fmt: skip
_MINOR_LOOPS = (
    "0m 8 3 10", "0m 10 8 7", "0m 5m 8 7", "0m 3 10 5", "0m 0m 10 8", "0m 8 5m 10", "0m 10 0m 10",
    "0m 5m 0m 7", "8 10 0m 0m", "0m 1 0m 10", "0m 3 8 7", "0m 0m 5m 7", "0m 7 8 5m", "0m 6dim 8 10",
)  # fmt: skip
_JAZZ_LOOPS = (
    "2m7 7 0M7 9m7", "0M7 9m7 2m7 7", "2m7b5 77 0m6 0m6", "0M7 5M7 4m7 9m7", "4m7 9m7 2m7 7",
    "0M7 07 5M7 5m6", "0m7 5m7 10 3M7", "0M9 3M9 8M9 1M9", "0m9 59 0m9 59", "2m9 79 0M9 0M9",
)  # fmt: skip
_BLUES = "07 57 07 07 57 57 07 07 77 57 07 77"


@dataclass(frozen=True)
class Chord:
    """A chord of a song."""

    root: int  # pitch class, 0 = C
    quality: str  # a key of the interval table

    @property
    def name(self) -> str:
        """The name that mma reads."""
        return _NAMES[self.root] + self.quality

    @property
    def intervals(self) -> tuple[int, ...]:
        """Semitones above the root."""
        return _INTERVALS[self.quality]

    def pitches(self, low: int) -> list[int]:
        """Return the chord's keys in close position with the lowest one at or above `low`."""
        keys = sorted((low + (self.root + step - low) % 12) for step in self.intervals)
        return keys


@dataclass(frozen=True)
class Chart:
    """The harmony of a song: one or two chords a bar, and a key."""

    tonic: int  # pitch class
    scale: tuple[int, ...]  # semitones above the tonic
    bars: tuple[tuple[Chord, ...], ...]
    sections: tuple[int, ...]  # the section that each bar belongs to (0 verse, 1 chorus, 2 break)

    def chord_at(self, beat: float, beats_a_bar: int = 4) -> Chord:
        """Return the chord that sounds at a beat counted from the start."""
        bar = min(int(beat // beats_a_bar), len(self.bars) - 1)
        chords = self.bars[bar]
        half = (beat - bar * beats_a_bar) >= beats_a_bar / 2
        return chords[-1] if half else chords[0]


def random_chart(rng: np.random.Generator, bars: int, minor: float, family: str) -> Chart:
    """Return a chart: sections of 4 or 8 bars over loops that fit the family.

    Args:
        rng: Source of chance.
        bars: Number of bars, at least 1.
        minor: Probability of a minor key.
        family: `blues`, `jazz`, or anything else.
    """
    tonic = int(rng.integers(12))
    is_minor = bool(rng.random() < minor)
    loops = [_loop(rng, is_minor, family) for _ in range(3)]
    chart: list[tuple[Chord, ...]] = []
    sections: list[int] = []
    section = 0
    while len(chart) < bars:
        loop = loops[section]
        length = max(len(loop), int(rng.choice([4, 8, 8])))
        for bar in range(length):
            chord = _transposed(loop[bar % len(loop)], tonic)
            pair: tuple[Chord, ...] = (chord,)
            if bar % len(loop) == len(loop) - 1 and rng.random() < 0.25:
                turn = loop[int(rng.integers(len(loop)))]
                pair = (chord, _transposed(turn, tonic))
            chart.append(pair)
            sections.append(section)
        section = int(rng.choice([index for index in range(3) if index != section]))
    scale = MINOR if is_minor else MAJOR
    return Chart(tonic, scale, tuple(chart[:bars]), tuple(sections[:bars]))


def _loop(rng: np.random.Generator, minor: bool, family: str) -> list[Chord]:
    if family == "blues" and rng.random() < 0.8:
        text = _BLUES
    elif family == "jazz":
        text = str(rng.choice(_JAZZ_LOOPS))
    else:
        text = str(rng.choice(_MINOR_LOOPS if minor else _MAJOR_LOOPS))
    chords = [_parse(word) for word in text.split()]
    if family in ("soul", "funk", "hiphop", "reggae") and rng.random() < 0.6:
        richer = {"": "M7", "m": "m7"}
        chords = [Chord(chord.root, richer.get(chord.quality, chord.quality)) for chord in chords]
    elif rng.random() < 0.15:
        chords = [Chord(c.root, "sus4" if not c.quality else c.quality) for c in chords]
    return chords


def _parse(word: str) -> Chord:
    digits = 2 if word[:2] in ("10", "11") else 1
    degree, quality = int(word[:digits]), word[digits:]
    return Chord(degree, quality)


def _transposed(chord: Chord, tonic: int) -> Chord:
    return Chord((chord.root + tonic) % 12, chord.quality)
