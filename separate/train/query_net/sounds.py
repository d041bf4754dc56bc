"""The sounds that the audio tower is trained on: windows of 4 s with a label of the vocabulary.

Folders of recordings and of Debian's sample packages give mono windows at 32 kHz, each with label,
source and split. Every source that is trained on is `free` or `sharealike`.
"""

import json
import random
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import mido
import numpy as np

from separate.audio import read_audio, resample, to_mono
from separate.corpus.sources.store import SAMPLE_RATE as CACHE_RATE
from separate.errors import DataError
from separate.queries import vocabulary

SAMPLE_RATE = 32_000  # Hz
WINDOW_SECONDS = 4.0
_QUIET = 3e-3  # windows whose loudest sample is below are left out
_DEV_SONGS = ("Caesium",)  # held out, as everywhere in training
_TICKS = 480  # a beat; a beat is half a second

SONIC_PI = Path("/usr/share/sonic-pi/samples")
FRETS = Path("/usr/share/games/fretsonfire/data/songs")
ASTERISK = Path("/usr/share/asterisk/sounds")
# Its voices: folder -> (label, windows at most).
_VOICES = {
    "en_US_f_Allison": ("female speech", 400),
    "es_MX_f_Allison": ("female speech", 100),
    "fr_CA_f_June": ("female speech", 150),
    "ru_RU_f_IvrvoiceRU": ("female speech", 150),
    "it_IT_m_Carlo": ("male speech", 400),
}
SOUNDFONTS = (
    Path("/usr/share/sounds/sf2/FluidR3_GM.sf2"),
    Path("/usr/share/sounds/sf3/MuseScore_General_Full.sf3"),
)


@dataclass(frozen=True)
class Sound:
    """A window."""

    samples: np.ndarray  # (time,) float32, 32 kHz, at most 4 s
    label: str  # one of ours
    source: str  # data set
    held_out: bool  # never trained on


# Sonic Pi's file names begin with these.
_SONIC_PREFIXES = {
    "bd_": "kick",
    "drum_heavy_kick": "kick",
    "drum_bass": "kick",
    "elec_hollow_kick": "kick",
    "elec_soft_kick": "kick",
    "sn_": "snare",
    "drum_snare": "snare",
    "elec_snare": "snare",
    "elec_hi_snare": "snare",
    "elec_lo_snare": "snare",
    "elec_mid_snare": "snare",
    "elec_filt_snare": "snare",
    "drum_cymbal_closed": "hi-hat",
    "drum_cymbal_pedal": "hi-hat",
    "drum_cymbal_open": "hi-hat",
    "drum_cymbal": "cymbals",
    "drum_splash": "cymbals",
    "elec_cymbal": "cymbals",
    "drum_tom": "toms",
    "elec_fuzz_tom": "toms",
    "drum_cowbell": "cowbell",
    "drum_roll": "snare",
    "bass_": "synth bass",
    "glitch_bass": "synth bass",
    "guit_": "clean guitar",
    "tabla_": "hand drums",
    "loop_amen": "drums",
    "loop_breakbeat": "drums",
    "loop_compus": "drums",
    "loop_tabla": "hand drums",
    "loop_mehackit": "drum machine",
    "loop_safari": "drums",
    "ambi_choir": "choral vocals",
    "ambi_piano": "piano",
    "ambi_drone": "synth pad",
    "ambi_dark": "effects",
    "ambi_lunar": "synth pad",
    "ambi_swoosh": "effects",
    "perc_bell": "bells",
    "perc_snap": "claps",
    "elec_bell": "bells",
    "elec_beep": "beep",
    "elec_ping": "beep",
    "elec_blip": "beep",
    "vinyl_hiss": "noise",
    "vinyl_": "turntable",
}

