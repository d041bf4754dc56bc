"""Render hits on a kit: one stem for each piece of the kit, mixed as a recorded kit is.

Panning, tuning, the room of the overheads, gates and the bus compressor are shared or linear, so
that the stems sum to the kit. The stems are float32 `(2, samples)` by label.
"""

from collections.abc import Sequence

import numpy as np
import soxr

from separate.corpus.composing.notes import Hit
from separate.corpus.instruments.kits import PIECES, Kit, resolve
from separate.corpus.rendering.effects import (
    compressor_gain,
    db,
    filtered,
    panned,
    peaking,
    room,
    saturated,
    with_room,
)
from separate.corpus.sources.store import SAMPLE_RATE

_BALANCE_DB = {  # usual level of a full stroke
    "kick": 3.5, "snare": -1, "snare_edge": -1, "rim": -6, "hh_closed": -9, "hh_open": -9,
    "hh_pedal": -12, "crash1": -10, "crash2": -10, "ride": -10, "ride_bell": -10, "china": -8,
    "splash": -10, "tom1": -3, "tom2": -3, "tom3": -2, "clap": -5, "cowbell": -12,
    "tambourine": -13, "shaker": -14,
}  # fmt: skip
_PLACES = {"hihat": 0.35, "toms": 0.0, "cymbals": 0.0, "shaker": -0.5, "cowbell": 0.4, "claps": 0.1}


def play_kit(
    kit: Kit, hits: Sequence[Hit], seconds: float, rng: np.random.Generator, electronic: bool
) -> dict[str, np.ndarray]:
    """Render hits and mix the kit.

    Args:
        kit: The drums.
        hits: What is played, in order of time.
        seconds: Length of the result.
        rng: Source of chance.
        electronic: A machine: dry, narrow, no room of a studio.

    Returns:
        Stems by label (`kick`, `snare`, `hihat`, `cymbals`, `toms`, ...), only those that sound.
    """
    stems = _struck(kit, hits, seconds, rng)
    if not stems:
        return {}
    mirror = float(rng.choice([-1.0, 1.0]))  # seen by the drummer, or by the audience
    stems = {label: _channel(label, stem, mirror, electronic, rng) for label, stem in stems.items()}
    if rng.random() < (0.3 if electronic else 0.97):
        stems = _in_room(stems, electronic, rng)
    if rng.random() < 0.7:
        total = np.sum(list(stems.values()), axis=0)
        gain = compressor_gain(
            total, float(rng.uniform(-10, 0)), float(rng.uniform(1.5, 6)),
            float(rng.uniform(0.003, 0.04)), float(rng.uniform(0.06, 0.3)),
        )  # fmt: skip
        stems = {label: stem * gain for label, stem in stems.items()}
    return stems


