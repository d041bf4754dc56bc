"""Listeners: how like each phrase a sound is, differentiable by the sound.

In: mono waveforms and phrases. Out: similarities over a temperature `(sounds, phrases)`, what the
contrastive loss compares. Any query net scores (the project's own, or LAION-CLAP), or EfficientAT's
tagger, whose logit of a class is its similarity with the class's name; sounds may be varied before
they are scored, and several listeners may score together.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from separate.errors import CheckpointError
from separate.models.tagger import SAMPLE_RATE, Tagger, load_efficientat
from separate.models.torchaudio_compat import torchaudio
from separate.queries import vocabulary
from separate.queries.base import Encoder
from separate.queries.encoders import load_encoder
from separate.queries.tags import class_row, class_vectors
from separate.train.data.phrases import prompt, spoken

TEMPERATURE = 0.07  # LAION-CLAP's at the start of its training, and that of our own query net
_LEVEL = 0.5  # peak that the tagger hears each sound at
_SILENT_PEAK = 1e-3


class Listener(Protocol):
    """What hears."""

    name: str

    def similarity(self, waveform: Tensor, sample_rate: int, phrases: Sequence[str]) -> Tensor:
        """Compare mono sounds `(n, time)` with phrases: `(n, phrases)`, over the temperature."""

    def centre(self, mixtures: Callable[[], Tensor], sample_rate: int) -> None:
        """Take what it hears in mixtures of all sources for nothing in particular.

        Args:
            mixtures: Makes them, `(n, time)`, for a listener that wants them.
            sample_rate: Theirs, in Hz.
        """


class EncoderListener:
    """The two towers of a query net; cosine over a temperature."""

    def __init__(self, encoder: Encoder, device: torch.device | str = "cpu") -> None:
        """Take a query net; its audio tower goes to the device where it is a module of ours.

        A query net that knows its temperature (`temperature`) is heard at that.
        """
        self.name = encoder.name
        self.temperature = float(getattr(encoder, "temperature", TEMPERATURE))
        self._device = torch.device("cpu")
        net = getattr(encoder, "net", None)
        if isinstance(net, nn.Module) and torch.device(device).type != "cpu":
            encoder = copy.copy(encoder)  # the text tower of the original stays where it is
            encoder.net = copy.deepcopy(net).to(device)  # type: ignore[attr-defined]
            self._device = torch.device(device)
        self._encoder = encoder
        self._texts: dict[str, Tensor] = {}

    def similarity(self, waveform: Tensor, sample_rate: int, phrases: Sequence[str]) -> Tensor:
        """See `Listener`; phrases are said as the paper's prompts."""
        for phrase in phrases:
            if phrase not in self._texts:
                with torch.no_grad():
                    self._texts[phrase] = self._encoder.embed_text([prompt(phrase)])[0].clone()
        texts = torch.stack([self._texts[phrase].to(waveform.device) for phrase in phrases])
        sounds = self._encoder.embed_audio(waveform.to(self._device), sample_rate)
        return sounds.to(waveform.device) @ texts.T / self.temperature

    def centre(self, mixtures: Callable[[], Tensor], sample_rate: int) -> None:
        """See `Listener`; a cosine needs none."""


