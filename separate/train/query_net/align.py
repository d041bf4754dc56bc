"""What another encoder costs: one separator, with native and with aligned query vectors.

It measures how well MiniLM's space fits the embedded encoder's, and the SDR lost per stem on a
folder of songs. MiniLM embeds text only and shares no weights with the embedded encoder.
"""

import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from separate.audio import read_audio
from separate.backends.nets import QueryModel
from separate.errors import DataError, QueryError
from separate.models.registry import find, load
from separate.queries.align import AlignedEncoder, fit_alignment
from separate.queries.encoders import encoder_for, load_encoder
from separate.queries.vocabulary import STEMS
from separate.sdr import frame_sdr
from separate.separator import Separator
from separate.settings import Settings
from separate.train.query_net.minilm import DIM, MiniLM, load_minilm

log = logging.getLogger(__name__)


class MiniLmEncoder:
    """MiniLM behind the `QueryEncoder` interface; it embeds no audio."""

    name, dim = "minilm", DIM
    fingerprint = "all-MiniLM-L6-v2"

    def __init__(self, model: MiniLM) -> None:
        self._model = model

    def embed_text(self, phrases: Sequence[str]) -> Tensor:
        """See `QueryEncoder`."""
        return self._model.embed(phrases).clone()

    def embed_audio(self, waveform: Tensor, sample_rate: int) -> Tensor:
        """Refuse.

        Raises:
            QueryError: Always.
        """
        raise QueryError("MiniLM embeds text only; give the query in words")


def measure(minilm: Path, songs: Path, model: str, seconds: float) -> dict[str, Any]:
    """Align MiniLM with the embedded encoder and separate with both.

    Args:
        minilm: Wheel or folder of MiniLM.
        songs: A folder with a folder of stems a song.
        model: Separator, by name or path.
        seconds: Of the middle of each song.

    Returns:
        The alignment's scores, and of each stem `sdr` (native) and `lost` in dB: medians over
        frames of 1 s, means over songs.

    Raises:
        DataError: There are no songs, or MiniLM is not there.
    """
    source, native = MiniLmEncoder(load_minilm(minilm)), load_encoder()
    alignment = fit_alignment(source, native)
    settings = Settings(threads=1, keep_absent=True)
    net, card = load(find(model))
    pair = {"native": encoder_for("embedded"), "aligned": AlignedEncoder(source, native, alignment)}
    separators = {}
    for name, encoder in pair.items():
        opened = QueryModel(net, card, settings)  # type: ignore[arg-type]
        opened.encoder = encoder
        separators[name] = Separator(settings, models=[opened])
    scores: dict[str, dict[str, list[float]]] = {s: {"native": [], "aligned": []} for s in STEMS}
    for song, references, rate in _songs(songs, seconds):
        mixture = np.sum(list(references.values()), axis=0, dtype=np.float32)
        for name, separator in separators.items():
            estimates = separator.separate(mixture, rate, list(references)).estimates
            for stem, reference in references.items():
                sdr = float(np.nanmedian(frame_sdr(reference, estimates[stem].numpy(), rate)))
                scores[stem][name].append(sdr)
        log.info("%s: %s", song, {stem: values["aligned"][-1] for stem, values in scores.items()})
    if not scores["vocals"]["native"]:
        raise DataError(f"{songs}: holds no songs; give a folder with a folder of stems a song")
    table = {}
    for stem, values in scores.items():
        # A stem that a song lacks, or that is silent in its middle, counts for nothing.
        before, after = (float(np.nanmean(values[name])) for name in ("native", "aligned"))
        table[stem] = {"sdr": round(before, 2), "lost": round(before - after, 2)}
    fit = {"cosine": alignment.cosine, "retrieval": alignment.retrieval}
    return {**fit, "held_out": alignment.held_out, "stems": table}


def _songs(folder: Path, seconds: float) -> Iterator[tuple[str, dict[str, np.ndarray], int]]:
    """Yield name, stems `(channels, time)` of the middle, and Hz."""
    for description in sorted(folder.glob("*/song.json")):
        parents = json.loads(description.read_text(encoding="utf-8"))["stems"]
        parts: dict[str, np.ndarray] = {}
        for name, parent in parents.items():
            audio, rate = read_audio(description.parent / f"{name}.ogg")
            start = max(0, audio.shape[1] - round(seconds * rate)) // 2
            cut = audio[:, start : start + round(seconds * rate)]
            parts[parent] = parts[parent] + cut if parent in parts else cut
        yield description.parent.name, parts, rate
