"""The recipe `anchors`: universal separation from clips whose labels don't say where they sound.

Source: Q. Kong et al., "Universal Source Separation with Weakly Labelled Data", 2023. The tagger
finds the two seconds of a clip where its class is most active; two such anchors of different
classes are mixed at equal energy; the query of one is the tagger's vector of the clean anchor, or
the class's name. Classes are drawn evenly. The loss is L1 on the waveform.

Where this deviates from the paper: the network is our own (a mask on the mixture's phase, stereo at
44.1 kHz); activity is the tagger's likelihood of two-second windows, half a second apart, in place
of a frame-level detector; an anchor is the example's length around the middle of the best window;
the tagger's vector enters the query space through the vectors of its classes' names.
"""

import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from separate.audio import resample, to_mono
from separate.auto.tagging import Tagger
from separate.errors import DataError, OutputError
from separate.models.bands import from_bands
from separate.models.stft import StftConfig, compute_magnitude, istft, stft
from separate.models.weak_losses import waveform_loss
from separate.queries.tags import class_vectors
from separate.train.data.folders import Corpus
from separate.train.data.mixing import SAMPLE_RATE
from separate.train.data.phrases import draw_wording
from separate.train.recipes.scorers import class_of
from separate.train.trainable import TrainableNet

CONDITIONS = ("tags", "name")
_EXAMPLE = 2  # keeps the draws of these examples apart from those of other mixers
_TAGGER_RATE = 32_000  # Hz
_WINDOW_SECONDS, _HOP_SECONDS = 2.0, 0.5
_MOST_WINDOWS = 240  # of a clip that are tagged: two minutes
_RATIO = (0.02, 50.0)  # of energies, USS's bounds of the gain


@dataclass(frozen=True)
class AnchorConfig:
    """How examples are drawn and which query they get."""

    frames: int = 128  # STFT frames an example, a multiple of 64
    channels: int = 2  # 1: mixed down to mono
    mined: bool = True  # anchors where the class is most active; else random crops
    condition: str = "tags"  # "tags": the tagger's vector of the clean anchor; "name": the class
    query_noise: float = 0.0  # standard deviation of noise on each coordinate of a query vector


@dataclass(frozen=True)
class AnchorBatch:
    """Pairs of anchors; the first of each is the target."""

    mixture: Tensor  # (batch, channels, samples)
    target: Tensor  # (batch, channels, samples)
    labels: tuple[str, ...]


class Miner:
    """Finds where in a clip its class is most active, once a clip."""

    def __init__(
        self,
        tagger: Tagger,
        classes: Mapping[str, str] | None = None,
        cache: Path | None = None,
    ) -> None:
        """Keep a tagger.

        Args:
            tagger: A loaded tagger.
            classes: The AudioSet class of a label, where it is not the one nearest by its words.
            cache: File of the anchors that this tagger found, a line a clip; later runs read it.
        """
        self.tagger = tagger
        self._classes = classes or {}
        self._found: dict[tuple[str, int], int] = {}
        self._cache = cache
        self._known = _read_cache(cache)  # by class and content

    def row(self, label: str) -> int:
        """Return the row of a label's AudioSet class."""
        return class_of(self._classes.get(label, label))

    def middle(self, label: str, index: int, audio: np.ndarray) -> int:
        """Return the sample in the middle of the most active two seconds.

        Args:
            label: What sounds in the clip.
            index: Number of the clip among the label's.
            audio: int16 `(samples, 2)`.

        Raises:
            OutputError: The cache cannot be written.
        """
        if (label, index) not in self._found:
            content = self.row(label), zlib.crc32(audio.tobytes())
            if content not in self._known:
                self._known[content] = self._search(label, audio)
                self._add_to_cache(content)
            self._found[label, index] = self._known[content]
        return self._found[label, index]

    def _add_to_cache(self, content: tuple[int, int]) -> None:
        if self._cache is None:
            return
        try:
            with self._cache.open("a") as file:
                file.write(f"{content[0]} {content[1]} {self._known[content]}\n")
        except OSError as error:
            raise OutputError(f"{self._cache}: cannot be written ({error.strerror})") from error

    @torch.no_grad()
    def _search(self, label: str, audio: np.ndarray) -> int:
        window, hop = (round(s * SAMPLE_RATE) for s in (_WINDOW_SECONDS, _HOP_SECONDS))
        starts = list(range(0, max(1, len(audio) - window + 1), hop))[:_MOST_WINDOWS]
        if len(starts) == 1:
            return min(len(audio), window) // 2
        likelihoods = [
            self.likelihoods(audio[s : s + window].T / np.float32(32768)) for s in starts
        ]
        activity = [float(row[self.row(label)]) for row in likelihoods]
        return starts[int(np.argmax(activity))] + window // 2

    @torch.no_grad()
    def likelihoods(self, audio: np.ndarray) -> Tensor:
        """Tag `(channels, samples)` at 44.1 kHz: `(527,)`."""
        mono = to_mono(np.asarray(audio, np.float32))[None]
        at_rate = torch.from_numpy(resample(mono, SAMPLE_RATE, _TAGGER_RATE))
        return self.tagger.likelihoods(at_rate)[0].cpu()


