"""Drum kits: one-shot samples by articulation and velocity layer.

A `Kit` is read from a hydrogen kit, the samples of a drum soundfont, a General MIDI soundfont (by
fluidsynth) or Sonic Pi's one-shots, or it is a synthesized drum machine.
"""

import re
import struct
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import soxr

from separate.corpus.composing.notes import Note
from separate.corpus.instruments.pitched import play_soundfont
from separate.corpus.sources.catalogue import CatalogueEntry
from separate.corpus.sources.store import SAMPLE_RATE, read_stereo
from separate.errors import DataError

# Articulation -> the stem's label that it belongs to.
PIECES = {
    "kick": "kick", "snare": "snare", "snare_edge": "snare", "rim": "snare",
    "hh_closed": "hihat", "hh_open": "hihat", "hh_pedal": "hihat",
    "crash1": "cymbals", "crash2": "cymbals", "ride": "cymbals", "ride_bell": "cymbals",
    "china": "cymbals", "splash": "cymbals",
    "tom1": "toms", "tom2": "toms", "tom3": "toms",
    "clap": "claps", "cowbell": "cowbell", "tambourine": "shaker", "shaker": "shaker",
    "conga_high": "hand_drums", "conga_low": "hand_drums", "bongo_high": "hand_drums",
    "bongo_low": "hand_drums", "clave": "cowbell",
}  # fmt: skip
# What a kit plays where it lacks an articulation.
INSTEAD = {
    "snare_edge": "snare", "rim": "snare", "hh_pedal": "hh_closed", "hh_open": "crash1",
    "crash2": "crash1", "ride": "hh_closed", "ride_bell": "ride", "china": "crash1",
    "splash": "crash1", "tom1": "tom2", "tom2": "tom3", "tom3": "tom2", "tambourine": "shaker",
    "shaker": "hh_closed", "clap": "snare", "cowbell": "rim", "clave": "rim",
    "conga_high": "tom1", "conga_low": "tom2", "bongo_high": "conga_high",
    "bongo_low": "conga_low", "crash1": "ride",
}  # fmt: skip
GM_KEYS = {
    "kick": 36, "rim": 37, "snare": 38, "clap": 39, "snare_edge": 40, "tom3": 41, "hh_closed": 42,
    "hh_pedal": 44, "tom2": 45, "hh_open": 46, "tom1": 48, "crash1": 49, "ride": 51, "china": 52,
    "ride_bell": 53, "tambourine": 54, "splash": 55, "cowbell": 56, "crash2": 57, "bongo_high": 60,
    "bongo_low": 61, "conga_high": 63, "conga_low": 64, "shaker": 70, "clave": 75,
}  # fmt: skip
_NAMES = (  # what makers call their drums, most special first
    ("rim", r"stick|rim ?click|^click"), ("snare_edge", r"rimshot"), ("clap", r"clap|snaps"),
    ("kick", r"kick|bass ?drum|^bd|thump"), ("snare", r"snare|slap|cajon slap"),
    ("hh_pedal", r"pedal|pd$"), ("hh_open", r"semi|open|ohh|hat op|1 op"),
    ("hh_closed", r"hat|hh"), ("ride_bell", r"bell|cup"), ("china", r"china"),
    ("splash", r"splash"), ("ride", r"ride"), ("crash1", r"crash|cymbal"),
    ("tom3", r"floor|tom low|low tom"), ("tom2", r"tom mid|mid\w* tom|tom 2|drum 1"),
    ("tom1", r"tom|drum 2"), ("cowbell", r"cowbell|agogo|woodblock|glass"), ("clave", r"clave"),
    ("tambourine", r"tambourine"), ("shaker", r"maraca|shaker"),
    ("conga_high", r"conga 1|tone|head hit"), ("conga_low", r"conga 2|djembe\d bass|mute"),
    ("bongo_high", r"bongo hi"), ("bongo_low", r"bongo lo"),
)  # fmt: skip


@dataclass(frozen=True)
class Kit:
    """A drum kit: for each articulation its velocity layers, each one or several takes."""

    name: str
    license: str
    layers: dict[str, tuple[tuple[np.ndarray, ...], ...]]  # softest first; float32 (2, samples)


Layers = dict[str, tuple[tuple[np.ndarray, ...], ...]]


