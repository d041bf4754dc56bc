"""Clips of the weakly supervised experiment: for training, padded, held out, and test mixtures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from separate.audio import read_audio, resample, to_mono
from separate.errors import DataError
from separate.evals.data.layouts import audio_files
from separate.evals.tasks.clips import TAGS, held_out, is_held_out

SAMPLE_RATE = 44100


@dataclass(frozen=True)
class TestMixture:
    """Two held-out clips, mono at 44.1 kHz."""

    labels: tuple[str, str]
    references: np.ndarray  # float32 (2, samples), of equal energy

    __test__ = False  # it is no test of pytest's

    @property
    def mixture(self) -> np.ndarray:
        """Their sum `(samples,)`."""
        total: np.ndarray = self.references.sum(axis=0)
        return total


def distinct_labels(folder: Path, wanted: Sequence[str] = ()) -> list[str]:
    """Return labels of different AudioSet classes, which a tagger can distinguish.

    Raises:
        DataError: Fewer than four are left, or a wanted one is missing.
    """
    found = list(held_out(folder))
    if missing := sorted(set(wanted) - set(found)):
        raise DataError(f"{folder}: no held-out clips of {missing[0]!r}")
    by_class: dict[str, str] = {}
    for label in wanted or found:
        by_class.setdefault(TAGS.get(label, label), label)
    if len(by_class) < 4:
        raise DataError(f"{folder}: {len(by_class)} labels; two mixtures of two need four")
    return list(by_class.values())


def read_clips(folder: Path, labels: Sequence[str], *, held: bool) -> dict[str, list[np.ndarray]]:
    """Read clips as int16 `(samples, 2)` at 44.1 kHz, those held out or all the others."""
    clips: dict[str, list[np.ndarray]] = {}
    for label in labels:
        for path in audio_files(folder / label):
            if is_held_out(path) == held:
                audio, rate = read_audio(path)
                mono = resample(to_mono(audio)[None], rate, SAMPLE_RATE)[0]
                if np.abs(mono).max(initial=0) > 1e-3:
                    sound = np.clip(mono * 32767, -32768, 32767).astype(np.int16)
                    clips.setdefault(label, []).append(np.stack([sound, sound], axis=1))
    if missing := [label for label in labels if label not in clips]:
        raise DataError(f"{folder}: no {'held-out ' if held else ''}clips of {missing[0]!r}")
    return clips


def padded(
    clips: Mapping[str, Sequence[np.ndarray]], seconds: float
) -> dict[str, list[np.ndarray]]:
    """Put clips of other labels before and after each clip, up to a length; always the same."""
    rng = np.random.default_rng(0)
    length = round(seconds * SAMPLE_RATE)
    result: dict[str, list[np.ndarray]] = {}
    for label, rows in clips.items():
        others = [name for name in clips if name != label]
        for clip in rows:
            around = max(0, length - len(clip))
            pieces: list[np.ndarray] = []
            while sum(map(len, pieces)) < around:
                choice = clips[others[rng.integers(len(others))]]
                pieces.append(choice[rng.integers(len(choice))])
            filling = np.concatenate([clip[:0], *pieces])[:around]
            at = int(rng.integers(around + 1))
            result.setdefault(label, []).append(np.concatenate([filling[:at], clip, filling[at:]]))
    return result


def draw_tests(
    clips: Mapping[str, Sequence[np.ndarray]], count: int, seconds: float
) -> list[TestMixture]:
    """Draw mixtures of two labels at equal energy; the same for all arms and seeds.

    Args:
        clips: int16 `(samples, 2)` by label.
        count: Mixtures to draw.
        seconds: Their length; longer clips are cut, shorter ones end in silence.
    """
    rng = np.random.default_rng(0)
    length = round(seconds * SAMPLE_RATE)
    mixtures = []
    for _ in range(count):
        pair = [str(label) for label in rng.choice(sorted(clips), size=2, replace=False)]
        rows = []
        for label in pair:
            clip = clips[label][rng.integers(len(clips[label]))][:length, 0]
            audio = np.pad(clip.astype(np.float32) / 32768, (0, length - len(clip)))
            rows.append(audio * np.float32(0.05 / (np.sqrt(np.mean(audio**2)) + 1e-9)))
        mixtures.append(TestMixture((pair[0], pair[1]), np.stack(rows)))
    return mixtures