class TaggerListener:
    """EfficientAT's tagger: the logits of the phrases' AudioSet classes, above their means.

    A class that is common in AudioSet, speech, has a high logit for all that it hears.
    """

    def __init__(
        self,
        net: Tagger,
        name: str,
        classes: Mapping[str, str] | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        """Take a tagger.

        Args:
            net: Loaded.
            name: Of it.
            classes: The AudioSet class of a phrase, where it is not the one nearest by its words.
            device: Where it hears.
        """
        self.name = name
        self._net = net.eval().requires_grad_(False).to(device)
        self._classes = classes or {}
        self._rows: dict[str, int] = {}
        self._means: Tensor | None = None  # (527,)

    def centre(self, mixtures: Callable[[], Tensor], sample_rate: int) -> None:
        """See `Listener`."""
        with torch.no_grad():
            self._means = self._logits(mixtures(), sample_rate).mean(0)

    def similarity(self, waveform: Tensor, sample_rate: int, phrases: Sequence[str]) -> Tensor:
        """See `Listener`."""
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
    """How estimates are changed before they are scored, each anew: what a mask must survive."""

    gain_db: float = 6.0  # largest change of level, either way
    eq_db: float = 6.0  # largest change of a band's level, either way
    snr_db: tuple[float, float] = (20.0, 40.0)  # of white noise that is added


class VariedListener:
    """Another listener, to which each sound comes at random level, filtered and with noise.

    A mask that raises a score by details that no change survives gains nothing.
    """

    def __init__(self, listener: Listener, variation: Variation | None = None) -> None:
        """Take the listener that scores."""
        self.name = f"{listener.name}, varied"
        self._listener, self._variation = listener, variation or Variation()

    def similarity(self, waveform: Tensor, sample_rate: int, phrases: Sequence[str]) -> Tensor:
        """See `Listener`."""
        return self._listener.similarity(self.varied(waveform), sample_rate, phrases)

    def centre(self, mixtures: Callable[[], Tensor], sample_rate: int) -> None:
        """See `Listener`."""
        self._listener.centre(mixtures, sample_rate)

    def varied(self, waveform: Tensor) -> Tensor:
        """Change mono sounds `(n, time)`; the draws are PyTorch's, which a run's checkpoint keeps.

        The curve of the filter has six points, evenly spaced on a logarithmic axis.
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


class JointListener:
    """The mean of several listeners: a mask that misleads one must mislead them all."""

    def __init__(self, listeners: Sequence[Listener]) -> None:
        """Take the listeners."""
        self.name = " and ".join(listener.name for listener in listeners)
        self._listeners = tuple(listeners)

    def similarity(self, waveform: Tensor, sample_rate: int, phrases: Sequence[str]) -> Tensor:
        """See `Listener`."""
        rows = [each.similarity(waveform, sample_rate, phrases) for each in self._listeners]
        return torch.stack(rows).mean(0)

    def centre(self, mixtures: Callable[[], Tensor], sample_rate: int) -> None:
        """See `Listener`."""
        for listener in self._listeners:
            listener.centre(mixtures, sample_rate)


def class_of(phrase: str) -> int:
    """Return the row of the AudioSet class that a phrase names, or of the nearest in meaning."""
    words = " ".join(phrase.replace("_", " ").split()).casefold()
    known = [name.casefold() for name in vocabulary.audioset_classes()]
    for candidate in (words, spoken(phrase)):
        if candidate in known or candidate in map(vocabulary.spoken, vocabulary.audioset_classes()):
            return class_row(candidate)
    vector = load_encoder("embedded").embed_text([spoken(phrase)])[0]
    return int((class_vectors() @ vector).argmax())


def open_listener(
    name: str,
    device: torch.device | str = "cpu",
    classes: Mapping[str, str] | None = None,
) -> Listener:
    """Load a listener.

    Args:
        name: "embedded", "clap", "clap-music" or the path of a LAION-CLAP checkpoint, as of any
            query net; or `efficientat-mn04`, or the path of an EfficientAT checkpoint.
        device: Where it hears.
        classes: See `TaggerListener`.

    Raises:
        QueryError: There is none of that name, or what it needs is not installed.
        CheckpointError: Its weights are missing or damaged.
        WeightsError: They can't be fetched.
    """
    if name.startswith("efficientat-"):
        from separate.weights.store import fetch

        return TaggerListener(load_efficientat(fetch(name)), name, classes, device)
    if Path(name).is_file():
        try:
            return TaggerListener(load_efficientat(name), Path(name).stem, classes, device)
        except CheckpointError:
            pass  # then it is one of CLAP, or its own loader says what is wrong
    return EncoderListener(load_encoder(name), device)
