"""Compose accompaniment by mma: a chord chart in a style of its library.

Each track of mma (bass, chords, arpeggios, percussion) becomes a `Part` with its General MIDI
programs.
"""

import re
import subprocess
import tempfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from separate.corpus.composing.harmony import Chart
from separate.corpus.composing.notes import Note, Part, within
from separate.errors import DataError

_LIBRARY = Path("/usr/share/mma/lib/stdlib")
_SKIPPED = re.compile(r"intro|end|fill|metronome", re.I)


@lru_cache(maxsize=256)
def grooves(style: str) -> tuple[str, ...]:
    """Return the names of the grooves in a library file that are in four-four time."""
    path = _LIBRARY / f"{style}.mma"
    if not path.exists():
        return ()
    text = path.read_text(errors="replace")
    time = re.search(r"^\s*Time\s+(\d+)", text, re.M | re.I)
    if time and int(time[1]) != 4:
        return ()
    names = re.findall(r"^\s*DefGroove\s+(\S+)", text, re.M | re.I)
    return tuple(name for name in names if not _SKIPPED.search(name))


def accompany(
    chart: Chart, styles: Sequence[str], bpm: float, rng: np.random.Generator
) -> tuple[list[Part], str]:
    """Let mma play a chart.

    Args:
        chart: The harmony, four beats a bar.
        styles: Library files to choose from.
        bpm: Tempo.
        rng: Source of chance; also seeds mma's own.

    Returns:
        The parts, and the name of the groove; no parts where the library lacks all styles.

    Raises:
        DataError: mma is missing or fails.
    """
    style = str(rng.choice(list(styles)))
    names = grooves(style)
    if not names:
        return [], ""
    chosen = {section: str(rng.choice(names)) for section in set(chart.sections)}
    lines = [f"RndSeed {int(rng.integers(1, 2**30))}", f"Tempo {bpm:.2f}"]
    section = None
    for number, (bar, current) in enumerate(zip(chart.bars, chart.sections, strict=True), 1):
        if current != section:
            lines.append(f"Groove {chosen[current]}")
            section = current
        first, last = bar[0].name, bar[-1].name
        lines.append(f"{number} {first}" + (f" / {last} /" if len(bar) > 1 else ""))
    with tempfile.TemporaryDirectory() as folder:
        source, midi = Path(folder) / "song.mma", Path(folder) / "song.mid"
        source.write_text("\n".join(lines) + "\n")
        try:
            done = subprocess.run(
                ["mma", str(source), "-f", str(midi)], check=False, capture_output=True
            )
        except OSError as error:
            raise DataError("mma is missing; install the package mma") from error
        if done.returncode or not midi.exists():
            raise DataError(f"mma failed on {style}: {done.stdout.decode(errors='replace')[-200:]}")
        return read_parts(midi, len(chart.bars) * 240 / bpm), chosen[chart.sections[0]]


def read_parts(midi: Path, seconds: float) -> list[Part]:
    """Return the tracks of a MIDI file as parts, cut at a time."""
    import mido

    file = mido.MidiFile(midi)
    tempo = 500_000
    for message in file.tracks[0]:
        if message.type == "set_tempo":
            tempo = message.tempo
            break
    parts: list[Part] = []
    for track in file.tracks:
        program, channel, now = 0, 0, 0.0
        notes: list[Note] = []
        sounding: dict[int, tuple[float, int]] = {}
        for message in track:
            now += mido.tick2second(message.time, file.ticks_per_beat, tempo)
            if message.type == "program_change":
                program, channel = message.program, message.channel
            elif message.type in ("note_on", "note_off"):
                channel = message.channel
                begun = sounding.pop(message.note, None)
                if begun:
                    notes.append(Note(begun[0], max(now - begun[0], 0.03), message.note, begun[1]))
                if message.type == "note_on" and message.velocity:
                    sounding[message.note] = (now, message.velocity)
        if notes:
            role = "percussion" if channel == 9 else _role(track.name)
            parts.append(Part(role, within(notes, seconds), program))
    return parts


def _role(name: str) -> str:
    kind = name.split("-")[0].lower()
    if kind in ("bass", "walk"):
        return "bass"
    return {"arpeggio": "arpeggio", "scale": "lead", "solo": "lead", "melody": "lead"}.get(
        kind, "chords"
    )