def _read_cache(path: Path | None) -> dict[tuple[int, int], int]:
    """Read class, checksum and middle of each line; an incomplete last line is ignored."""
    if path is None or not path.is_file():
        return {}
    whole = re.findall(r"^(\d+) (\d+) (\d+)\n", path.read_text(), re.MULTILINE)
    return {(int(row), int(checksum)): int(middle) for row, checksum, middle in whole}


class AnchorMixer:
    """Draws pairs of anchors, each from its own seed and number."""

    def __init__(self, corpus: Corpus, miner: Miner, config: AnchorConfig, seed: int = 0) -> None:
        """Keep what examples are drawn from.

        Raises:
            DataError: The corpus has fewer than two labels of clips.
        """
        self.clips, self.labels = corpus.clips, sorted(corpus.clips)
        if len(self.labels) < 2:
            raise DataError(
                f"{len(self.labels)} label(s) of clips: anchors need two; run `separate data cache`"
            )
        self.miner, self.config, self.seed = miner, config, seed
        self.samples = StftConfig().samples(config.frames)

    def batch(self, indices: Sequence[int], device: torch.device | str = "cpu") -> AnchorBatch:
        """Build the examples of some global indices."""
        rows = [self._example(number) for number in indices]
        pairs = torch.from_numpy(np.stack([pair for pair, _ in rows])).to(device)
        if self.config.channels == 1:
            pairs = pairs.mean(2, keepdim=True)
        return AnchorBatch(pairs.sum(1), pairs[:, 0], tuple(label for _, label in rows))

    def _example(self, number: int) -> tuple[np.ndarray, str]:
        """Return two anchors of equal energy `(2, channels, samples)` and the first one's label."""
        rng = np.random.default_rng((self.seed, _EXAMPLE, number))
        labels = [str(label) for label in rng.choice(self.labels, size=2, replace=False)]
        target, other = (self.anchor(rng, label) for label in labels)
        energies = [float(np.square(audio, dtype=np.float64).sum()) for audio in (target, other)]
        ratio = np.clip(energies[0] / max(energies[1], 1e-12), *_RATIO)
        return np.stack([target, other * np.float32(np.sqrt(ratio))]), labels[0]

    def anchor(self, rng: np.random.Generator, label: str) -> np.ndarray:
        """Cut an anchor, float32 `(2, samples)`, out of one of a label's clips."""
        index = int(rng.integers(len(self.clips[label])))
        audio = self.clips[label][index].audio
        latest = max(0, len(audio) - self.samples)
        if self.config.mined:
            middle = self.miner.middle(label, index, audio)
            start = min(latest, max(0, middle - self.samples // 2))
        else:
            start = int(rng.integers(latest + 1))
        piece = np.asarray(audio[start : start + self.samples]).T.astype(np.float32) / 32768
        return np.pad(piece, ((0, 0), (0, self.samples - piece.shape[1])))


class Anchors:
    """See `separate.train.loop.Recipe`."""

    name = "anchors"

    def __init__(
        self,
        net: TrainableNet[Any],
        mixer: AnchorMixer,
        phrases: Mapping[str, Tensor],
        *,
        evaluate: Callable[[nn.Module], dict[str, float]] = lambda model: {},
        device: torch.device | str = "cpu",
    ) -> None:
        """Keep what the recipe needs.

        Args:
            net: The network to train.
            mixer: Makes examples; its configuration sets the query of an anchor.
            phrases: Query vectors `(wordings, dim)` by label.
            evaluate: Scores a model.
            device: Where to train.

        Raises:
            ValueError: The condition is none of `CONDITIONS`.
        """
        if mixer.config.condition not in CONDITIONS:
            raise ValueError(f"unknown condition {mixer.config.condition!r}; take tags or name")
        self.net, self.mixer, self.phrases = net, mixer, phrases
        self.evaluate = evaluate
        self.device = torch.device(device)
        self.model = net.model.to(device)

    def groups(self) -> list[dict[str, Any]]:
        """See `TrainableNet.groups`."""
        return self.net.groups()

    def loss(self, indices: list[int]) -> tuple[Tensor, dict[str, float]]:
        """Return the mean L1 distance of estimates and anchors."""
        batch = self.mixer.batch(indices, self.device)
        spectrum = stft(batch.mixture, StftConfig()).transpose(-1, -2)
        features = self.net.encode(compute_magnitude(spectrum))
        logits = self.net.decode(features, self._vectors(indices, batch))
        masked = from_bands(logits.float().sigmoid()) * spectrum
        estimate = istft(masked.transpose(-1, -2), batch.target.shape[-1], StftConfig())
        loss = waveform_loss(estimate, batch.target)
        return loss, {"loss": float(loss.detach())}

    def _vectors(self, indices: Sequence[int], batch: AnchorBatch) -> Tensor:
        config = self.mixer.config
        if config.condition == "name":
            rows = [
                draw_wording(self.phrases[label], (number, 0), config.query_noise)
                for number, label in zip(indices, batch.labels, strict=True)
            ]
        else:
            rows = [
                class_mean(self.mixer.miner.likelihoods(target.cpu().numpy()))
                for target in batch.target
            ]
        return torch.stack(rows).to(self.device)


def class_mean(likelihoods: Tensor) -> Tensor:
    """Return the mean of the classes' name vectors, weighted by squared likelihood: `(dim,)`."""
    return functional.normalize(likelihoods.square() @ class_vectors(), dim=-1)
