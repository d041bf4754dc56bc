"""Four ways to train one small separator, compared: the ICLR 2024 paper's experiment on our clips.

In: a folder with one folder of single-source clips a label. Out: mean BSS Eval SDR and its
improvement over the mixture, an arm a row, with the spread over seeds, and the paper's ratios.

All arms start from the same random weights, take the same number of steps and see the same clips:
(a) `unsupervised` and (b) `weak` only as mixtures of two with their labels, (c) `supervised` (the
paper's mix-and-separate) as single sources, (d) `semi` both ways. They are tested on mixtures of
two held-out clips at equal energy, each source asked for by its own label. What hears the estimates
in (b) and (d) is EfficientAT's tagger by class names, which was trained on AudioSet and on none of
the clips; the queries' vectors come from the text tower, which hears nothing at all.

Two more arms show what anchors are worth (USS): each clip is padded with clips of other labels, and
`anchors` trains on the stretches that the tagger finds, `random-crops` on any.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from separate.audio import read_audio, resample
from separate.errors import DataError
from separate.evals.data.songs import audio_files
from separate.evals.metrics.bss_filters import bss_eval
from separate.evals.tasks.clips import TAGS, held_out, is_held_out
from separate.train.recipes.small_separator import (
    ANCHOR_ARMS,
    ArmConfig,
    SmallSeparator,
    train_arm,
)

ARMS = ("unsupervised", "weak", "supervised", "semi")
SAMPLE_RATE = 44100
Report = Callable[[str], None]


@dataclass(frozen=True)
class ExperimentConfig:
    """Size of the experiment; the same for all arms."""

    steps: int = 400  # of training
    batch: int = 4  # examples a step
    rate: float = 6e-3  # learning rate, with a cosine decay to a tenth; best of four for (c)
    frames: int = 64  # of an example: 1.5 s
    seeds: tuple[int, ...] = (0, 1, 2)
    tests: int = 60  # mixtures to test on
    seconds: float = 3.0  # length of a test mixture
    labels: tuple[str, ...] = ()  # to use; none: all whose AudioSet class is no other's
    padded_seconds: float = 12.0  # length of a clip with others around it, for the anchors' arms
    single_share: float = 1.0  # part of the clips that (c) and (d) may see alone
    widths: tuple[int, ...] = (8, 16, 32, 64, 96, 128)  # of the separator


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


def run_experiment(
    folder: Path,
    tagger: Path | str,
    config: ExperimentConfig,
    *,
    arms: Sequence[str] = ARMS,
    runs: Path | None = None,
    log: Report = print,
) -> dict[str, Any]:
    """Train every arm with every seed and score all on the same mixtures.

    Args:
        folder: Clips, a folder a label; files whose number is divisible by 10 are held out.
        tagger: EfficientAT's checkpoint, or `efficientat-mn04`.
        config: Sizes.
        arms: Of `ARMS` and `ANCHOR_ARMS`.
        runs: Folder of the runs; with it an experiment that was stopped goes on where it was.
        log: Takes a line of progress.

    Returns:
        A result of kind "weak", in plain values.

    Raises:
        DataError: The folder has too few labels or clips.
        CheckpointError: The tagger is missing or damaged.
    """
    labels = distinct_labels(folder, config.labels)
    train, test = read_clips(folder, labels, held=False), read_clips(folder, labels, held=True)
    mixtures = draw_tests(test, config)
    classes = {label: TAGS.get(label, label.replace("_", " ")) for label in labels}
    base = [score(mixture, mixture.references * 0 + mixture.mixture) for mixture in mixtures]
    rows: list[dict[str, Any]] = []
    for seed in config.seeds:
        for arm in arms:
            started = time.monotonic()
            settings = ArmConfig(
                arm, seed, config.steps, config.batch, config.rate, config.frames,
                config.single_share, config.widths,
            )  # fmt: skip
            run = None if runs is None else runs / f"{arm}-{seed}"
            seen = padded(train, config.padded_seconds) if arm in ANCHOR_ARMS else train
            net = train_arm(settings, seen, str(tagger), classes, run, log=log)
            scores = [score(mixture, estimates(net, mixture)) for mixture in mixtures]
            row = {"arm": arm, "seed": seed, **averages(scores, base)}
            row["minutes"] = (time.monotonic() - started) / 60
            rows.append(row)
            log(f"{arm}, seed {seed}: SDR {row['sdr']:.2f} dB in {row['minutes']:.1f} min")
    return {
        "kind": "weak",
        "dataset": folder.resolve().name,
        "config": asdict(config),
        "labels": labels,
        "metric": "BSS Eval v3 (512 taps), mean over both sources of each mixture",
        "mixture": averages(base, base),
        "rows": rows,
        "songs": [],
        "failed": [],
    }


def distinct_labels(folder: Path, wanted: Sequence[str] = ()) -> list[str]:
    """Return the labels whose AudioSet class no label before them has: a tagger tells them apart.

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
                mono = resample(audio.mean(axis=0, keepdims=True), rate, SAMPLE_RATE)[0]
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
    clips: Mapping[str, Sequence[np.ndarray]], config: ExperimentConfig
) -> list[TestMixture]:
    """Draw mixtures of two labels at equal energy; the same for all arms and seeds."""
    rng = np.random.default_rng(0)
    length = round(config.seconds * SAMPLE_RATE)
    mixtures = []
    for _ in range(config.tests):
        pair = [str(label) for label in rng.choice(sorted(clips), size=2, replace=False)]
        rows = []
        for label in pair:
            clip = clips[label][rng.integers(len(clips[label]))][:length, 0]
            audio = np.pad(clip.astype(np.float32) / 32768, (0, length - len(clip)))
            rows.append(audio * np.float32(0.05 / (np.sqrt(np.mean(audio**2)) + 1e-9)))
        mixtures.append(TestMixture((pair[0], pair[1]), np.stack(rows)))
    return mixtures


def estimates(net: SmallSeparator, mixture: TestMixture) -> np.ndarray:
    """Ask for each source by its label: `(2, samples)`."""
    return np.stack([net.separate(mixture.mixture, label) for label in mixture.labels])


def score(mixture: TestMixture, guess: np.ndarray) -> dict[str, float]:
    """Return the mean SDR, SIR and SAR of both sources by BSS Eval v3."""
    pairs = [array[:, None, :] for array in (mixture.references, guess)]
    if not all(row.any() for row in guess):
        return {"sdr": math.nan, "sir": math.nan, "sar": math.nan}
    found = bss_eval(list(pairs[0]), list(pairs[1]), allow_filter=True)
    return {name: float(np.mean(getattr(found, name)[:, 0])) for name in ("sdr", "sir", "sar")}


def averages(
    scores: Sequence[Mapping[str, float]], base: Sequence[Mapping[str, float]]
) -> dict[str, float]:
    """Average over mixtures, with the improvement over the mixture itself."""
    result = {
        name: float(np.nanmean([row[name] for row in scores])) for name in ("sdr", "sir", "sar")
    }
    gains = [row["sdr"] - before["sdr"] for row, before in zip(scores, base, strict=True)]
    return {**result, "sdr_improvement": float(np.nanmean(gains))}
