"""Real recordings as backgrounds: windows that lack some stems, to which such stems are added.

The result is a supervised example, half of which is a real recording without stems.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from separate.train.data.recordings import FAMILIES, Mixture, Window

_LEVEL_DB = (-3.0, 6.0)  # of a background against the stems that are added
_FAINT = 1e-4  # root mean square of stems too faint to set the level


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
        pairs = [(mixture, window) for mixture in mixtures for window in mixture.windows]
        lists = {family: [p for p in pairs if family in p[1].silent] for family in FAMILIES}
        self.windows: dict[str, list[tuple[Mixture, Window]]] = {
            family: found for family, found in lists.items() if found
        }

    def draw(self, rng: np.random.Generator, length: int) -> Background:
        """Draw a family, and a window that lacks it: so many samples, or what the window has."""
        windows = self.windows[str(rng.choice(list(self.windows)))]
        mixture, window = windows[rng.integers(len(windows))]
        lacking = tuple(family for family in FAMILIES if family in window.silent)
        length = min(length, window.stop - window.start)
        start = int(rng.integers(window.start, window.stop - length + 1))
        label = "other" if lacking == FAMILIES else "rest"
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
