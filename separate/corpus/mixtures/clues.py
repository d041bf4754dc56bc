"""Measure features of a window of a recording that show which sources are in it.

For each label of a stereo window at 44.1 kHz there are five numbers, `CLUES`. The default model
separates the window into vocals, drums and bass; all other labels are looked for in the rest. Then
AudioSet's tagger and the presence rule score the mixture and the estimates. `labels` turns these
numbers into labels that are reliably present or absent.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from separate.audio import resample
from separate.auto.tagging import open_tagger
from separate.backends.nets import QUERY_MODEL, open_model
from separate.corpus.sources.store import SAMPLE_RATE
from separate.queries import vocabulary
from separate.queries.encoders import load_encoder
from separate.queries.presence import PresenceMeter
from separate.queries.query import parse_query
from separate.settings import Settings

LABELS = ("vocals", "drums", "bass", "guitar", "piano", "synth", "strings")
_SEPARATED = 3  # the first so many; the others are looked for in what these leave
CLUES = (
    "mixture_tag",  # logit of the likeliest of the label's AudioSet classes in the mixture
    "estimate_tag",  # the same in the estimate
    "presence",  # logit of the presence rule
    "level_db",  # the estimate against the mixture, -60..0
    "peak_db",  # the loudest second of the estimate against the mixture, -60..10
)
# The classes of AudioSet by which a label sounds.
TAGS = {
    "vocals": (
        "Singing", "Choir", "Yodeling", "Chant", "Male singing", "Female singing",
        "Child singing", "Synthetic singing", "Rapping", "Humming", "Vocal music", "A capella",
        "Speech", "Opera",
    ),
    "drums": (
        "Percussion", "Drum kit", "Drum machine", "Drum", "Snare drum", "Rimshot", "Drum roll",
        "Bass drum", "Timpani", "Tabla", "Cymbal", "Hi-hat", "Tambourine", "Beatboxing",
    ),
    "bass": ("Bass guitar", "Double bass"),
    "guitar": (
        "Guitar", "Electric guitar", "Acoustic guitar", "Steel guitar, slide guitar",
        "Tapping (guitar technique)", "Strum",
    ),
    "piano": ("Piano", "Electric piano"),
    "synth": ("Synthesizer", "Sampler", "Electronic organ", "Theremin"),
    "strings": (
        "Bowed string instrument", "String section", "Violin, fiddle", "Pizzicato", "Cello",
        "Double bass", "Orchestra",
    ),
}  # fmt: skip
_TAGGER_RATE = 32_000  # Hz
_FLOOR_DB = -60.0
_LARGEST_LOGIT = 7.0  # about 0.999


@dataclass(frozen=True)
class WindowClues:
    """What was measured in one window."""

    values: np.ndarray  # float32 (labels, clues)
    music: float  # likelihood of AudioSet's "Music", 0..1
    level_db: float  # root mean square of the mixture against full scale


class ClueFinder:
    """The loaded model and tagger."""

    def __init__(self, tagger: str | Path, device: str = "cpu") -> None:
        """Load them.

        Args:
            tagger: A name or path that `separate.auto.tagging.open_tagger` takes.
            device: Where the default model runs.

        Raises:
            SettingsError: There is no such tagger.
            CheckpointError: A model is missing or damaged.
        """
        self._tagger = open_tagger(str(tagger))
        self.tagger_name = self._tagger.name
        self._model: Any = open_model(QUERY_MODEL, Settings(device=device))
        self.model_sha256: str = self._model.sha256
        self._queries = [parse_query(label) for label in LABELS]
        with torch.inference_mode():
            self._prepared = self._model.prepare(self._queries[:_SEPARATED])
        self._place = [min(number, _SEPARATED) + 1 for number in range(len(LABELS))]
        names = vocabulary.audioset_classes()
        self._rows = [[names.index(tag) for tag in TAGS[label]] for label in LABELS]
        self._music_row = names.index("Music")
        self._encoder = load_encoder("embedded")

    @torch.inference_mode()
    def measure(self, window: np.ndarray) -> WindowClues:
        """Measure one window.

        Args:
            window: float32 `(2, samples)` at 44.1 kHz, of about ten seconds: the tagger was taught
                by such.

        Returns:
            The clues of all labels.
        """
        outputs = self._model.separate(torch.from_numpy(window), self._prepared).cpu().numpy()
        estimates = outputs[:_SEPARATED]
        sounds = np.stack([window, *estimates, window - estimates.sum(0)])
        meter = PresenceMeter(self._encoder, self._queries, SAMPLE_RATE)
        meter.update(window, sounds[[*self._place, 0]])
        presence = np.clip(meter.result(), 1e-3, 1 - 1e-3)
        mono = sounds.mean(1)
        tags = self._tags(mono)
        levels = levels_db(mono)
        values = np.empty((len(LABELS), len(CLUES)), np.float32)
        for number, rows in enumerate(self._rows):
            place = self._place[number]
            mixture_tag, estimate_tag = (float(tags[n, rows].max()) for n in (0, place))
            values[number] = (
                _logit(mixture_tag),
                _logit(estimate_tag),
                _logit(float(presence[number])),
                np.clip(levels[place, 0] - levels[0, 0], _FLOOR_DB, 0.0),
                np.clip(levels[place, 1] - levels[0, 0], _FLOOR_DB, 10.0),
            )
        return WindowClues(values, float(tags[0, self._music_row]), float(levels[0, 0]))

    def _tags(self, mono: np.ndarray) -> np.ndarray:
        """Tag `(n, time)` at 44.1 kHz; of two halves the likeliest: `(n, 527)`."""
        sounds = torch.from_numpy(resample(mono, SAMPLE_RATE, _TAGGER_RATE))
        middle = sounds.shape[1] // 2
        halves = torch.cat([sounds[:, :middle], sounds[:, middle : 2 * middle]])
        in_halves: Tensor = self._tagger.likelihoods(halves).unflatten(0, (2, len(sounds)))
        found: np.ndarray = in_halves.amax(dim=0).float().numpy()
        return found


def levels_db(mono: np.ndarray) -> np.ndarray:
    """Return the level of each row and that of its loudest second, in dB: `(n, 2)`."""
    power = np.square(mono)
    seconds = [power[:, at : at + SAMPLE_RATE] for at in range(0, mono.shape[1], SAMPLE_RATE)]
    whole = [part.mean(1) for part in seconds if part.shape[1] >= SAMPLE_RATE // 2]
    loudest = np.max(whole, axis=0) if whole else power.mean(1)
    return 10 * np.log10(np.stack([power.mean(1), loudest], axis=1) + 1e-10)


def _logit(likelihood: float) -> float:
    likelihood = min(max(likelihood, 1e-6), 1 - 1e-6)
    return float(np.clip(np.log(likelihood / (1 - likelihood)), -_LARGEST_LOGIT, _LARGEST_LOGIT))


def windows_of(samples: int, window_samples: int, least_samples: int) -> Sequence[tuple[int, int]]:
    """Cut a recording into windows that lie end to end.

    Args:
        samples: Length of the recording.
        window_samples: Length of a window.
        least_samples: A last window as short as this is kept.

    Returns:
        (start, stop) of each.
    """
    starts = range(0, samples, window_samples)
    spans = [(start, min(start + window_samples, samples)) for start in starts]
    return [span for span in spans if span[1] - span[0] >= least_samples]
