"""Choose the parts of a song and the instruments that play them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from separate.corpus.composing import chords, parts, performances
from separate.corpus.composing.drums import play_kit
from separate.corpus.composing.genres import Genre
from separate.corpus.composing.notes import Hit, Note, Part
from separate.corpus.instruments import kits, machines
from separate.corpus.instruments.sounds import (
    PARENTS,
    RenderedPart,
    Taste,
    doubled,
    label_of_program,
    make_track,
)
from separate.corpus.instruments.vocals import (
    Syllable,
    random_singer,
    read_speech,
    sing,
    syllables_of,
    vocal_channel,
)
from separate.corpus.rendering.effects import panned, side_chain_gain
from separate.corpus.sources.catalogue import CatalogueEntry, Library

_PERCUSSION = {  # General MIDI keys of mma's percussion that a drummer does not play
    54: "tambourine", 56: "cowbell", 60: "bongo_high", 61: "bongo_low", 62: "conga_high",
    63: "conga_high", 64: "conga_low", 65: "conga_high", 66: "conga_low", 69: "shaker",
    70: "shaker", 75: "clave", 76: "clave", 77: "clave", 82: "shaker", 39: "clap", 67: "cowbell",
    68: "cowbell",
}  # fmt: skip
_LAYERS = {  # our own further parts: labels, and what they play
    "pad": (("synth_pad", "synth_pad", "strings", "organ"), "pads"),
    "strings": (("strings",), "pads"),
    "organ": (("organ",), "pads"),
    "arpeggio": (("arpeggio",), "arpeggio"),
    "keys": (("piano", "electric_piano", "piano", "keys", "mallets"), "keys"),
    "stabs": (("brass", "stab", "organ", "piano", "trumpet", "strings", "saxophone"), "stabs"),
    "lead": (("synth_lead", "saxophone", "flute", "trumpet", "violin", "distorted_guitar",
              "clean_guitar", "clarinet", "harmonica", "mallets", "trombone", "cello", "synth_lead",
              "accordion", "oboe"), "melody"),
}  # fmt: skip


@dataclass(frozen=True)
class Beat:
    """What the drummer does."""

    hits: list[Hit]
    kit: kits.Kit
    electronic: bool
    sources: tuple[CatalogueEntry, ...]


def drum_part(
    genre: Genre, setting: parts.Setting, library: Library, rng: np.random.Generator
) -> Beat:
    """Choose a drummer or a program, and a kit."""
    groove = library.found.get("groove")
    sources: tuple[CatalogueEntry, ...] = ()
    electronic = bool(rng.random() < genre.drum_machine)
    if groove and genre.drum_styles:
        found = performances.performances(Path(groove.path))
        for _ in range(6):  # some takes are exercises on one drum
            take = performances.choose(found, genre.drum_styles, rng)
            hits = performances.play_performance(take, setting.bpm, setting.bars, rng)
            if {"kick", "snare"} <= {hit.articulation for hit in hits}:
                break
        sources = (groove,)
    else:
        sections = setting.chart.sections
        hits = performances.machine_pattern(genre.name, setting.bpm, setting.bars, sections, rng)
    kit, source = choose_kit(library, electronic, rng)
    if rng.random() < 0.15 and setting.bars > 8:  # the drums come in later, or pause
        quiet = int(rng.integers(0, max(1, setting.bars - 4)))
        low, high = (x * 16 * setting.step for x in (quiet, quiet + 4))
        hits = [hit for hit in hits if not low <= hit.start < high]
    return Beat(hits, kit, electronic, (*sources, *((source,) if source else ())))


def choose_kit(
    library: Library, electronic: bool, rng: np.random.Generator
) -> tuple[kits.Kit, CatalogueEntry | None]:
    """Return a drum kit, and what it is made of (None: it is synthesized)."""
    electric = ("audiophob", "electric_empire", "hard_electro", "vari_breaks", "rumpf")
    fonts = library.of("soundfont")
    if electronic:
        choices: list[CatalogueEntry] = [
            library.found[name] for name in electric if name in library.found
        ]
        choices += library.of("one_shots") * 3
    else:
        choices = library.of("soundfont_kit") * 3 + library.of("one_shots")
        real = ("forzee", "forzee", "bja_pacific", "bja_pacific", "colombo", "millo", "millo2",
                "millo3")  # fmt: skip
        choices += [library.found[name] for name in real if name in library.found]
    roll = rng.random()
    if electronic and (roll < 0.4 or not choices):
        return machines.machine_kit(rng), None
    if fonts and (roll > 0.85 or not choices):
        programs = (24, 25, 25) if electronic else (0, 8, 16, 32, 40)
        font = fonts[int(rng.integers(len(fonts)))]
        return kits.general_midi_kit(font, int(rng.choice(programs))), font
    if not choices:
        return machines.machine_kit(rng), None
    source = choices[int(rng.integers(len(choices)))]
    if electronic and source.kind == "one_shots":
        return kits.electronic_kit(Path(source.path), rng), source
    return kits.load_kit(source), source


def played_kit(beat: Beat, taste: Taste, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return the kit's stems."""
    return play_kit(beat.kit, beat.hits, taste.seconds, rng, beat.electronic)


