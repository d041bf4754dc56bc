"""Scorers: similarities of sounds and phrases, differentiable by the sound.

A scorer maps mono waveforms and phrases to similarities over a temperature `(sounds, phrases)`,
which the contrastive loss compares. A query net (the project's own, or LAION-CLAP) scores by
cosine, EfficientAT's tagger by the logit of the class that the phrase names. Sounds may be
augmented before scoring, and the scores of several scorers may be averaged.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from separate.errors import CheckpointError
from separate.models.tagger import SAMPLE_RATE, TaggerNet, load_efficientat
from separate.models.torchaudio_compat import torchaudio
from separate.queries import vocabulary
from separate.queries.base import QueryEncoder
from separate.queries.encoders import load_encoder
from separate.queries.tags import class_row, class_vectors
from separate.train.data.phrases import prompt, spoken

TEMPERATURE = 0.07  # LAION-CLAP's at the start of its training, and that of our own query net
_LEVEL = 0.5  # peak to which each sound is scaled for the tagger
_SILENT_PEAK = 1e-3


class Scorer(Protocol):
    """Compares sounds with phrases."""

    name: str

    def similarity(self, waveform: Tensor, sample_rate: int, phrases: Sequence[str]) -> Tensor:
        """Compare mono sounds `(n, time)` with phrases: `(n, phrases)`, over the temperature."""

    def centre(self, mixtures: Callable[[], Tensor], sample_rate: int) -> None:
        """Estimate the mean logits of mixtures; they are subtracted before similarities.

        Args:
            mixtures: Makes mixtures `(n, time)`; called by scorers that need a mean.
            sample_rate: Of the mixtures, in Hz.
        """


class EncoderScorer:
    """Scores by a query net: the cosine of its two towers, over a temperature."""

    def __init__(self, encoder: QueryEncoder, device: torch.device | str = "cpu") -> None:
        """Keep a query net; the audio tower is copied to the device if it is the project's own.

        The attribute `temperature` of the query net is used, if it has one.
        """
        self.name = encoder.name
        self.temperature = float(getattr(encoder, "temperature", TEMPERATURE))
        self._device = torch.device("cpu")
        net = getattr(encoder, "net", None)
        if isinstance(net, nn.Module) and torch.device(device).type != "cpu":
            encoder = copy.copy(encoder)  # the original stays on its device
            encoder.net = copy.deepcopy(net).to(device)  # type: ignore[attr-defined]
            self._device = torch.device(device)
        self._encoder = encoder
        self._texts: dict[str, Tensor] = {}

    def similarity(self, waveform: Tensor, sample_rate: int, phrases: Sequence[str]) -> Tensor:
        """See `Scorer`; phrases become the paper's prompts."""
        for phrase in phrases:
            if phrase not in self._texts:
                with torch.no_grad():
                    self._texts[phrase] = self._encoder.embed_text([prompt(phrase)])[0].clone()
        texts = torch.stack([self._texts[phrase].to(waveform.device) for phrase in phrases])
        sounds = self._encoder.embed_audio(waveform.to(self._device), sample_rate)
        return sounds.to(waveform.device) @ texts.T / self.temperature

    def centre(self, mixtures: Callable[[], Tensor], sample_rate: int) -> None:
        """See `Scorer`; a cosine needs no mean."""


