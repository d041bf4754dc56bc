"""Notes and parts: what is played, before it is known how it sounds. Times are in seconds."""

from collections.abc import Iterable
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Note:
    """One note."""

    start: float  # seconds
    length: float  # seconds
    pitch: int  # MIDI key, 60 = middle C
    velocity: int  # 1-127

    @property
    def end(self) -> float:
        """Seconds at which the key is released."""
        return self.start + self.length


@dataclass(frozen=True)
class Part:
    """What one player plays."""

    role: str  # bass, chords, arpeggio, lead, pad, percussion ...
    notes: tuple[Note, ...]
    program: int = 0  # General MIDI program, 0-127, the composer's idea of the sound


@dataclass(frozen=True)
class Hit:
    """One stroke on a drum kit."""

    start: float  # seconds
    articulation: str  # kick, snare, hh_closed ... (`drums.PIECES`)
    velocity: int  # 1-127


def transposed(notes: Iterable[Note], low: int, high: int) -> tuple[Note, ...]:
    """Return notes moved by octaves into a range of MIDI keys."""
    moved = []
    for note in notes:
        pitch = note.pitch
        while pitch < low:
            pitch += 12
        while pitch > high:
            pitch -= 12
        if pitch >= low:
            moved.append(replace(note, pitch=pitch))
    return tuple(moved)


def within(notes: Iterable[Note], seconds: float) -> tuple[Note, ...]:
    """Return the notes that start before a time, cut at it, in order of their starts."""
    kept = (
        replace(note, length=min(note.length, seconds - note.start))
        for note in notes
        if 0 <= note.start < seconds
    )
    return tuple(sorted(kept, key=lambda note: (note.start, note.pitch)))
