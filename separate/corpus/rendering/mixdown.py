"""Tracks -> stems of a record: levels, places, one bus compressor and limiter for all.

The bus's gain is computed from the mixture and applied to every stem, so that the stems' sum is the
compressed mixture.
"""

from collections.abc import Sequence

import numpy as np

from separate.corpus.instruments.sounds import PARENTS, RenderedPart
from separate.corpus.rendering.effects import (
    active_rms,
    compressor_gain,
    db,
    limiter_gain,
    panned,
)
from separate.errors import DataError

_DRUMS = ("kick", "snare", "hihat", "cymbals", "toms", "claps", "cowbell", "shaker", "hand_drums",
          "drums")  # fmt: skip
_VOCALS = ("lead_vocals", "backing_vocals", "rapping")
# Usual active level in dB, and its spread from song to song.
_LEVELS = {
    "drums": (-17, 2.0), "bass": (-17.5, 2.5), "lead_vocals": (-19.3, 2.5), "rapping": (-18.8, 2.2),
    "backing_vocals": (-26, 3), "distorted_guitar": (-22.5, 3), "synth_pad": (-28, 3.5),
    "synth_lead": (-25, 3.5), "arpeggio": (-27, 3.5), "strings": (-27, 3), "percussion": (-28, 3),
}  # fmt: skip
_WIDE = ("synth_pad", "strings", "piano", "organ", "arpeggio", "electric_piano")


def parent_of(label: str) -> str:
    """Return the MUSDB18 stem that a label belongs to."""
    if label in _DRUMS:
        return "drums"
    if label in _VOCALS:
        return "vocals"
    return PARENTS.get(label, "other")


def mix(
    kit: dict[str, np.ndarray], tracks: Sequence[RenderedPart], rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Mix a song.

    Args:
        kit: The drum kit's stems, balanced among themselves; `(2, samples)`.
        tracks: Everything else, at any level.
        rng: Source of chance.

    Returns:
        Stems by label, float32 `(2, samples)`, whose sum has a peak below 1.

    Raises:
        DataError: Nothing sounds.
    """
    if not kit and not tracks:
        raise DataError("a song without any sound; look what `separate data sources` finds")
    stems: dict[str, np.ndarray] = {}
    if kit:
        total = np.sum(list(kit.values()), axis=0)
        gain = np.float32(_level("drums", rng) / max(active_rms(total), 1e-6))
        stems.update({label: stem * gain for label, stem in kit.items()})
    crowd = max(0, sum(parent_of(track.label) == "other" for track in tracks) - 2)
    for track in tracks:
        level = _level(track.label, rng)
        if parent_of(track.label) == "other":
            level *= db(-0.8 * crowd)
        audio = track.audio * np.float32(level / max(active_rms(track.audio), 1e-6))
        audio = panned(audio, _place(track.label, rng))
        stems[track.label] = stems[track.label] + audio if track.label in stems else audio
    return mastered(stems, rng)


def _level(label: str, rng: np.random.Generator) -> float:
    parent = parent_of(label)
    mean, spread = _LEVELS.get(label) or _LEVELS.get(parent, (-25.5, 3.5))
    if label in _DRUMS and label != "drums":
        mean, spread = _LEVELS["percussion"]
    return db(float(np.clip(rng.normal(mean, spread), mean - 2 * spread, mean + 2 * spread)))


def _place(label: str, rng: np.random.Generator) -> float:
    if label in ("lead_vocals", "rapping") or label in PARENTS:
        return float(rng.normal(0, 0.03))
    return float(rng.normal(0, 0.12 if label in _WIDE else 0.4))


def mastered(stems: dict[str, np.ndarray], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return the stems after one bus compressor and limiter, at a record's loudness."""
    if rng.random() < 0.7:
        mixture = np.sum(list(stems.values()), axis=0)
        gain = compressor_gain(
            mixture, float(rng.uniform(-6, 2)), float(rng.uniform(1.3, 3)),
            float(rng.uniform(0.01, 0.04)), float(rng.uniform(0.1, 0.4)),
        )  # fmt: skip
        stems = {label: stem * gain for label, stem in stems.items()}
    mixture = np.sum(list(stems.values()), axis=0)
    loudness = db(float(rng.uniform(-21, -12))) / max(active_rms(mixture), 1e-6)
    ceiling = float(rng.uniform(0.7, 0.97))
    gain = limiter_gain(mixture * np.float32(loudness), ceiling) * np.float32(loudness)
    stems = {label: (stem * gain).astype(np.float32) for label, stem in stems.items()}
    return {label: stem for label, stem in stems.items() if np.abs(stem).max() > 1e-4}
