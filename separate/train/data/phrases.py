"""Phrases to train with: labels and captions -> query vectors, and captions of mixtures.

A label of the vocabulary, a free caption ("a dog barks while rain falls"), or several joined by
`JOINED`, are mapped to the vectors of all their wordings. A caption that names several sounds is
split at its connectives, as the ICLR 2024 paper splits those of AudioCaps; when clips are mixed,
their captions are joined, as AudioGen does.
"""

import re
from collections.abc import Iterable, Sequence
from itertools import permutations

import torch
from torch import Tensor, nn

from separate.errors import DataError
from separate.queries.base import QueryEncoder
from separate.queries.vocabulary import JOINTS, STEMS, ancestors, label_of, training_captions
from separate.train.data.folders import Corpus

JOINED = " + "  # between the labels of a query for several sounds at once
CONNECTIVES = (
    "and then", "and", "while", "as well as", "as", "followed by", "followed closely by", "with",
    "then", "before", "after", "during", "over", "in the background", "in the foreground",
    "in the distance", "accompanied by", "along with", "together with", "plus", "when",
)  # fmt: skip
_MIXTURES = (*JOINTS, "the sound mixture of {} and {}")
_PARTS = re.compile(
    r"\s*(?:[,;.]|\b(?:" + "|".join(sorted(CONNECTIVES, key=len, reverse=True)) + r")\b)\s*",
    re.IGNORECASE,
)


def phrases_of(label: str) -> tuple[str, ...]:
    """Return the single-source phrases of a label or caption, without repetition.

    A label of the vocabulary is one phrase; a caption is cut at its connectives.
    """
    if known_label(label):
        return (label,)
    parts = (part.strip() for part in _PARTS.split(label))
    return tuple(dict.fromkeys(part for part in parts if part))


def known_label(label: str) -> bool:
    """Whether a label is in the vocabulary."""
    try:
        label_of(label)
    except KeyError:
        return False
    return True


def spoken(phrase: str) -> str:
    """Say a phrase in words: a label's name, or the phrase itself."""
    return label_of(phrase).name if known_label(phrase) else phrase


def prompt(phrase: str) -> str:
    """Say a phrase as the paper prompts: "the sound of X"."""
    return f"the sound of {spoken(phrase)}"


class PhraseBook(dict[str, Tensor]):
    """Query vectors `(wordings, dim)` by label, caption or joined labels; embedded on first use."""

    def __init__(self, encoder: QueryEncoder, *, varied: bool = True) -> None:
        """Take the query net.

        Args:
            encoder: Whose vectors condition the separator.
            varied: Take every wording that the vocabulary has; else the paper's prompt alone.
        """
        super().__init__()
        self.encoder = encoder
        self.varied = varied

    def __missing__(self, label: str) -> Tensor:
        with torch.no_grad():
            self[label] = self.encoder.embed_text(self._wordings(label)).clone()
        return self[label]

    def _wordings(self, label: str) -> list[str]:
        parts = label.split(JOINED)
        names = [spoken(part) for part in parts]
        if len(parts) == 1:
            if self.varied and known_label(label):
                return training_captions(label_of(label))
            return [prompt(label), names[0]] if self.varied else [prompt(label)]
        if not self.varied or len(parts) > 2:
            return ["the sound mixture of " + " and ".join(names)]
        return [joint.format(*pair) for joint in _MIXTURES for pair in permutations(names)]


def draw_wording(known: Tensor, seed: Sequence[int], noise: float) -> Tensor:
    """Draw one of some vectors `(n, dim)`; a little noise makes neighbours mean the same.

    Args:
        known: Vectors of unit length.
        seed: Of the draw.
        noise: Standard deviation of what is added to each coordinate.
    """
    mixed = 0
    for part in seed:
        mixed = (mixed * 1_000_003 + part) % (1 << 63)
    generator = torch.Generator().manual_seed(mixed)
    vector = known[int(torch.randint(len(known), (), generator=generator))]
    if noise:
        vector = vector + torch.randn(known.shape[1], generator=generator) * noise
    return nn.functional.normalize(vector, dim=0)


def wider_labels(corpus: Corpus) -> dict[str, tuple[str, ...]]:
    """Return, for each label of a corpus, the vocabulary's wider labels below its stem.

    Raises:
        DataError: A label is not in the vocabulary.
    """
    wider = {}
    for label in sorted(labels_in(corpus)):
        try:
            name = label_of(label).name
        except KeyError as error:
            raise DataError(
                f"the label {label!r} is not in the vocabulary; rename the stem, or add the label"
                " to separate/queries/labels.txt"
            ) from error
        roots = (*STEMS, "music")
        wider[label] = tuple(a for a in ancestors(name) if a != name and a not in roots)
    return wider


def labels_in(corpus: Corpus) -> set[str]:
    """Return every label that a corpus can ask for."""
    askable: Iterable[str] = (
        label for song in corpus.songs for label, parent in song.parents.items() if parent != "rest"
    )
    return set(corpus.clips) | set(askable)