def band(
    genre: Genre, setting: parts.Setting, library: Library, taste: Taste, rng: np.random.Generator
) -> tuple[list[RenderedPart], str]:
    """Return bass, guitars, keys and the rest: mma's arrangement or our own players."""
    groove = ""
    tracks: list[RenderedPart | None] = []
    if library.programs.get("mma") and rng.random() > genre.written:
        found, groove = chords.accompany(setting.chart, genre.accompaniments, setting.bpm, rng)
        tracks += _arranged(found, genre, library, taste, rng)
    if not any(track and track.label in PARENTS for track in tracks) and rng.random() < 0.97:
        label = str(rng.choice(genre.bass))
        line = parts.bass_line(setting, rng, int(rng.choice([28, 28, 33])))
        tracks.append(make_track(label, line, library, taste, rng))
    if not groove:
        tracks += _guitars(genre, setting, library, taste, rng)
    tracks += _layers(genre, setting, library, taste, rng, 1 if groove else 3)
    return [track for track in tracks if track is not None], groove


def _arranged(
    found: Sequence[Part], genre: Genre, library: Library, taste: Taste, rng: np.random.Generator
) -> list[RenderedPart | None]:
    """Return mma's parts played: the same role goes to one instrument, at most five of them."""
    bass = [part for part in found if part.role == "bass" and 32 <= part.program < 40]
    others = [part for part in found if part not in bass and part.role != "percussion"]
    tracks: list[RenderedPart | None] = []
    if bass:
        notes = sorted((note for part in bass for note in part.notes), key=lambda n: n.start)
        own = label_of_program(bass[0].program) or "electric_bass"
        label = own if rng.random() < 0.5 else str(rng.choice(genre.bass))
        tracks.append(make_track(label, notes, library, taste, rng, bass[0].program))
    for part in others[:5]:
        label = label_of_program(part.program) or ""
        if not label or label in PARENTS or rng.random() < 0.25:
            choices = ["piano", "clean_guitar", "acoustic_guitar", "electric_piano", "organ",
                       "strings", "brass", "synth_pad", "mallets", "harp"]  # fmt: skip
            label = str(rng.choice(choices))
        track = make_track(label, part.notes, library, taste, rng, part.program)
        tracks.append(track)
    hits = [
        Hit(note.start, _PERCUSSION[note.pitch], note.velocity)
        for part in found
        if part.role == "percussion"
        for note in part.notes
        if note.pitch in _PERCUSSION
    ]
    if len(hits) > 8:
        tracks += _percussion(hits, library, taste, rng)
    return tracks


def _percussion(
    hits: list[Hit], library: Library, taste: Taste, rng: np.random.Generator
) -> list[RenderedPart | None]:
    fonts = library.of("soundfont")
    names = [
        name
        for name in ("gimme_a_hand", "forzee", "black_pearl", "circ_afrique")
        if name in library.found
    ]
    if names and rng.random() < 0.6:
        source = library.found[str(rng.choice(names))]
        kit = kits.load_kit(source)
    elif fonts:
        source = fonts[int(rng.integers(len(fonts)))]
        kit = kits.general_midi_kit(source, 0)
    else:
        return []
    stems = play_kit(kit, hits, taste.seconds, rng, electronic=False)
    return [RenderedPart(label, panned(stem, float(rng.normal(0, 0.3))), (source,))
            for label, stem in stems.items()]  # fmt: skip


def _guitars(
    genre: Genre, setting: parts.Setting, library: Library, taste: Taste, rng: np.random.Generator
) -> list[RenderedPart | None]:
    tracks: list[RenderedPart | None] = []
    styles = [style for style in genre.guitars if rng.random() < 0.75][:2]
    for style in dict.fromkeys(styles):
        if style == "riff":
            ringing, muted = parts.riff_guitar(setting, rng)
            drive = float(rng.uniform(*genre.drive))
            tracks.append(doubled("distorted_guitar", ringing, muted, library, taste, rng, drive))
            continue
        if style == "picked":
            notes = parts.picked(
                setting, rng, int(rng.choice([45, 50])), int(rng.choice([1, 2, 2]))
            )
        else:
            notes = parts.strummed(setting, rng, style)
        label = "acoustic_guitar" if style in ("strum", "picked") and rng.random() < 0.5 else (
            "clean_guitar")  # fmt: skip
        tracks.append(make_track(label, notes, library, taste, rng))
    return tracks


def _layers(
    genre: Genre, setting: parts.Setting, library: Library, taste: Taste,
    rng: np.random.Generator, most: int,
) -> list[RenderedPart | None]:  # fmt: skip
    count = int(rng.integers(0 if most == 1 else 1, most + 1))
    chosen = rng.permutation(list(dict.fromkeys(genre.layers)))[:count]
    tracks: list[RenderedPart | None] = []
    for name in chosen:
        labels, player = _LAYERS[str(name)]
        label = str(rng.choice(labels))
        drive = None
        if player == "pads":
            notes = parts.pads(setting, rng)
        elif player == "arpeggio":
            notes = parts.picked(setting, rng, int(rng.choice([52, 60, 64])), 1)
        elif player == "keys":
            notes = parts.stabs(setting, rng) if rng.random() < 0.5 else parts.picked(
                setting, rng, 55)  # fmt: skip
        elif player == "stabs":
            notes = parts.stabs(setting, rng)
        else:
            notes = parts.melody(setting, rng, 58, 79, rest=0.35)
            if label == "distorted_guitar":
                drive = float(rng.uniform(22, 45))
        label = "electric_guitar" if drive is not None else label
        notes = _rested(notes, setting, rng)
        tracks.append(make_track(label, notes, library, taste, rng, drive_db=drive))
    return tracks


