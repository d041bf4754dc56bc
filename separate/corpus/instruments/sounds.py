"""Choose an instrument and effects for a part, and render its notes to audio."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from separate.corpus.composing.notes import Note, transposed
from separate.corpus.instruments.pitched import play_sfz, play_soundfont
from separate.corpus.instruments.synths import play_synth, random_patch
from separate.corpus.rendering.effects import (
    active_rms,
    amplifier,
    chorus,
    compressed,
    echoes,
    filtered,
    panned,
    room,
    saturated,
    tone,
    with_room,
)
from separate.corpus.sources.catalogue import CatalogueEntry, Library
from separate.corpus.sources.store import SAMPLE_RATE

# General MIDI programs, eight at a time -> our labels.
_FAMILIES = (
    "piano piano piano piano electric_piano electric_piano keys keys",
    "mallets mallets mallets mallets mallets mallets bells mallets",
    "organ organ organ organ organ accordion harmonica accordion",
    "acoustic_guitar acoustic_guitar clean_guitar clean_guitar clean_guitar distorted_guitar "
    "distorted_guitar clean_guitar",
    "double_bass electric_bass electric_bass electric_bass electric_bass electric_bass synth_bass "
    "synth_bass",
    "violin viola cello double_bass strings pizzicato harp mallets",
    "strings strings synth_pad synth_pad - - - -",
    "trumpet trombone tuba trumpet french_horn brass brass brass",
    "saxophone saxophone saxophone saxophone oboe oboe bassoon clarinet",
    "flute flute flute flute flute flute flute flute",
    "synth_lead synth_lead synth_lead synth_lead synth_lead synth_lead synth_lead synth_lead",
    "synth_pad synth_pad synth_pad synth_pad synth_pad synth_pad synth_pad synth_pad",
    "- - - - - - - -",
    "sitar banjo - - - - violin -",
)
PROGRAM_LABELS = tuple(label for family in _FAMILIES for label in family.split())
_LABEL_PROGRAMS = {
    label: tuple(p for p, other in enumerate(PROGRAM_LABELS) if other == label)
    for label in set(PROGRAM_LABELS) - {"-"}
}
_RANGES = {  # lowest and highest key that the sampled instruments have
    "electric_bass": (28, 60), "double_bass": (28, 55), "synth_bass": (26, 60),
    "saxophone": (49, 80), "clean_guitar": (40, 84), "distorted_guitar": (40, 84),
    "electric_guitar": (40, 84), "acoustic_guitar": (40, 84),
}  # fmt: skip
_SFZ = {  # label of our stems -> label of the SFZ sources
    "electric_bass": "electric_bass", "double_bass": "double_bass", "piano": "piano",
    "electric_piano": "electric_piano", "saxophone": "saxophone", "clean_guitar": "electric_guitar",
    "distorted_guitar": "electric_guitar", "electric_guitar": "electric_guitar",
}  # fmt: skip
_SFZ_SHARE = {"piano": 0.4, "saxophone": 0.6, "electric_piano": 0.5}
_SYNTHS = ("synth_bass", "synth_pad", "synth_lead", "arpeggio", "stab")
_GUITARS = ("clean_guitar", "distorted_guitar", "electric_guitar")
PARENTS = {"electric_bass": "bass", "double_bass": "bass", "synth_bass": "bass"}


@dataclass(frozen=True)
class RenderedPart:
    """One rendered part."""

    label: str
    audio: np.ndarray  # float32 (2, samples)
    sources: tuple[CatalogueEntry, ...]  # what it was made of, for the licence


@dataclass(frozen=True)
class Taste:
    """What all parts of a song have in common."""

    seconds: float
    beat: float  # seconds
    drive: tuple[float, float]  # dB of the guitar amplifiers
    hall: np.ndarray  # a room that several instruments share, (2, samples)


def label_of_program(program: int) -> str | None:
    """Return our label for a General MIDI program; None for what we don't use (choirs, effects)."""
    label = PROGRAM_LABELS[program] if program < len(PROGRAM_LABELS) else "-"
    return None if label == "-" else label