class TaggerScorer:
    """EfficientAT's tagger: the logits of the phrases' AudioSet classes, minus their means.

    A class that is frequent in AudioSet, such as speech, has a high logit for any sound.
    """

    def __init__(
        self,
        net: TaggerNet,
        name: str,
        classes: Mapping[str, str] | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        """Keep a tagger.

        Args:
            net: The tagger.
            name: Its name.
            classes: The AudioSet class of a phrase, where it is not the nearest by text.
            device: Where it computes.
        """
        self.name = name
        self._net = net.eval().requires_grad_(False).to(device)
        self._classes = classes or {}
        self._rows: dict[str, int] = {}
        self._means: Tensor | None = None  # (527,)

    def centre(self, mixtures: Callable[[], Tensor], sample_rate: int) -> None:
        """See `Scorer`."""
        with torch.no_grad():
            self._means = self._logits(mixtures(), sample_rate).mean(0)

    def similarity(self, waveform: Tensor, sample_rate: int, phrases: Sequence[str]) -> Tensor:
        """See `Scorer`."""
        logits = self._logits(waveform, sample_rate)
        if self._means is not None:
            logits = logits - self._means
        return logits[:, [self._row(phrase) for phrase in phrases]]

    def _logits(self, waveform: Tensor, sample_rate: int) -> Tensor:
        if sample_rate != SAMPLE_RATE:
            waveform = torchaudio.functional.resample(waveform, sample_rate, SAMPLE_RATE)
        peak = waveform.detach().abs().amax(dim=1, keepdim=True).clamp_min(_SILENT_PEAK)
        logits: Tensor = self._net(waveform * (_LEVEL / peak))[0]
        return logits

    def _row(self, phrase: str) -> int:
        if phrase not in self._rows:
            self._rows[phrase] = class_of(self._classes.get(phrase, phrase))
        return self._rows[phrase]


@dataclass(frozen=True)
class Variation:
    """Random augmentation of estimates before scoring."""

    gain_db: float = 6.0  # largest change of level, +-
    eq_db: float = 6.0  # largest change of a band's level, +-
    snr_db: tuple[float, float] = (20.0, 40.0)  # of added white noise


class AugmentedScorer:
    """Augments sounds by random level, filter and noise, then calls another scorer.

    Masks thus cannot raise the score by details that the augmentation destroys.
    """

    def __init__(self, scorer: Scorer, variation: Variation | None = None) -> None:
        """Keep the scorer of augmented sounds."""
        self.name = f"{scorer.name}, varied"
        self._scorer, self._variation = scorer, variation or Variation()

    def similarity(self, waveform: Tensor, sample_rate: int, phrases: Sequence[str]) -> Tensor:
        """See `Scorer`."""
        return self._scorer.similarity(self.augment(waveform), sample_rate, phrases)

    def centre(self, mixtures: Callable[[], Tensor], sample_rate: int) -> None:
        """See `Scorer`."""
        self._scorer.centre(mixtures, sample_rate)

    def augment(self, waveform: Tensor) -> Tensor:
        """Augment mono sounds `(n, time)` with draws of PyTorch's generator.

        A checkpoint stores that generator. The filter has six points on a logarithmic axis.
        """
        config, (count, samples) = self._variation, waveform.shape
        spectrum = torch.fft.rfft(waveform)
        axis = torch.arange(spectrum.shape[1]).log1p()
        points = (2 * torch.rand(count, 6) - 1) * config.eq_db
        level = (2 * torch.rand(count, 1) - 1) * config.gain_db
        place = axis / axis[-1].clamp_min(1e-9) * (points.shape[1] - 1)
        left = place.long().clamp_max(points.shape[1] - 2)
        curve = torch.lerp(points[:, left], points[:, left + 1], place - left)
        gains = (10 ** ((curve + level) / 20)).to(waveform.device)
        filtered = torch.fft.irfft(spectrum * gains, n=samples)
        lowest, highest = config.snr_db
        snr_db = lowest + (highest - lowest) * torch.rand(count, 1)
        power = filtered.detach().square().mean(dim=1, keepdim=True).sqrt()
        noise = torch.randn(count, samples).to(waveform.device)
        return filtered + noise * power * (10 ** (-snr_db / 20)).to(waveform.device)


class MeanScorer:
    """The mean of several scorers, which is harder to mislead than one."""

    def __init__(self, scorers: Sequence[Scorer]) -> None:
        """Keep the scorers."""
        self.name = " and ".join(scorer.name for scorer in scorers)
        self._scorers = tuple(scorers)

    def similarity(self, waveform: Tensor, sample_rate: int, phrases: Sequence[str]) -> Tensor:
        """See `Scorer`."""
        rows = [each.similarity(waveform, sample_rate, phrases) for each in self._scorers]
        return torch.stack(rows).mean(0)

    def centre(self, mixtures: Callable[[], Tensor], sample_rate: int) -> None:
        """See `Scorer`."""
        for scorer in self._scorers:
            scorer.centre(mixtures, sample_rate)


def class_of(phrase: str) -> int:
    """Return the row of the AudioSet class that a phrase names, or of the nearest class."""
    words = " ".join(phrase.replace("_", " ").split()).casefold()
    known = [name.casefold() for name in vocabulary.audioset_classes()]
    for candidate in (words, spoken(phrase)):
        if candidate in known or candidate in map(vocabulary.spoken, vocabulary.audioset_classes()):
            return class_row(candidate)
    vector = load_encoder("embedded").embed_text([spoken(phrase)])[0]
    return int((class_vectors() @ vector).argmax())


def open_scorer(
    name: str,
    device: torch.device | str = "cpu",
    classes: Mapping[str, str] | None = None,
) -> Scorer:
    """Load a scorer.

    Args:
        name: "embedded", "clap", "clap-music" or the path of a LAION-CLAP checkpoint, as of any
            query net; or `efficientat-mn04`, or the path of an EfficientAT checkpoint.
        device: Where it computes.
        classes: See `TaggerScorer`.

    Raises:
        QueryError: There is none of that name, or what it needs is not installed.
        CheckpointError: Its weights are missing or damaged.
        WeightsError: They can't be fetched.
    """
    if name.startswith("efficientat-"):
        from separate.weights.store import fetch

        return TaggerScorer(load_efficientat(fetch(name)), name, classes, device)
    if Path(name).is_file():
        try:
            return TaggerScorer(load_efficientat(name), Path(name).stem, classes, device)
        except CheckpointError:
            pass  # then it is one of CLAP, or its own loader says what is wrong
    return EncoderScorer(load_encoder(name), device)
