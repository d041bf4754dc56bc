"""Real recordings as backgrounds: windows without some stems, to which these are added.

In: recordings with what surely doesn't sound in each window. Out: a stretch of one, and the
families that it lacks. Mixed with stems of just those families it makes a supervised example, of
which half is a real recording without stems.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from separate.queries.vocabulary import STEMS
from separate.train.data.recordings import Mixture, Window

_FAMILIES = STEMS[:3]  # vocals, drums, bass: that a window can be said to lack
_LEVEL_DB = (-3.0, 6.0)  # of a background against the stems that are added
_FAINT = 1e-4  # root mean square of stems that say nothing about the level


@dataclass(frozen=True)
class Background:
    """A stretch of a recording."""

    recording: np.ndarray  # int16 (samples, 2), memory-mapped
    start: int  # samples
    length: int
    lacking: tuple[str, ...]  # families that surely don't sound in it
    label: str  # `other` where it lacks all of them, so that it is this stem; else `rest`


class Backgrounds:
    """The windows of a corpus's recordings that lack vocals, drums or bass."""

    def __init__(self, mixtures: Sequence[Mixture]) -> None:
        """Keep those windows."""
        self.windows: list[tuple[Mixture, Window, tuple[str, ...]]] = []
        for mixture in mixtures:
            for window in mixture.windows:
                lacking = tuple(family for family in _FAMILIES if family in window.silent)
                if lacking:
                    self.windows.append((mixture, window, lacking))

    def draw(self, rng: np.random.Generator, length: int) -> Background:
        """Draw a stretch of so many samples, fewer where the window is shorter."""
        mixture, window, lacking = self.windows[rng.integers(len(self.windows))]
        length = min(length, window.stop - window.start)
        start = int(rng.integers(window.start, window.stop - length + 1))
        label = "other" if lacking == _FAMILIES else "rest"
        return Background(mixture.audio, start, length, lacking, label)


def levelled(background: Tensor, stems: Sequence[Tensor], rng: np.random.Generator) -> Tensor:
    """Bring a background to about the level of the stems that are added to it.

    Args:
        background: `(2, samples)`.
        stems: The same shape each.
        rng: Draws the difference.
    """
    total = stems[0] + sum(stems[1:], 0 * stems[0])
    wanted = float(total.square().mean().sqrt())
    if wanted < _FAINT:
        return background
    gain = 10 ** (rng.uniform(*_LEVEL_DB) / 20)
    return background * (gain * wanted / (float(background.square().mean().sqrt()) + _FAINT))