def _struck(
    kit: Kit, hits: Sequence[Hit], seconds: float, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    total = int(seconds * SAMPLE_RATE)
    stems: dict[str, np.ndarray] = {}
    labels = sorted(set(PIECES.values()))
    tuning = {label: float(rng.normal(0, 0.035)) for label in labels}
    balance = {label: float(rng.normal(0, 2.0)) for label in labels}
    curve = float(rng.uniform(0.8, 1.5))
    tuned: dict[tuple[str, int, int], np.ndarray] = {}
    open_hat: tuple[int, int] | None = None
    for hit in hits:
        articulation = resolve(kit, hit.articulation)
        start = int(hit.start * SAMPLE_RATE)
        if articulation is None or start >= total:
            continue
        label = PIECES[hit.articulation]
        layers = kit.layers[articulation]
        layer = int(np.clip((hit.velocity / 128) * len(layers) + rng.normal(0, 0.25), 0,
                            len(layers) - 1))  # fmt: skip
        take = int(rng.integers(len(layers[layer])))
        key = (articulation, layer, take)
        if key not in tuned:
            tuned[key] = _tuned(layers[layer][take], tuning[label])
        sample = tuned[key][:, : total - start]
        level = _BALANCE_DB.get(hit.articulation, -10) + balance[label] + rng.normal(0, 0.4)
        gain = db(level) * (hit.velocity / 127) ** curve
        if label not in stems:
            stems[label] = np.zeros((2, total), dtype=np.float32)
        stem = stems[label]
        if label == "hihat":
            if open_hat and start > open_hat[0]:
                _choke(stem, start, open_hat[1])
            rings = hit.articulation == "hh_open"
            open_hat = (start, start + sample.shape[1]) if rings else None
        stem[:, start : start + sample.shape[1]] += gain * sample
    return stems


def _tuned(sample: np.ndarray, semitones_of_octave: float) -> np.ndarray:
    """Return a one-shot at full scale, faster or slower by a small share."""
    rate = SAMPLE_RATE * float(2.0**semitones_of_octave)
    if abs(semitones_of_octave) > 0.002:
        sample = soxr.resample(sample.T, rate, SAMPLE_RATE, quality="MQ").T
    start = sample[:, : SAMPLE_RATE // 4]
    return (sample / max(float(np.abs(start).max()), 1e-4) * 0.9).astype(np.float32)


def _choke(stem: np.ndarray, start: int, end: int) -> None:
    """Let the open hi-hat end where the next stroke closes it."""
    fade = int(0.03 * SAMPLE_RATE)
    stop = min(end, stem.shape[1])
    middle = min(start + fade, stop)
    if middle > start:
        stem[:, start:middle] *= np.linspace(1, 0, middle - start, dtype=np.float32)
        stem[:, middle:stop] = 0


def _channel(
    label: str, stem: np.ndarray, mirror: float, electronic: bool, rng: np.random.Generator
) -> np.ndarray:
    """Return one piece through its channel: equaliser, sometimes saturation, place."""
    if label == "kick":
        stem = stem.mean(axis=0, keepdims=True).repeat(2, axis=0)
        stem = peaking(stem, float(rng.uniform(50, 85)), float(rng.uniform(-2, 6)), 1.0)
        stem = peaking(stem, float(rng.uniform(250, 450)), float(rng.uniform(-9, 0)), 0.9)
        stem = peaking(stem, float(rng.uniform(2500, 5000)), float(rng.uniform(-3, 7)), 0.9)
    elif label == "snare":
        stem = peaking(stem, float(rng.uniform(160, 260)), float(rng.uniform(-4, 5)), 1.0)
        stem = peaking(stem, float(rng.uniform(4000, 8000)), float(rng.uniform(-3, 6)), 0.8)
    elif label in ("hihat", "cymbals", "shaker"):
        stem = filtered(stem, "highpass", float(rng.uniform(150, 500)), 1)
        stem = peaking(stem, float(rng.uniform(6000, 12000)), float(rng.uniform(-5, 4)), 0.7)
    if label in ("kick", "snare", "toms") and rng.random() < 0.35:
        stem = saturated(stem, float(rng.uniform(0, 9)), 0.1)
    width = 0.4 if electronic else 1.0
    place = _PLACES.get(label, 0.0) * mirror * width + float(rng.normal(0, 0.08))
    return panned(stem, 0.0 if label == "kick" else place)


def _in_room(
    stems: dict[str, np.ndarray], electronic: bool, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Return the pieces in one room; the snare may have a plate or a gated room of its own."""
    long = float(np.exp(rng.uniform(np.log(0.15), np.log(0.5 if electronic else 1.6))))
    impulse = room(rng, long, float(rng.uniform(2500, 8000)))
    wet_db = float(rng.uniform(-26, -10) if electronic else rng.uniform(-20, -5))
    placed = {}
    for label, stem in stems.items():
        extra = -6.0 if label == "kick" else 0.0
        placed[label] = with_room(stem, impulse, wet_db + extra)
    if "snare" in stems and rng.random() < 0.35:
        plate = room(rng, float(rng.uniform(0.4, 2.2)), float(rng.uniform(4000, 9000)), near=False)
        if rng.random() < 0.3:  # gated
            plate = plate[:, : int(0.22 * SAMPLE_RATE)]
        placed["snare"] = with_room(placed["snare"], plate, float(rng.uniform(-18, -8)))
    return placed
