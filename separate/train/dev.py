"""Scores on the development songs, which a run does not train on.

The score of a stem is the median SDR of one-second frames, averaged over songs.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from separate.audio import resample
from separate.backends.nets import wrap
from separate.errors import DataError
from separate.models.registry import Card, kind_of
from separate.queries.query import Query
from separate.queries.vocabulary import STEMS
from separate.sdr import frame_sdr
from separate.settings import Settings
from separate.stream import overlap_add
from separate.train.data.folders import CorpusSong

_RATE = 44100


class DevSet:
    """Development songs; scores a separation function on them."""

    def __init__(self, songs: Sequence[CorpusSong], max_seconds: float = 25.0) -> None:
        self.songs = songs
        self.samples = int(max_seconds * _RATE)
        found = {parent for song in songs for parent in song.parents.values()}
        self.stems = tuple(stem for stem in STEMS if stem in found)  # that can be scored

    def score(self, separate: Callable[[Tensor], dict[str, Tensor]]) -> dict[str, float]:
        """Separate each song and score its stems.

        Args:
            separate: Maps a mixture `(2, time)` to estimates by stem, each `(2, time)`.

        Returns:
            Mean over songs of each stem's median SDR in dB, and their mean as "score".
        """
        medians: dict[str, list[float]] = {}
        for song in self.songs:
            families = self._families(song)
            estimates = separate(torch.from_numpy(sum(families.values())))  # type: ignore[arg-type]
            for stem, reference in families.items():
                if stem in estimates:
                    frames = frame_sdr(reference, estimates[stem].numpy(), _RATE)
                    frames = frames[~np.isnan(frames)]
                    if len(frames) >= 3:
                        medians.setdefault(stem, []).append(float(np.median(frames)))
        scores = {stem: float(np.mean(values)) for stem, values in sorted(medians.items())}
        return {**scores, "score": float(np.mean(list(scores.values()))) if scores else 0.0}

    def _families(self, song: CorpusSong) -> dict[str, np.ndarray]:
        """Sum a song's stems by family, `rest` too, from the middle of the song."""
        start = max(0, (song.samples - self.samples) // 2)
        families: dict[str, np.ndarray] = {}
        for label, parent in song.parents.items():
            window = np.asarray(song.stems[label][start : start + self.samples])
            audio = window.T.astype(np.float32) / 32768
            families[parent] = families.get(parent, 0) + audio
        return families


def stems_separator(
    net: nn.Module, stems: Sequence[str] = STEMS
) -> Callable[[Tensor], dict[str, Tensor]]:
    """Return a function that separates a mixture at 44.1 kHz as the command line does.

    Args:
        net: A network that separates.
        stems: What to separate; the masks of all four are normalised to sum to 1.
    """
    card = Card(name="dev", kind=kind_of(net), summary="", config={}, licence="")
    device = next(net.parameters()).device
    settings = Settings(
        sum_to_mixture=set(stems) == set(STEMS),
        device=str(device) if device.type == "cuda" else device.type,
    )
    model = wrap(net, card, settings)
    prepared = model.prepare([Query(stem, (stem,)) for stem in stems])

    def window(audio: np.ndarray) -> np.ndarray:
        with torch.inference_mode():  # set here, since another thread may call
            return model.separate(torch.from_numpy(audio), prepared).cpu().numpy()

    def separate(mixture: Tensor) -> dict[str, Tensor]:
        resampled = resample(mixture.numpy(), _RATE, model.sample_rate)
        pieces = list(overlap_add([resampled], model.segmentation(settings), window))
        outputs = np.concatenate(pieces, axis=-1)[:-1].reshape(-1, resampled.shape[-1])
        sounds = torch.from_numpy(resample(outputs, model.sample_rate, _RATE))
        sounds = sounds[:, : mixture.shape[-1]].reshape(len(stems), len(mixture), -1)
        return dict(zip(stems, sounds, strict=True))

    return separate


def song_folder(folders: Iterable[Path], name: str) -> Path:
    """Find a cached song by its name.

    Raises:
        DataError: There is none.
    """
    for folder in folders:
        for description in Path(folder).rglob("song.json"):
            if description.parent.name == name:
                return description.parent
    raise DataError(f"--dev {name}: no such song in {', '.join(map(str, folders))}")