def load_kit(source: CatalogueEntry) -> Kit:
    """Load a kit from a source of kind `kit`, `soundfont_kit`, or `one_shots`."""
    readers: dict[str, Callable[[Path], Layers]] = {
        "kit": _hydrogen,
        "soundfont_kit": _soundfont_samples,
        "one_shots": _one_shots,
    }
    layers: Layers = readers[source.kind](Path(source.path))
    if "kick" not in layers and "conga_high" not in layers and "bongo_high" not in layers:
        raise DataError(f"{source.path}: no drums found in it; install its package again")
    return Kit(source.name, source.license, layers)


@lru_cache(maxsize=4)
def _hydrogen(folder: Path) -> Layers:
    text = (folder / "drumkit.xml").read_text(errors="replace")
    text = re.sub(r'\sxmlns(:\w+)?="[^"]*"|\sxsi:\w+="[^"]*"', "", text)
    found: dict[str, list[list[tuple[float, Path, float]]]] = {}
    for instrument in ET.fromstring(text).iter("instrument"):
        articulation = _articulation(instrument.findtext("name") or "")
        layers = [
            (float(layer.findtext("min") or 0), folder / (layer.findtext("filename") or "-"),
             float(layer.findtext("gain") or 1))
            for layer in instrument.iter("layer")
        ]  # fmt: skip
        single = instrument.findtext("filename")
        if not layers and single:
            layers = [(0.0, folder / single, 1.0)]
        layers = sorted(layer for layer in layers if layer[1].is_file())
        if articulation and layers:
            found.setdefault(articulation, []).append(layers)
    result: Layers = {}
    for articulation, choices in found.items():
        most = max(choices, key=len)
        if articulation == "crash1" and len(choices) > 1:
            other = next(choice for choice in choices if choice is not most)
            result["crash2"] = tuple((read_stereo(path) * gain,) for _, path, gain in other)
        result[articulation] = tuple((read_stereo(path) * gain,) for _, path, gain in most)
    return result


def _articulation(name: str) -> str | None:
    lowered = name.lower()
    return next((kind for kind, pattern in _NAMES if re.search(pattern, lowered)), None)


@lru_cache(maxsize=2)
def _soundfont_samples(path: Path) -> Layers:
    """Read samples named `36-Pearl22Kick-1`: General MIDI key, drum, velocity layer."""
    data = path.read_bytes()
    headers, body = _chunk(data, b"shdr"), _chunk(data, b"smpl")
    pcm = np.frombuffer(body, dtype="<i2")
    keys = {key: articulation for articulation, key in GM_KEYS.items()}
    keys |= {48: "hh_open", 47: "tom1", 43: "tom3", 60: "china", 59: "ride", 64: "shaker"}
    found: dict[str, dict[int, list[np.ndarray]]] = {}
    for at in range(0, len(headers) - 46, 46):
        name = headers[at : at + 20].split(b"\0")[0].decode("ascii", "replace")
        start, end, _, _, rate = struct.unpack("<5I", headers[at + 20 : at + 40])
        match = re.match(r"(\d+)-", name)
        if not match or (key := int(match[1])) not in keys:
            continue
        audio = pcm[start:end].astype(np.float32) / 32768
        if rate != SAMPLE_RATE:
            audio = soxr.resample(audio, rate, SAMPLE_RATE)
        layers = found.setdefault(f"{keys[key]} {key}", {})
        layers.setdefault(len(layers), []).append(audio)
    result: Layers = {}
    for name, layers in found.items():
        takes = _paired([audio for group in layers.values() for audio in group])
        takes.sort(key=lambda audio: float(np.abs(audio).max()))
        result[name.split()[0]] = tuple((take,) for take in takes)
    return result


def _paired(samples: list[np.ndarray]) -> list[np.ndarray]:
    """Return stereo samples; a left and a right one of equal length follow each other."""
    stereo: list[np.ndarray] = []
    index = 0
    while index < len(samples):
        pair = samples[index : index + 2]
        if len(pair) == 2 and len(pair[0]) == len(pair[1]):
            stereo.append(np.stack(pair))
            index += 2
        else:
            stereo.append(np.stack([pair[0], pair[0]]))
            index += 1
    return stereo