def make_track(
    label: str,
    notes: Sequence[Note],
    library: Library,
    taste: Taste,
    rng: np.random.Generator,
    program: int | None = None,
    muted: Sequence[Note] = (),
    drive_db: float | None = None,
) -> RenderedPart | None:
    """Choose an instrument for a part, play it, and treat it as records do.

    Args:
        label: What it shall be.
        notes: The part.
        library: What can be played.
        taste: Length and habits of the song.
        rng: CatalogueEntry of chance.
        program: The General MIDI program to prefer.
        muted: Notes played with the palm on the strings.
        drive_db: The guitar amplifier's gain; by default from the taste.

    Returns:
        The track; None where no instrument is at hand, or nothing sounds.
    """
    low, high = _RANGES.get(label, (24, 103))
    notes, muted = transposed(notes, low, high), transposed(muted, low, high)
    if not notes and not muted:
        return None
    if label in _SYNTHS and (rng.random() < 0.85 or label in ("arpeggio", "stab")):
        audio = play_synth(notes, taste.seconds, random_patch(rng, label), rng)
        final = {"stab": "synth_lead"}.get(label, label)
        return _finished(final, audio, (), taste, rng)
    played = _played(label, notes, muted, library, taste, rng, program)
    if played is None or active_rms(played[0]) < 1e-6:
        return None
    audio, used = played
    if label in _GUITARS:
        if drive_db is None:
            drive_db = float(rng.uniform(*taste.drive))
            if label == "distorted_guitar":
                drive_db = max(drive_db, float(rng.uniform(18, 40)))
        audio = amplifier(audio, rng, drive_db)
        label = "distorted_guitar" if drive_db > 16 else "clean_guitar"
    return _finished(label, audio, used, taste, rng)


def _played(
    label: str, notes: Sequence[Note], muted: Sequence[Note], library: Library, taste: Taste,
    rng: np.random.Generator, program: int | None,
) -> tuple[np.ndarray, tuple[CatalogueEntry, ...]] | None:  # fmt: skip
    """Return the dry sound and its sources; None where no instrument is at hand."""
    wanted = _SFZ.get(label)
    choices = library.of("sfz", wanted) if wanted else []
    if choices and rng.random() < _SFZ_SHARE.get(label, 0.75):
        source = choices[int(rng.integers(len(choices)))]
        audio = play_sfz(source, notes, taste.seconds, rng)
        used: tuple[CatalogueEntry, ...] = (source,)
        damped = library.of("sfz", f"{wanted}_muted")
        if muted:
            if damped:
                other = damped[int(rng.integers(len(damped)))]
                short = [replace(note, length=min(note.length, 0.12)) for note in muted]
                played = play_sfz(other, short, taste.seconds, rng)
                used = (source, other)
            else:
                short = [replace(note, length=min(note.length, 0.06)) for note in muted]
                played = filtered(play_sfz(source, short, taste.seconds, rng), "lowpass", 900.0)
            audio = audio + played * _match(audio, played)
        return audio, used
    fonts = library.of("soundfont")
    programs = _LABEL_PROGRAMS.get(label, (27,) if label == "electric_guitar" else ())
    if not fonts or not programs:
        return None
    if program is None or program not in programs or rng.random() < 0.4:
        program = int(rng.choice(programs))
    if label in ("distorted_guitar", "electric_guitar"):
        program = 27  # a clean one; the amplifier distorts
    source = fonts[int(rng.choice(len(fonts)))]
    both = sorted((*notes, *(replace(note, length=0.08) for note in muted)), key=lambda n: n.start)
    return play_soundfont(source, both, taste.seconds, program), (source,)


def _match(ringing: np.ndarray, muted: np.ndarray) -> np.float32:
    """Return the gain that brings muted notes a little below ringing ones."""
    loud, soft = active_rms(ringing), active_rms(muted)
    return np.float32(0.7 * loud / soft if loud > 1e-6 and soft > 1e-6 else 1.0)


