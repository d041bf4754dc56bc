"""Mixtures of mixtures: training examples without isolated sources.

A `MixtureMixer` draws `Mixtures` from a `Corpus`: N mixtures of P sources each, their sum, and
their phrases. With P = 1 each mixture is a single source, as in supervised mix-and-separate.

A mixture is made of clips of different labels, whose captions are joined, of a clip whose own
caption names several sounds, of some stems of one window of a song, or of a recording without stems
with known vocals, drums and bass. The sources themselves are not returned.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from separate.errors import DataError
from separate.models.stft import stft
from separate.queries.vocabulary import STEMS
from separate.train.data.folders import Corpus
from separate.train.data.mixing import MixConfig, Mixer, Source
from separate.train.data.phrases import JOINED, phrases_of
from separate.train.data.recordings import captioned

_EXAMPLE, _CAPTION = 1, 3  # keep the draws of these examples apart from those of other mixers


@dataclass(frozen=True)
class MixtureConfig:
    """How examples are made; the numbers are the ICLR 2024 paper's."""

    frames: int = 128  # STFT frames an example, a multiple of 64
    channels: int = 2  # 1: mixed down to mono
    mixtures: int = 2  # N, that are summed
    sources: int = 2  # P, of each mixture
    songs: float = 0.5  # probability that a mixture is a window of a song, where there are both
    recordings: float = 0.0  # probability that it is a window of a recording without stems
    lowest_gain: float = 0.5  # of each source
    highest_gain: float = 1.5
    wrong_captions: float = 0.0  # part of the phrases that is left out, or names what is not there
    distinct: bool = True  # no label of clips in two parts of an example, where there are enough


@dataclass(frozen=True)
class Mixtures:
    """Examples ready for a mask model, axes (time, frequency)."""

    whole: Tensor  # complex (batch, channels, frames, freq), the sum of the parts
    parts: Tensor  # complex (batch, n, channels, frames, freq), each a mixture
    phrases: tuple[tuple[tuple[str, ...], ...], ...]  # (batch, n, up to P) of single sources

    def joined(self) -> list[list[str]]:
        """Return one caption a part, its phrases joined: `(batch, n)`."""
        return [[JOINED.join(part) for part in row] for row in self.phrases]

    def phrase_weights(self) -> Tensor:
        """Return 1 over each phrase's count in its example `(batch, n, P)`; padding has 0.

        A phrase of both parts has the sources of both, so that half of it belongs to each.
        """
        longest = max(len(part) for row in self.phrases for part in row)
        weights = torch.zeros(len(self.phrases), len(self.phrases[0]), longest)
        for i, row in enumerate(self.phrases):
            every = [phrase for part in row for phrase in part]
            for n, part in enumerate(row):
                for k, phrase in enumerate(part):
                    weights[i, n, k] = 1 / every.count(phrase)
        return weights


class MixtureMixer:
    """Draws examples from a corpus, each from its own seed and number."""

    def __init__(self, corpus: Corpus, config: MixtureConfig, seed: int = 0) -> None:
        """Keep what examples are drawn from.

        Raises:
            DataError: There are fewer labels than sources of a mixture, and no songs.
        """
        self.config, self.seed = config, seed
        # Recordings as they are: the papers change no speed.
        self.mixer = Mixer(corpus, MixConfig(frames=config.frames, speed=0.0), seed)
        self.labels = sorted(corpus.clips)
        self.recordings = captioned(corpus.mixtures) if config.recordings else []
        if config.recordings and not self.recordings:
            raise DataError(
                "no recordings whose vocals, drums and bass are known; see docs/data.md"
            )
        has_others = corpus.songs or config.recordings == 1
        if not has_others and len(self.labels) < max(2, config.sources):
            raise DataError(
                f"{len(self.labels)} label(s) of clips: mixtures need {max(2, config.sources)}"
            )

    def batch(self, indices: Sequence[int], device: torch.device | str = "cpu") -> Mixtures:
        """Build the examples of some global indices; the transforms run on the device."""
        audio, phrases = zip(*map(self._example, indices), strict=True)
        waveforms = torch.from_numpy(np.stack(audio)).to(device)
        parts = stft(waveforms, self.mixer.stft).transpose(-1, -2)
        return Mixtures(parts.sum(1), parts, tuple(phrases))

    def _example(self, number: int) -> tuple[np.ndarray, tuple[tuple[str, ...], ...]]:
        """Return `(n, channels, samples)` and the parts' phrases."""
        rng = np.random.default_rng((self.seed, _EXAMPLE, number))
        config = self.config
        rows, phrases, used = [], [], set[str]()
        for _ in range(config.mixtures):
            sources = self._sources(rng, used if config.distinct else set())
            used |= {source.label for source in sources}
            gains = rng.uniform(config.lowest_gain, config.highest_gain, len(sources))
            total = sum(g * s.audio.numpy() for g, s in zip(gains, sources, strict=True))
            total = np.asarray(total, np.float32) / config.mixtures
            if config.channels == 1:
                total = total.mean(axis=0, keepdims=True)
            rows.append(total)
            named = (phrase for source in sources for phrase in phrases_of(source.label))
            phrases.append(tuple(dict.fromkeys(named)))
        return np.stack(rows), self._captioned(number, tuple(phrases))

    def _captioned(
        self, number: int, parts: tuple[tuple[str, ...], ...]
    ) -> tuple[tuple[str, ...], ...]:
        """Leave out some phrases and swap others, as captions by people do; a part keeps one."""
        wrong = self.config.wrong_captions
        if not wrong:
            return parts
        rng = np.random.default_rng((self.seed, _CAPTION, number))
        sounding = {phrase for part in parts for phrase in part}
        known = {phrase for label in self.labels for phrase in phrases_of(label)}
        absent = list(rng.permutation(sorted(known - sounding)))
        captions = []
        for part in parts:
            kept = []
            for place, phrase in enumerate(part):
                if rng.random() >= wrong:
                    kept.append(phrase)
                elif (place + 1 == len(part) and not kept) or rng.random() < 0.5:
                    kept.append(str(absent.pop()) if absent else phrase)
            captions.append(tuple(kept))
        return tuple(captions)

    def _sources(self, rng: np.random.Generator, used: set[str]) -> list[Source]:
        """Draw the sources of one mixture, of labels that are not used where there are enough."""
        corpus, config = self.mixer.corpus, self.config
        if self.recordings and rng.random() < config.recordings:
            return [self._recording(rng)]
        if corpus.songs and (not self.labels or rng.random() < config.songs):
            stems = self.mixer.song_window(rng, self.mixer.song(rng), set(STEMS))
            order = rng.permutation(len(stems))[: config.sources]
            return [stems[i] for i in order]
        sources: list[Source] = []
        wanted = config.sources
        fresh = [label for label in self.labels if label not in used]
        enough = len(fresh) >= config.sources
        for label in rng.permutation(fresh if enough else self.labels):
            named = len(phrases_of(str(label)))
            if wanted <= 0:
                break
            if named <= wanted or not sources:  # a caption of many sounds is a mixture by itself
                sources.append(self.mixer.clip(rng, str(label)))
                wanted -= named
        return sources

    def _recording(self, rng: np.random.Generator) -> Source:
        """Draw a stretch of a recording; its caption names all that sounds."""
        mixture, window, caption = self.recordings[rng.integers(len(self.recordings))]
        length = min(self.mixer.samples, window.stop - window.start)
        start = int(rng.integers(window.start, window.stop - length + 1))
        return Source(caption, caption, self.mixer.read(mixture.audio, start, length))