# General MIDI programs (0..127) that are a label of ours: first, last, label.
_PROGRAMS = (
    (0, 3, "piano"),
    (4, 5, "electric piano"),
    (6, 7, "keys"),
    (8, 13, "mallets"),
    (14, 14, "bells"),
    (16, 20, "organ"),
    (21, 21, "accordion"),
    (22, 22, "harmonica"),
    (23, 23, "accordion"),
    (24, 25, "acoustic guitar"),
    (26, 28, "clean guitar"),
    (29, 30, "distorted guitar"),
    (32, 32, "double bass"),
    (33, 37, "bass guitar"),
    (38, 39, "synth bass"),
    (40, 40, "violin"),
    (41, 41, "viola"),
    (42, 42, "cello"),
    (43, 43, "double bass"),
    (44, 44, "strings"),
    (45, 45, "pizzicato"),
    (46, 46, "harp"),
    (47, 47, "orchestral percussion"),
    (48, 49, "strings"),
    (50, 51, "synth pad"),
    (52, 53, "choral vocals"),
    (56, 56, "trumpet"),
    (57, 57, "trombone"),
    (58, 58, "tuba"),
    (59, 59, "trumpet"),
    (60, 60, "french horn"),
    (61, 61, "brass"),
    (62, 63, "synth"),
    (64, 67, "saxophone"),
    (68, 69, "oboe"),
    (70, 70, "bassoon"),
    (71, 71, "clarinet"),
    (72, 75, "flute"),
    (80, 87, "synth lead"),
    (88, 95, "synth pad"),
    (104, 104, "sitar"),
    (105, 105, "banjo"),
    (109, 109, "bagpipes"),
    (110, 110, "violin"),
    (118, 118, "drum machine"),
)

# Notes of General MIDI's drum channel that make a label.
_DRUM_NOTES = {
    "kick": (35, 36),
    "snare": (37, 38, 40),
    "hi-hat": (42, 44, 46),
    "cymbals": (49, 51, 52, 53, 55, 57, 59),
    "toms": (41, 43, 45, 47, 48, 50),
    "claps": (39,),
    "cowbell": (56, 67, 68, 75, 76, 77, 80, 81),
    "shaker": (54, 69, 70, 82),
    "hand drums": (60, 61, 62, 63, 64, 65, 66),
    "drums": (36, 38, 42, 46, 49, 51, 45),
}
_KITS = (0, 8, 16, 24, 25, 32, 40)