def _finished(
    label: str,
    audio: np.ndarray,
    used: tuple[CatalogueEntry, ...],
    taste: Taste,
    rng: np.random.Generator,
) -> RenderedPart:
    """Return the track after its channel: equaliser, compressor, modulation, echoes, room."""
    audio = audio * np.float32(0.1 / max(active_rms(audio), 1e-6))
    if label in PARENTS:
        return RenderedPart(label, _bass_channel(label, audio, rng), used)
    if rng.random() < 0.5:
        audio = filtered(audio, "highpass", float(rng.uniform(50, 200)))
    audio = tone(audio, rng, 4.0)
    if rng.random() < 0.5:
        audio = compressed(audio, float(rng.uniform(-12, -3)), float(rng.uniform(2, 5)))
    if label in ("clean_guitar", "electric_piano", "synth_pad", "organ") and rng.random() < 0.4:
        audio = chorus(audio, rng, float(rng.uniform(0.2, 0.8)))
    if rng.random() < (0.5 if label in ("synth_lead", "arpeggio") else 0.12):
        step = taste.beat * float(rng.choice([0.25, 0.5, 0.75]))
        audio = echoes(audio, step, float(rng.uniform(0.2, 0.55)), float(rng.uniform(-18, -7)))
    if rng.random() < 0.6:
        audio = with_room(audio, taste.hall, float(rng.uniform(-24, -8)))
    elif rng.random() < 0.5:
        impulse = room(rng, float(rng.uniform(0.2, 1.5)), float(rng.uniform(2500, 9000)))
        audio = with_room(audio, impulse, float(rng.uniform(-22, -9)))
    return RenderedPart(label, audio, used)


def _bass_channel(label: str, audio: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a bass: mono, compressed; electric ones often driven, some through a loudspeaker."""
    if label != "synth_bass" or rng.random() < 0.6:
        audio = audio.mean(axis=0, keepdims=True)
    if label == "electric_bass" and rng.random() < 0.6:
        dirt = saturated(audio, float(rng.uniform(2, 22)), float(rng.uniform(0, 0.3)))
        dirt = filtered(dirt, "lowpass", float(rng.uniform(2500, 6000)))
        dirt *= np.float32(0.1 / max(active_rms(dirt), 1e-6))
        share = float(rng.uniform(0.2, 1.0))
        audio = audio * np.float32(1 - share) + dirt * np.float32(share)
    if label == "electric_bass" and rng.random() < 0.7:  # the tone knob
        audio = filtered(audio, "lowpass", float(np.exp(rng.uniform(5.7, 8.3))), 1)
    audio = filtered(tone(audio, rng, 4.0), "highpass", float(rng.uniform(25, 45)))
    audio = compressed(audio, float(rng.uniform(-14, -4)), float(rng.uniform(2, 6)), 0.015, 0.15)
    audio = np.broadcast_to(audio, (2, audio.shape[1])).copy()
    if label == "double_bass" and rng.random() < 0.7:
        impulse = room(rng, float(rng.uniform(0.2, 0.8)), 4000.0)
        audio = with_room(audio, impulse, float(rng.uniform(-24, -12)))
    return audio


def doubled(
    label: str, notes: Sequence[Note], muted: Sequence[Note], library: Library, taste: Taste,
    rng: np.random.Generator, drive_db: float,
) -> RenderedPart | None:  # fmt: skip
    """Return a guitar played twice, one take left and one right, as rock records have it."""
    takes = []
    for side in (-1.0, 1.0):
        loose = [_shifted(note, rng) for note in notes]
        loose_muted = [_shifted(note, rng) for note in muted]
        track = make_track(
            "electric_guitar", loose, library, taste, rng, None, loose_muted, drive_db
        )
        if track is None:
            return None
        takes.append(replace(track, audio=panned(track.audio, side * float(rng.uniform(0.6, 1)))))
    both = takes[0].audio + takes[1].audio
    return RenderedPart(takes[0].label, both, (*takes[0].sources, *takes[1].sources))


def _shifted(note: Note, rng: np.random.Generator) -> Note:
    velocity = int(np.clip(note.velocity + rng.normal(0, 6), 15, 127))
    return replace(note, start=max(0.0, note.start + rng.normal(0, 0.007)), velocity=velocity)


def silent(seconds: float) -> np.ndarray:
    """Return silence, float32 `(2, samples)`."""
    return np.zeros((2, int(seconds * SAMPLE_RATE)), dtype=np.float32)
