"""AudioSet's classes as queries, by name or from a tagger's likelihoods.

Vectors are in the embedded encoder's space: that of a class is its name's, that of a sound the mean
of all classes', weighted by the squared likelihoods.
"""

import difflib
from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

from separate.errors import QueryError
from separate.queries import vocabulary
from separate.queries.embedded import shipped_encoder


class TagsEncoder:
    """Embeds the names of the 527 classes and nothing else."""

    name = "tags"
    space = "embedded"  # its vectors lie there: no alignment is needed

    def __init__(self) -> None:
        self._encoder = shipped_encoder()
        self.dim = self._encoder.dim
        self.fingerprint = f"tags-{self._encoder.fingerprint}"

    def embed_text(self, phrases: Sequence[str]) -> Tensor:
        """Embed class names `(n, dim)`, upper and lower case alike.

        Raises:
            QueryError: One is no class; the message suggests the five nearest.
        """
        return class_vectors()[[class_row(phrase) for phrase in phrases]]

    def embed_audio(self, waveform: Tensor, sample_rate: int) -> Tensor:
        """Embed sounds `(batch, time)` by the likelihoods of all classes: `(batch, dim)`."""
        likelihoods: Tensor = self._encoder.embed_and_tag(waveform, sample_rate)[1]
        return functional.normalize(likelihoods.square() @ class_vectors(), dim=-1)


@lru_cache(maxsize=1)
@torch.inference_mode(False)  # what is kept must serve training too
def class_vectors() -> Tensor:
    """Return the vectors of all classes' names `(527, dim)`."""
    spoken = [vocabulary.spoken(name) for name in vocabulary.audioset_classes()]
    with torch.no_grad():
        return shipped_encoder().embed_text(spoken)


def class_row(name: str) -> int:
    """Return the row of an AudioSet class, upper and lower case alike.

    Raises:
        QueryError: There is none; the message suggests the five nearest.
    """
    wanted = " ".join(name.split()).casefold()
    for row, known in enumerate(vocabulary.audioset_classes()):
        if wanted in (known.casefold(), vocabulary.spoken(known)):
            return row
    nearest = ", ".join(f"{known!r}" for known in nearest_classes(name))
    raise QueryError(f"AudioSet has no class {name!r}; the nearest are {nearest}")


def nearest_classes(name: str, count: int = 5) -> list[str]:
    """Return the classes nearest to any words, by spelling and then by meaning."""
    names = vocabulary.audioset_classes()
    parts = ((part, known) for known in names for part in (known, *known.split(", ")))
    by_spelling = {part.casefold(): known for part, known in parts}
    close = difflib.get_close_matches(name.casefold(), list(by_spelling), count, cutoff=0.7)
    found = [by_spelling[key] for key in close]
    try:
        likeness = class_vectors() @ shipped_encoder().embed_text([name])[0]
        found.extend(names[row] for row in likeness.argsort(descending=True).tolist())
    except QueryError:  # no word in it
        found.extend(names)
    return list(dict.fromkeys(found))[:count]