def windows(
    samples: np.ndarray, sample_rate: int, seconds: float = WINDOW_SECONDS
) -> Iterator[np.ndarray]:
    """Cut audio `(channels, time)` into mono windows at 32 kHz, without the quiet ones."""
    mono = to_mono(samples)[None]
    if sample_rate != SAMPLE_RATE:
        mono = resample(mono, sample_rate, SAMPLE_RATE)
    size = int(seconds * SAMPLE_RATE)
    for start in range(0, max(mono.shape[1] - SAMPLE_RATE // 4, 1), size):
        window = mono[0, start : start + size]
        if np.abs(window).max(initial=0.0) > _QUIET:
            yield window.astype(np.float32)


def clips(folder: Path) -> Iterator[Sound]:
    """Yield labelled clips; research-only labels (speech) are held out, not trained on."""
    licences = json.loads((folder / "labels.json").read_text(encoding="utf-8"))
    for name, entry in licences.items():
        label = vocabulary.label_of(name).name
        free = entry["license"].startswith("CC")
        for path in sorted((folder / name).iterdir()):
            held_out = int(path.stem) % 10 == 0
            if not (free or held_out):
                continue
            for window in windows(*read_audio(path)):
                yield Sound(window, label, f"clips/{name}", held_out)


def songs(folder: Path) -> Iterator[Sound]:
    """Yield windows of the stems of CC0 songs; other licences are left out."""
    for description in sorted(folder.glob("*/song.json")):
        song = json.loads(description.read_text(encoding="utf-8"))
        if not song["license"].startswith("CC0"):
            continue
        for stem in song["stems"]:
            path = description.parent / f"{stem}.ogg"
            for window in windows(*read_audio(path)):
                label = vocabulary.label_of(stem).name
                held_out = description.parent.name in _DEV_SONGS
                yield Sound(window, label, f"songs/{description.parent.name}", held_out)


def sonic_pi(folder: Path = SONIC_PI) -> Iterator[Sound]:
    """Yield the samples of the Debian package sonic-pi-samples (CC0)."""
    for path in sorted(folder.glob("*.flac")):
        fitting = [prefix for prefix in _SONIC_PREFIXES if path.stem.startswith(prefix)]
        if fitting:
            for window in windows(*read_audio(path)):
                label = _SONIC_PREFIXES[max(fitting, key=len)]
                yield Sound(window, label, "sonic-pi", held_out=False)


def frets(folder: Path = FRETS) -> Iterator[Sound]:
    """Yield guitar stems of the Debian packages fretsonfire-songs-* (CC BY-SA 3.0)."""
    for path in sorted(folder.glob("*/*/guitar.ogg")):
        for window in windows(*read_audio(path)):
            yield Sound(window, "distorted guitar", "fretsonfire", held_out=False)


def asterisk(folder: Path = ASTERISK) -> Iterator[Sound]:
    """Yield speaking women and a man: Debian's asterisk-core-sounds-*-g722 (CC BY-SA 3.0)."""
    ffmpeg = shutil.which("ffmpeg")
    if ffmpeg is None:
        raise DataError("ffmpeg is needed to read g722 speech; install it, or leave speech out")
    for voice, (label, most) in _VOICES.items():
        for path in sorted((folder / voice).glob("*.g722"))[:most]:
            command = [ffmpeg, "-nostdin", "-v", "error", "-f", "g722", "-i", f"file:{path}"]
            pipe = subprocess.run([*command, "-f", "f32le", "-"], capture_output=True, check=True)
            samples = np.frombuffer(pipe.stdout, np.float32)[None]
            for window in windows(samples, 16_000):
                if len(window) > SAMPLE_RATE // 2:
                    yield Sound(window, label, f"asterisk/{voice}", held_out=False)


def rendered(folder: Path, most: int = 5) -> Iterator[Sound]:
    """Yield windows of the stems that `separate data render` wrote.

    Args:
        folder: Songs of the cache; those that hold unlabelled stems, or were not rendered, are
            left out.
        most: Windows a stem, spread over its length.
    """
    size = int(WINDOW_SECONDS * CACHE_RATE)
    for description in sorted(folder.glob("*/song.json")):
        song = json.loads(description.read_text(encoding="utf-8"))
        if not song["rendered"]:
            continue
        for stem in song["stems"]:
            samples = np.load(description.parent / f"{stem}.npy", mmap_mode="r")
            whole = range(0, len(samples) - size, size)
            for start in whole[:: max(1, -(-len(whole) // most))]:
                piece = samples[start : start + size].T.astype(np.float32) / 32_767
                for window in windows(piece, CACHE_RATE):
                    yield Sound(window, vocabulary.label_of(stem).name, "rendered", held_out=False)


def soundfont(path: Path, seed: int, takes: int = 10) -> Iterator[Sound]:
    """Play every General MIDI program and drum label with a soundfont (both are MIT).

    Args:
        path: The `.sf2` or `.sf3` file.
        seed: Of the notes.
        takes: Windows a program.
    """
    if not path.exists() or shutil.which("fluidsynth") is None:
        raise DataError(f"{path}: install fluidsynth and the soundfont's Debian package first")
    generator = random.Random(seed)
    jobs = [
        (label, program)
        for first, last, label in _PROGRAMS
        for program in range(first, last + 1)
        for _ in range(takes)
    ]
    kits = [(label, -1) for label in _DRUM_NOTES for _ in range(takes * 6)]
    midi = _score(jobs + kits, generator)
    with tempfile.TemporaryDirectory() as name:
        score, rendered = Path(name) / "score.mid", Path(name) / "score.wav"
        midi.save(score)
        command = ["fluidsynth", "-ni", "-g", "0.5", "-r", str(SAMPLE_RATE), "-F", str(rendered)]
        subprocess.run([*command, str(path), str(score)], capture_output=True, check=True)
        samples, sample_rate = read_audio(rendered)
    size = int(WINDOW_SECONDS * sample_rate)
    for index, (label, _) in enumerate(jobs + kits):
        piece = samples[:, index * (size + sample_rate) :][:, :size]  # a second's pause between
        for window in windows(piece, sample_rate):
            yield Sound(window, label, path.stem, held_out=False)


def _score(jobs: list[tuple[str, int]], generator: random.Random) -> mido.MidiFile:
    """Write four seconds of music a job, each followed by a second's pause."""
    events: list[tuple[int, mido.Message]] = []
    beat = _TICKS
    for index, (label, program) in enumerate(jobs):
        start = index * 10 * beat  # ten beats are five seconds
        channel = 9 if program < 0 else 0
        number = generator.choice(_KITS) if program < 0 else program
        events.append((start, mido.Message("program_change", program=number, channel=channel)))
        part = _drum_part(label, generator) if program < 0 else _melody(label, generator)
        for onset, length, note in part:
            velocity = generator.randint(60, 120)
            message = mido.Message("note_on", note=note, velocity=velocity, channel=channel)
            events.append((start + onset, message))
            release = mido.Message("note_off", note=note, channel=channel)
            events.append((start + onset + length, release))
    events.sort(key=lambda event: event[0])
    track = mido.MidiTrack()
    now = 0
    for time, message in events:
        track.append(message.copy(time=time - now))
        now = time
    track.append(mido.MetaMessage("end_of_track", time=beat))
    return mido.MidiFile(ticks_per_beat=_TICKS, tracks=[track])


_LOW = ("double bass", "bass guitar", "synth bass", "tuba", "bassoon")
_HIGH = ("flute", "violin", "trumpet", "mallets", "bells", "oboe", "mandolin")


def _melody(label: str, generator: random.Random) -> list[tuple[int, int, int]]:
    """Notes of (onset, length, pitch) in ticks: chords, arpeggios or a line in a random scale."""
    centre = 36 if label in _LOW else 72 if label in _HIGH else 58
    root = centre + generator.randint(-5, 6)
    scale = generator.choice(((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 3, 5, 7, 10)))
    step = generator.choice((120, 240, 240, 480, 960))
    chords = label not in _LOW and generator.random() < 0.4
    notes = []
    degree = generator.randrange(len(scale))
    for onset in range(0, 8 * _TICKS, step):
        degree = (degree + generator.choice((-2, -1, 1, 2))) % (2 * len(scale))
        for third in (0, 2, 4) if chords else (0,):
            octave, tone = divmod(degree + third, len(scale))
            length = int(step * generator.uniform(0.5, 1.0))
            notes.append((onset, length, root + 12 * octave + scale[tone]))
    return notes


def _drum_part(label: str, generator: random.Random) -> list[tuple[int, int, int]]:
    step = generator.choice((120, 240, 480)) if label != "cymbals" else generator.choice((240, 960))
    density = generator.uniform(0.4, 1.0)
    return [
        (onset, 60, generator.choice(_DRUM_NOTES[label]))
        for onset in range(0, 8 * _TICKS, step)
        if onset == 0 or generator.random() < density
    ]


def all_sounds(data: Path, corpus: Path | None = None, seed: int = 0) -> Iterator[Sound]:
    """Yield everything that is at hand; sources that are not installed are left out.

    Args:
        data: Folder with `clips` and `songs/train`.
        corpus: Folder of rendered songs, or None.
        seed: Of what soundfonts play.
    """
    sources: list[Callable[[], Iterator[Sound]]] = [
        partial(clips, data / "clips"),
        partial(songs, data / "songs" / "train"),
        sonic_pi,
        frets,
        asterisk,
    ]
    for number, path in enumerate(SOUNDFONTS):
        sources.append(partial(soundfont, path, seed + number))
    if corpus is not None:
        sources.append(partial(rendered, corpus))
    for source in sources:
        yield from source()