def _rested(notes: list[Note], setting: parts.Setting, rng: np.random.Generator) -> list[Note]:
    """Return the notes without those of a section, where the part rests."""
    if rng.random() < 0.6:
        return notes
    quiet = int(rng.choice(setting.chart.sections))
    bar = 16 * setting.step
    kept = [
        note
        for note in notes
        if setting.chart.sections[min(int(note.start / bar + 1e-6), setting.bars - 1)] != quiet
    ]
    return kept or notes


def pumped(
    tracks: list[RenderedPart], beat: Beat, taste: Taste, rng: np.random.Generator
) -> list[RenderedPart]:
    """Return synths and basses that duck under the kick, as dance records have it."""
    kicks = np.array([hit.start for hit in beat.hits if hit.articulation == "kick"])
    if not beat.electronic or not len(kicks) or rng.random() < 0.4:
        return tracks
    depth, release = float(rng.uniform(0.3, 0.95)), taste.beat * float(rng.uniform(0.4, 0.9))
    gain = side_chain_gain(kicks, tracks[0].audio.shape[1], depth, release) if tracks else None
    ducked = ("synth_pad", "synth_bass", "arpeggio", "strings", "piano", "synth_lead")
    return [
        replace(track, audio=track.audio * gain)
        if track.label in ducked and rng.random() < 0.8 else track
        for track in tracks
    ]  # fmt: skip


def voices(
    genre: Genre, setting: parts.Setting, library: Library, taste: Taste, rng: np.random.Generator
) -> list[RenderedPart]:
    """Return lead and backing vocals sung from speech; none where no voice is at hand."""
    speakers = library.of("voice")
    if not speakers:
        return []
    speaker = speakers[int(rng.integers(len(speakers)))]
    syllables = _syllables(speaker, rng)
    if len(syllables) < 8:
        return []
    deep = "_m_" in speaker.path or rng.random() < 0.3
    low = int(rng.integers(45, 52) if deep else rng.integers(53, 60))
    rap = genre.name in ("hiphop", "trap") and rng.random() < 0.6
    singer = random_singer(rng)
    wet = rng.random() < (0.5 if genre.drum_machine > 0.4 else 0.15)
    if rap:
        notes = _rapped(setting, low, rng)
        singer = replace(singer, vibrato_cents=0.0, glide=0.12, drift_cents=60.0)
    else:
        notes = parts.melody(setting, rng, low, low + 16, rest=0.2)
    if not notes:
        return []
    lead = sing(syllables, notes, taste.seconds, singer, rng)
    label = "rapping" if rap else "lead_vocals"
    tracks = [RenderedPart(label, vocal_channel(lead, rng, taste.beat, wet), (speaker,))]
    if not rap and rng.random() < 0.45:
        for steps in ([2], [-3], [4, 2], [0])[int(rng.integers(4))]:
            second = parts.harmonised(notes, setting, steps, rng)
            voice = sing(syllables, second, taste.seconds, random_singer(rng), rng)
            place = float(rng.uniform(-0.8, 0.8))
            audio = vocal_channel(voice, rng, taste.beat, rng.random() < 0.4, place)
            tracks.append(RenderedPart("backing_vocals", audio, (speaker,)))
    return tracks


def _syllables(speaker: CatalogueEntry, rng: np.random.Generator) -> list[Syllable]:
    files = [p for p in sorted(Path(speaker.path).glob("*.g722")) if p.stat().st_size > 16000]
    found: list[Syllable] = []
    for index in rng.permutation(len(files))[:12]:
        found += syllables_of(read_speech(files[index])[: 16000 * 4])
        if len(found) >= 36:
            break
    return found


def _rapped(setting: parts.Setting, low: int, rng: np.random.Generator) -> list[Note]:
    """Return speech-like notes in sixteenths and eighths, each line falling in pitch."""
    notes: list[Note] = []
    for bar in range(setting.bars):
        if rng.random() < 0.12:
            continue
        steps = [s for s in range(16) if rng.random() < (0.75 if s % 2 == 0 else 0.4) and s < 14]
        for index, step in enumerate(steps):
            following = steps[index + 1] if index + 1 < len(steps) else step + 2
            length = (following - step) * setting.step * 0.95
            pitch = low + 5 - int(4 * step / 16) + int(rng.integers(-2, 3))
            start = (bar * 16 + step) * setting.step + max(0.0, rng.normal(0, 0.012))
            notes.append(Note(start, length, pitch, int(rng.integers(80, 110))))
    return notes
