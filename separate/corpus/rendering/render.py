"""Render one song from a seed: genre, harmony, drums, instruments, voice, mix.

The same seed and the same instruments give the same samples.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from separate.corpus.composing import arrangement
from separate.corpus.composing.genres import GENRES, Genre
from separate.corpus.composing.harmony import random_chart
from separate.corpus.composing.parts import Setting
from separate.corpus.instruments.sounds import Taste
from separate.corpus.rendering import mixdown
from separate.corpus.rendering.effects import room
from separate.corpus.sources.catalogue import CatalogueEntry, Library
from separate.corpus.sources.licences import narrowest
from separate.corpus.sources.store import SongInfo

TAIL_SECONDS = 1.5  # after the last bar, for what still rings


@dataclass(frozen=True)
class RenderedSong:
    """A song, ready to be written."""

    stems: dict[str, np.ndarray]  # label -> float32 (2, samples)
    parents: dict[str, str]
    info: SongInfo


def render_song(
    library: Library, seed: int, index: int, seconds: tuple[float, float] = (30.0, 60.0)
) -> RenderedSong:
    """Render one song of a corpus.

    Args:
        library: What can be played, prepared.
        seed: Seed of the corpus.
        index: Number of the song in it.
        seconds: Shortest and longest duration.
    """
    rng = np.random.default_rng([seed, index])
    genre = _choose_genre(rng)
    bpm = float(rng.uniform(*genre.tempo_bpm))
    bars = max(4, round(float(rng.uniform(*seconds)) * bpm / 240))
    chart = random_chart(rng, bars, genre.minor, genre.name)
    setting = Setting(chart, bpm, ())
    beat = arrangement.drum_part(genre, setting, library, rng)
    kicks = tuple(hit.start for hit in beat.hits if hit.articulation == "kick")
    setting = Setting(chart, bpm, kicks)
    hall = room(rng, float(rng.uniform(0.5, 2.5)), float(rng.uniform(3000, 8000)), near=False)
    taste = Taste(bars * 240 / bpm + TAIL_SECONDS, 60 / bpm, genre.drive, hall)
    drums = arrangement.played_kit(beat, taste, rng)
    tracks, groove = arrangement.band(genre, setting, library, taste, rng)
    if rng.random() < 0.7:
        tracks += arrangement.voices(genre, setting, library, taste, rng)
    tracks = arrangement.pumped(tracks, beat, taste, rng)
    stems = mixdown.mix(drums, tracks, rng)
    sources = [*beat.sources, *(source for track in tracks for source in track.sources)]
    notes = {"genre": genre.name, "bpm": round(bpm, 2), "groove": groove, "kit": beat.kit.name,
             "seed": [seed, index]}  # fmt: skip
    return RenderedSong(
        stems, {label: mixdown.parent_of(label) for label in stems}, _info(sources, notes)
    )


def _choose_genre(rng: np.random.Generator) -> Genre:
    weights = np.array([genre.weight for genre in GENRES])
    return GENRES[int(rng.choice(len(GENRES), p=weights / weights.sum()))]


def _info(sources: Iterable[CatalogueEntry], notes: dict[str, Any]) -> SongInfo:
    used = {source.name: source for source in sources}
    return SongInfo(
        license="; ".join(sorted({source.license for source in used.values()})) or "CC0-1.0",
        source="; ".join(f"{s.name} ({s.credit})" for s in used.values()) or "synthesized",
        licence_class=narrowest([source.licence_class for source in used.values()]),
        rendered=True,
        notes=notes,
    )
