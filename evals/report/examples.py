"""Excerpts of the best and the worst song of a result: mixture, reference and estimate."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import soundfile

from separate.audio import pictures
from separate.errors import SeparateError
from separate.evals.data.songs import SongReader
from separate.evals.tasks.evaluation import Evaluation, separate_loaded

_SECONDS = 10.0


@dataclass(frozen=True)
class Example:
    """One stem of one song, an excerpt; arrays are `(channels, time)`."""

    title: str
    sample_rate: int  # Hz
    mixture: np.ndarray
    reference: np.ndarray
    estimate: np.ndarray

    def spectrogram(self, name: str) -> str:
        """Draw one of the arrays, as a data URI; see `separate.audio.pictures`."""
        png = pictures.spectrogram_png(getattr(self, name), self.sample_rate)
        return "data:image/png;base64," + base64.b64encode(png).decode()

    def audio(self, name: str) -> str:
        """Encode one of the arrays, clipped to full scale, as a data URI."""
        stream = io.BytesIO()
        samples = np.clip(getattr(self, name), -1, 1).T
        soundfile.write(stream, samples, self.sample_rate, format="OGG", subtype="VORBIS")
        return "data:audio/ogg;base64," + base64.b64encode(stream.getvalue()).decode()


def song_examples(
    result: Mapping[str, Any], songs: Sequence[SongReader], evaluation: Evaluation
) -> list[Example]:
    """Separate excerpts of the best and the worst song of each stem.

    An excerpt is where the reference has the most energy. Songs that the model was trained on, and
    songs that cannot be read again, are left out.
    """
    metric = "SDR" if result["kind"] == "musdb" else "sdr"
    by_name = {(song.split, song.name): song for song in songs}
    examples = []
    for stem in result["stems"]:
        ranked = sorted(
            (entry["stems"][stem][metric], entry["split"], entry["song"])
            for entry in result["songs"]
            if not entry.get("seen") and entry["stems"].get(stem, {}).get(metric) is not None
        )
        chosen = [("best", ranked[-1])] if ranked else []
        chosen += [("worst", ranked[0])] if len(ranked) > 1 else []
        for word, (score, split, name) in chosen:
            reader = by_name.get((split, name))
            title = f"{stem}, {word}: {name}, {score:.2f} dB"
            if reader is not None:
                examples += _example(reader, stem, title, evaluation)
    return examples


def _example(reader: SongReader, stem: str, title: str, evaluation: Evaluation) -> list[Example]:
    try:
        song = reader.load().with_accompaniment().loudest(stem, _SECONDS)
        estimates = separate_loaded(song, evaluation)
    except SeparateError:
        return []
    if stem not in estimates:
        return []
    arrays = (song.mixture, song.references[stem], estimates[stem])
    return [Example(title, song.sample_rate, *arrays)]