def _chunk(data: bytes, name: bytes) -> bytes:
    at = data.find(name)
    size = struct.unpack("<I", data[at + 4 : at + 8])[0]
    return data[at + 8 : at + 8 + size]


def _one_shots(folder: Path) -> Layers:
    chosen = {
        "kick": "drum_bass_soft drum_bass_hard", "snare": "drum_snare_soft drum_snare_hard",
        "hh_closed": "drum_cymbal_closed", "hh_open": "drum_cymbal_open",
        "hh_pedal": "drum_cymbal_pedal", "crash1": "drum_cymbal_soft drum_cymbal_hard",
        "splash": "drum_splash_soft drum_splash_hard", "tom1": "drum_tom_hi_soft drum_tom_hi_hard",
        "tom2": "drum_tom_mid_soft drum_tom_mid_hard", "tom3": "drum_tom_lo_soft drum_tom_lo_hard",
        "cowbell": "drum_cowbell", "clap": "perc_snap",
    }  # fmt: skip
    return {
        articulation: tuple((read_stereo(folder / f"{name}.flac"),) for name in names.split())
        for articulation, names in chosen.items()
    }


def electronic_kit(folder: Path, rng: np.random.Generator) -> Kit:
    """Return a machine put together at random from Sonic Pi's electronic one-shots."""
    choices = {
        "kick": "bd_808 bd_ada bd_boom bd_fat bd_gas bd_haus bd_klub bd_mehackit bd_pure bd_sone "
        "bd_tek bd_zome bd_zum drum_heavy_kick elec_hollow_kick elec_soft_kick",
        "snare": "sn_dolf sn_dub sn_generic sn_zome elec_snare elec_lo_snare elec_mid_snare "
        "elec_hi_snare elec_filt_snare",
        "clap": "perc_snap perc_snap2 sn_generic elec_filt_snare",
        "hh_closed": "drum_cymbal_closed elec_tick elec_blip2 elec_pop",
        "hh_open": "drum_cymbal_open elec_cymbal",
        "crash1": "drum_cymbal_hard drum_splash_hard",
        "tom1": "elec_fuzz_tom elec_bong drum_tom_hi_hard",
        "tom3": "elec_fuzz_tom drum_tom_lo_hard",
        "rim": "elec_wood elec_flip elec_twip", "cowbell": "elec_triangle drum_cowbell elec_bell",
        "shaker": "perc_till elec_tick",
    }  # fmt: skip
    layers: Layers = {}
    for articulation, names in choices.items():
        audio = read_stereo(folder / f"{rng.choice(names.split())}.flac")
        layers[articulation] = ((audio[:, : 2 * SAMPLE_RATE],),)
    return Kit("sonic_pi_machine", "CC0-1.0", layers)


def general_midi_kit(source: CatalogueEntry, program: int) -> Kit:
    """Return a kit of a General MIDI soundfont: every drum at four velocities, played once."""
    strokes, spacing = (45, 80, 105, 127), 2.2
    notes: list[Note] = []
    for articulation in GM_KEYS:
        for velocity in strokes:
            notes.append(Note(len(notes) * spacing, 0.5, GM_KEYS[articulation], velocity))
    audio = play_soundfont(source, notes, len(notes) * spacing, program, bank=128)
    step = int(spacing * SAMPLE_RATE)
    takes = [_trimmed(audio[:, at * step : (at + 1) * step]) for at in range(len(notes))]
    layers: Layers = {}
    for index, articulation in enumerate(GM_KEYS):
        group = takes[index * len(strokes) : (index + 1) * len(strokes)]
        if group[-1].shape[1] > 64:
            layers[articulation] = tuple((take,) for take in group)
    return Kit(f"{source.name}_kit{program}", source.license, layers)


def _trimmed(audio: np.ndarray) -> np.ndarray:
    loud = np.nonzero(np.abs(audio).max(axis=0) > 3e-4)[0]
    return audio[:, : loud[-1] + 1].copy() if len(loud) else audio[:, :1].copy()


def resolve(kit: Kit, articulation: str) -> str | None:
    """Return what the kit plays for an articulation; None where nothing fits."""
    tried: Sequence[str] = ()
    while articulation not in kit.layers:
        if articulation in tried or articulation not in INSTEAD:
            return None
        tried = (*tried, articulation)
        articulation = INSTEAD[articulation]
    return articulation
