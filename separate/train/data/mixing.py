"""On-the-fly mixing: windows of stems and clips -> mixtures, queries, targets.

A `Mixer` draws an `ExampleBatch` of complex spectra from a `Corpus`. Each example has its own seed
(run seed, example index), so a resumed or distributed run draws the same examples.

The CPU only draws random numbers: reading, mixing and transforms run on the training device, for
all sources of a batch at once. Gains, equalisation and panning multiply spectra.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
import torch
from torch import Tensor

from separate.models.stft import StftConfig, stft
from separate.queries.vocabulary import STEMS
from separate.train.audio_cache import AudioCache
from separate.train.data.backgrounds import Backgrounds, levelled
from separate.train.data.folders import Clip, Corpus, CorpusSong, families, song_weights
from separate.train.data.phrases import JOINED

SAMPLE_RATE = 44100
SOUND_EVENTS = (
    "baby_cry",
    "chainsaw",
    "clock_tick",
    "dog_bark",
    "fire_crackling",
    "helicopter",
    "person_sneeze",
    "rain",
    "rooster",
    "sea_waves",
)
MUSIC = STEMS[1:]  # the stems of the music net
_TRIES = 6  # windows tried until one sounds
_PROBED = 512  # one of so many samples is looked at to see whether a window sounds


@dataclass(frozen=True)
class MixConfig:
    """How examples are made."""

    frames: int = 256  # STFT frames an example, a multiple of 64
    queries: int = 4  # queries an example
    real: float = 0.5  # probability of a song that is not rendered, where there are both
    aligned: float = 0.5  # probability that all stems come from the same song and time
    clips: float = 0.15  # probability of a mixture of clips alone
    event: float = 0.1  # probability that a clip is laid over a song
    background: float = 0.0  # probability of a real recording that lacks the stems it is mixed with
    fine: float = 0.3  # probability of a fine label instead of its stem family
    absent: float = 0.05  # probability that a query names something that is not there
    gain_db: float = 6.0  # each source's gain, +-, on top of the song's own balance
    eq_db: float = 5.0  # largest boost or cut of the random equaliser, +-
    speed: float = 0.06  # largest change of speed and pitch, +-, of half the sources
    drop: float = 0.1  # probability that a family is left out of a song
    voices: bool = False  # ask for voices too; of songs for all of them where queries are over 4
    joined: float = 0.0  # probability that a query has two labels, captions joined


@dataclass(frozen=True)
class Source:
    """One sound of an example."""

    label: str
    parent: str
    audio: Tensor  # float32 (2, samples), on the mixer's device


@dataclass(frozen=True)
class ExampleBatch:
    """Examples ready for a mask model, axes (time, frequency) as the networks want them."""

    mixture: Tensor  # complex (batch, 2, frames, freq)
    targets: Tensor  # complex (batch, queries, 2, frames, freq)
    labels: tuple[tuple[str, ...], ...]  # the queries' labels, (batch, queries)
    shared: Tensor  # bool (batch,): the first queries are drums, bass, other, and all there is


@dataclass(frozen=True)
class _Example:
    """What was drawn, before it is transformed."""

    audio: list[Tensor]  # of the sources, each (2, samples)
    gains: np.ndarray  # float32 (sources, 2, 1, freq)
    labels: tuple[str, ...]  # of the queries
    wanted: list[list[int]]  # the sources of each query's target


class Mixer:
    """Draws examples from a corpus."""

    def __init__(
        self,
        corpus: Corpus,
        config: MixConfig,
        seed: int = 0,
        wider: Mapping[str, tuple[str, ...]] | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        """Keep what examples are drawn from.

        Args:
            corpus: Songs and clips.
            config: How examples are made.
            seed: Of all examples.
            wider: For each label, the wider labels between it and its family, which are queries for
                it too: "guitar" for "electric_guitar".
            device: Where examples are mixed and transformed.
        """
        self.wider = wider or {}
        self.corpus = corpus
        self.config = config
        self.seed = seed
        self.device = torch.device(device)
        self.audio_cache = AudioCache(self.device)
        self.stft = StftConfig()
        self.samples = self.stft.samples(config.frames)
        self.song_weights = song_weights(corpus.songs, config.real)
        self.families = families(corpus.songs)
        self.backgrounds = Backgrounds(corpus.mixtures)
        # What is surely not in a song, whose stems may hold more than their labels say.
        self._events = sorted(set(corpus.clips) & set(SOUND_EVENTS))

    def batch(self, indices: Sequence[int]) -> ExampleBatch:
        """Build the examples of some global indices, on the mixer's device."""
        examples = [self._example(index) for index in indices]
        gains = torch.from_numpy(np.concatenate([example.gains for example in examples]))
        audio = torch.stack([source for example in examples for source in example.audio])
        spectra = stft(audio, self.stft).transpose(-1, -2) * gains.to(self.device)
        parts = spectra.split([len(example.audio) for example in examples])
        targets = [
            torch.stack([_sum(part, wanted) for wanted in example.wanted])
            for part, example in zip(parts, examples, strict=True)
        ]
        labels = tuple(example.labels for example in examples)
        shared = torch.tensor([row[: len(MUSIC)] == MUSIC for row in labels])
        mixtures = torch.stack([part.sum(0) for part in parts])
        return ExampleBatch(mixtures, torch.stack(targets), labels, shared.to(self.device))

    def _example(self, number: int) -> _Example:
        rng = np.random.default_rng((self.seed, number))
        sources = self.sources(rng)
        gains = self._colour(rng, sources)
        swapped = rng.random() < 0.5
        labels = self._queries(rng, sources)
        return _Example(
            [source.audio.flip(0) if swapped else source.audio for source in sources],
            gains[:, ::-1] if swapped else gains,
            labels,
            [[i for i, s in enumerate(sources) if self._is_target(s, label)] for label in labels],
        )

    def sources(self, rng: np.random.Generator) -> list[Source]:
        """Choose and read the sources of one example."""
        config = self.config
        has_clips, has_songs = bool(self.corpus.clips), bool(self.corpus.songs)
        if has_clips and (not has_songs or rng.random() < config.clips):
            count = min(int(rng.integers(2, 4)), len(self.corpus.clips))
            labels = rng.choice(sorted(self.corpus.clips), size=count, replace=False)
            return [self.clip(rng, str(label)) for label in labels]
        sources = self._on_background(rng)
        if sources:
            pass
        elif rng.random() < config.aligned:
            sources = self.song_window(rng, self.song(rng), set(STEMS) | {"rest"})
        else:
            sources = []
            for parent in self.families:
                sources += self.song_window(rng, self.song(rng, parent), {parent})
        if has_clips and rng.random() < config.event:
            sources.append(self.clip(rng, str(rng.choice(sorted(self.corpus.clips)))))
        return sources

    def _on_background(self, rng: np.random.Generator) -> list[Source]:
        """Draw a real recording and stems that it lacks; an empty list for other examples."""
        config, mined = self.config, self.backgrounds
        if not (config.background and mined.windows and rng.random() < config.background):
            return []
        found = mined.draw(rng, self.length(rng))
        kept = [family for family in found.lacking if rng.random() >= config.drop]
        stems = [
            source
            for family in kept or found.lacking
            for source in self.song_window(rng, self.song(rng, family), {family})
        ]
        if not stems:  # no song has such
            return []
        audio = self.read(found.recording, found.start, found.length)
        audio = levelled(audio, [source.audio for source in stems], rng)
        return [*stems, Source(found.label, found.label, audio)]

    def song(self, rng: np.random.Generator, parent: str | None = None) -> CorpusSong:
        """Choose a song, one with a family where that is named."""
        songs = self.corpus.songs
        for _ in range(50):
            song = songs[rng.choice(len(songs), p=self.song_weights)]
            if parent is None or parent in song.parents.values():
                return song
        return song

    def song_window(
        self, rng: np.random.Generator, song: CorpusSong, parents: set[str]
    ) -> list[Source]:
        """Read one window of a song's stems of some families, dropping a family at times."""
        # Sorted: the order of a set of words differs from process to process.
        present = sorted({p for p in song.parents.values() if p in parents})
        kept = {p for p in present if p == "rest" or rng.random() >= self.config.drop}
        if not kept - {"rest"}:  # something must be left to ask for
            kept = set(present)
        length = self.length(rng)
        names = [label for label, parent in song.parents.items() if parent in kept]
        start = 0
        for _ in range(_TRIES):
            start = int(rng.integers(0, max(1, song.samples - length)))
            if any(
                np.abs(song.stems[n][start : start + length : _PROBED]).max(initial=0) > 200
                for n in names
            ):
                break
        return [
            Source(name, song.parents[name], self.read(song.stems[name], start, length))
            for name in names
        ]

    def clip(self, rng: np.random.Generator, label: str) -> Source:
        """Fill a window with a label's clips, one after another with gaps."""
        items: tuple[Clip, ...] = self.corpus.clips[label]
        length = self.length(rng)
        audio = torch.zeros(2, length, device=self.device)
        position = int(rng.integers(0, length // 4))
        while position < length:
            clip = items[rng.integers(len(items))].audio
            piece = self.audio_cache.read(clip, 0, length - position)
            audio[:, position : position + piece.shape[1]] += piece
            position += int(piece.shape[1] * rng.uniform(0.6, 1.5)) + 1
        audio = self._stretched(audio)
        level = audio.square().mean().sqrt() + 1e-6
        return Source(label, label, audio * (0.05 / level))

    def length(self, rng: np.random.Generator) -> int:
        """Samples to read for a window, half of the time at another speed and pitch."""
        if not self.config.speed or rng.random() >= 0.5:
            return self.samples
        return round(self.samples * (1 + self.config.speed * float(rng.uniform(-1, 1))))

    def read(self, stem: np.ndarray, start: int, length: int) -> Tensor:
        """Read a stretch `(2, samples)` and bring it to the window's length."""
        window = self.audio_cache.read(stem, start, start + length)
        if window.shape[1] < length:
            window = torch.nn.functional.pad(window, (0, length - window.shape[1]))
        return self._stretched(window)

    def _stretched(self, audio: Tensor) -> Tensor:
        """Bring `(2, n)` to the window's length, by a linear change of speed."""
        if audio.shape[1] == self.samples:
            return audio
        return torch.nn.functional.interpolate(
            audio[None], size=self.samples, mode="linear", align_corners=True
        )[0]

    def _colour(self, rng: np.random.Generator, sources: Sequence[Source]) -> np.ndarray:
        """Return each source's gains `(sources, 2, 1, freq)`: level, pan and a smooth equaliser.

        Sources of one family share level and equaliser half of the time, as in a real mix.
        """
        config = self.config
        points = np.linspace(0, 1, 6)
        axis = np.log1p(np.arange(self.stft.bins)) / np.log1p(self.stft.bins)
        by_parent: dict[str, np.ndarray] = {}
        rows = []
        for source in sources:
            if source.parent not in by_parent or rng.random() < 0.3:
                level = rng.uniform(-config.gain_db, config.gain_db)
                bands = rng.uniform(-1, 1, 6) * config.eq_db * (rng.random() < 0.6)
                by_parent[source.parent] = level + np.interp(axis, points, bands)
            pan = rng.uniform(-3, 3) if rng.random() < 0.5 else 0.0
            curve = by_parent[source.parent]
            rows.append(np.stack([curve + pan, curve - pan]))
        gains = 10 ** (np.stack(rows) / 20)
        return gains.astype(np.float32)[:, :, None, :]

    def _queries(self, rng: np.random.Generator, sources: Sequence[Source]) -> tuple[str, ...]:
        """Draw the queries from the labels of the sources."""
        config = self.config
        askable = [s for s in sources if s.parent != "rest"]
        if not config.voices:  # the pretrained voice net masks them
            askable = [s for s in askable if s.parent != "vocals"] or askable
        families = sorted({s.parent for s in askable})
        fine = sorted(
            {
                name
                for s in askable
                for name in (s.label, *self.wider.get(s.label, ()))
                if name != s.parent
            }
        )
        names = sorted({s.label for s in askable})
        pools = [list(rng.permutation(families)), list(rng.permutation(fine))]
        chosen: list[str] = []
        parents = {s.parent for s in sources}
        if parents <= set(STEMS) and parents & set(MUSIC):  # all is known, also what is absent
            chosen += MUSIC
            if config.voices and "vocals" in parents and config.queries > len(STEMS):
                chosen.append("vocals")
            pools = [pools[1] or pools[0], pools[1]]
        absent = self._absent(families, fine)
        while len(chosen) < config.queries:
            if self._events and rng.random() < config.absent and absent:
                chosen.append(str(rng.choice(absent)))
            elif config.joined and len(names) > 1 and rng.random() < config.joined:
                chosen.append(JOINED.join(str(name) for name in rng.permutation(names)[:2]))
            else:  # each family and each label once, as long as there are any
                first = int(rng.random() < config.fine)
                pool = pools[first] or pools[1 - first]
                chosen.append(str(pool.pop()) if pool else str(rng.choice(chosen or families)))
        return tuple(chosen)

    def _is_target(self, source: Source, query: str) -> bool:
        """Return whether a source belongs to a query's target."""
        names = (source.label, source.parent, *self.wider.get(source.label, ()))
        return any(part in names for part in query.split(JOINED))

    def _absent(self, families: Sequence[str], fine: Sequence[str]) -> list[str]:
        present = {*families, *fine}
        return [label for label in self._events if label not in present]


def _sum(spectra: Tensor, which: Sequence[int]) -> Tensor:
    """Sum some rows of `(sources, 2, frames, freq)`, perhaps none."""
    if not which:
        return torch.zeros_like(spectra[0])
    return reduce(torch.add, [spectra[i] for i in which])
