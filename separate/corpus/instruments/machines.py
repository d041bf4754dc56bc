"""Synthesized drum machines with random knobs, after the circuits of the 1980s."""

import numpy as np

from separate.corpus.instruments.kits import Kit, Layers
from separate.corpus.rendering.effects import filtered
from separate.corpus.sources.store import SAMPLE_RATE


def machine_kit(rng: np.random.Generator) -> Kit:
    """Return a drum machine: swept sines, filtered noise, and clicks."""
    uniform = rng.uniform
    kick, snare, clap = _kick(rng), _snare(rng), _clap(rng)
    low = uniform(5000, 8500)  # where the hi-hats begin
    parts = {
        "kick": kick, "snare": snare, "clap": clap,
        "hh_closed": _hiss(rng, 0.2, low, 18000, uniform(0.015, 0.05)),
        "hh_open": _hiss(rng, 0.9, low, 18000, uniform(0.12, 0.35)),
        "crash1": _hiss(rng, 2.0, low * 0.6, 19000, uniform(0.4, 0.9)),
        "rim": _tone(0.1, uniform(400, 1800), 0.2, 0.01, 0.02) + _hiss(rng, 0.1, 2000, 8000, 0.008),
        "tom1": _tone(0.6, uniform(150, 220), 0.6, 0.05, uniform(0.1, 0.25)),
        "tom3": _tone(0.8, uniform(70, 110), 0.6, 0.05, uniform(0.15, 0.35)),
        "cowbell": (np.sign(_tone(0.4, 540, 0, 1, 1)) + np.sign(_tone(0.4, 800, 0, 1, 1)))
        * np.exp(-_clock(0.4) / 0.08),
        "shaker": _hiss(rng, 0.2, 4000, 12000, uniform(0.02, 0.05))
        * np.minimum(_clock(0.2) / 0.02, 1),
        "conga_high": _tone(0.4, uniform(260, 380), 0.3, 0.02, 0.1),
        "conga_low": _tone(0.5, uniform(160, 230), 0.3, 0.02, 0.13),
    }  # fmt: skip
    layers: Layers = {}
    for name, audio in parts.items():
        scaled = audio / max(float(np.abs(audio).max()), 1e-6) * 0.8
        layers[name] = ((np.stack([scaled, scaled]).astype(np.float32),),)
    return Kit("machine", "CC0-1.0", layers)


def _clock(seconds: float) -> np.ndarray:
    return np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE


def _hiss(
    rng: np.random.Generator, seconds: float, low: float, high: float, decay: float
) -> np.ndarray:
    """Return noise between two frequencies in Hz that dies in `decay` seconds."""
    time = _clock(seconds)
    noise = rng.normal(0, 0.4, (1, len(time))).astype(np.float32)
    return filtered(noise, "bandpass", (low, min(high, 21000.0)))[0] * np.exp(-time / decay)


def _tone(seconds: float, hz: float, drop: float, speed: float, decay: float) -> np.ndarray:
    """Return a sine that falls from `1 + drop` times its frequency within `speed` seconds."""
    time = _clock(seconds)
    phase = np.cumsum(hz * (1 + drop * np.exp(-time / speed))) / SAMPLE_RATE
    return np.sin(2 * np.pi * phase) * np.exp(-time / decay)


def _kick(rng: np.random.Generator) -> np.ndarray:
    uniform = rng.uniform
    kick = _tone(1.0, uniform(40, 62), uniform(1.5, 6), uniform(0.008, 0.05), uniform(0.1, 0.45))
    kick[:300] += uniform(0, 0.5) * rng.normal(0, 1, 300) * np.linspace(1, 0, 300)
    return np.tanh(kick * uniform(1, 4)) * 0.9


def _snare(rng: np.random.Generator) -> np.ndarray:
    uniform = rng.uniform
    snare = uniform(0.3, 0.8) * _tone(0.5, uniform(150, 240), 0.5, 0.02, uniform(0.04, 0.12))
    wires = _hiss(rng, 0.5, uniform(800, 2500), uniform(7000, 15000), uniform(0.05, 0.2))
    return snare + wires * 1.2


def _clap(rng: np.random.Generator) -> np.ndarray:
    clap = np.zeros(int(0.5 * SAMPLE_RATE))
    for burst in range(4):
        at = int(burst * rng.uniform(0.008, 0.013) * SAMPLE_RATE)
        decay = 0.006 if burst < 3 else rng.uniform(0.05, 0.15)
        clap[at:] += _hiss(rng, 0.5, 800, rng.uniform(2500, 5000), decay)[: len(clap) - at]
    return clap
