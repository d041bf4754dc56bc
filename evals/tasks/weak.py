"""Ways to train one small separator, compared: the ICLR 2024 paper's experiment on our clips.

The result is the mean BSS Eval SDR of each arm and its improvement over the mixture, with the
spread over seeds, the curves and the paper's ratios.

All arms start from the same random weights, take the same number of steps and see the same clips:
(a) `unsupervised` and (b) `weak` only as mixtures of P with their labels, (c) `supervised` (the
paper's mix-and-separate) as single sources, (d) `semi` both ways. `semi@0.05` is `semi` where 5 %
of each label's clips may be used alone. All are tested on mixtures of two held-out clips at equal
energy, each source queried by its own label. The queries' vectors come from the text tower.

Contrast varies (b): `weak-contrast` adds the paper's, `weak-paper` the paper's weight of
consistency as well; `weak-light` has a tenth of the contrast, `weak-late` that from half of the
steps on, `weak-varied` that of estimates that are changed at random, and `weak-two-scorers` that by
two networks. The first is EfficientAT's tagger, which scores estimates by class names; it was
trained on AudioSet and on none of the clips. The second is the audio tower, trained on the clips.

Three more arms show what anchors are worth (USS): each clip is padded with clips of other labels,
`anchors` trains on the stretches that the tagger finds, `random-crops` on any, and `clean-crops` on
any stretch of the clips as they are.

Each finished run leaves `scores.json` in its folder: an experiment that was interrupted goes on.
"""

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from separate.errors import DataError, SettingsError
from separate.evals.metrics.bss_filters import bss_eval
from separate.evals.tasks.clips import TAGS
from separate.evals.tasks.results import plain, write_json
from separate.evals.tasks.weak_clips import (
    TestMixture,
    distinct_labels,
    draw_tests,
    padded,
    read_clips,
)
from separate.train.recipes.small_separator import (
    ANCHOR_ARMS,
    ARMS,
    PADDED_ARMS,
    ArmConfig,
    SmallSeparator,
    train_arm,
)

_LEARN_FROM_MIXTURES = ("unsupervised", "weak", "semi")  # arms, or their names' first word
Report = Callable[[str], None]


@dataclass(frozen=True)
class ExperimentConfig:
    """Size of the experiment; the same for all arms."""

    arm: ArmConfig = field(default_factory=ArmConfig)  # of all runs, but for arm, seed, P and share
    seeds: tuple[int, ...] = (0, 1, 2)
    sources: tuple[int, ...] = (2,)  # P, of the mixtures that arms learn from
    tests: int = 60  # mixtures to test on
    curve_tests: int = 20  # of them, for the curve
    seconds: float = 3.0  # length of a test mixture
    labels: tuple[str, ...] = ()  # to use; none: all whose AudioSet class is no other's
    padded_seconds: float = 12.0  # length of a clip with others around it, for the anchors' arms


def run_experiment(
    folder: Path,
    tagger: Path | str,
    config: ExperimentConfig,
    *,
    arms: Sequence[str] = ("unsupervised", "weak", "supervised", "semi"),
    runs: Path | None = None,
    log: Report = print,
) -> dict[str, Any]:
    """Train every arm with every seed and score all on the same mixtures.

    Args:
        folder: Clips, a folder a label; files whose number is divisible by 10 are held out.
        tagger: EfficientAT's checkpoint, or `efficientat-mn04`.
        config: Sizes.
        arms: Of `ARMS`; "semi@0.05" gives the part of the clips that may be used alone.
        runs: Folder of the runs; with it an experiment that was stopped goes on where it was, and
            the result has the finished runs of other arms, too.
        log: Takes a line of progress.

    Returns:
        A result of kind "weak", in plain values.

    Raises:
        DataError: The folder has too few labels or clips, or a run is of other settings.
        SettingsError: There is no such arm.
        CheckpointError: The tagger is missing or damaged.
    """
    planned = plan(config, arms)
    labels = distinct_labels(folder, config.labels)
    bench = Bench.of(folder, labels, str(tagger), config)
    rows = {}
    for settings in planned:
        run = None if runs is None else runs / run_name(settings)
        row = _finished(run, settings, bench.settings) if run is not None else None
        if row is None:
            row = bench.run(settings, run, log)
            if run is not None:
                write_json(run / "scores.json", row)
            log(f"{run_name(settings)}: SDR {row['sdr']:.2f} dB in {row['minutes']:.1f} min")
        rows[run_name(settings)] = row
    for path in sorted(runs.glob("*/scores.json")) if runs is not None else ():
        other = json.loads(path.read_text())
        if path.parent.name not in rows and other["bench"] == bench.settings:
            rows[path.parent.name] = other
    return {
        "kind": "weak",
        "dataset": folder.resolve().name,
        "config": asdict(config),
        "labels": labels,
        "metric": "BSS Eval v3 (512 taps), mean over both sources of each mixture",
        "mixture": averages(bench.base, bench.base),
        "rows": list(rows.values()),
        "songs": [],
        "failed": [],
    }


def plan(config: ExperimentConfig, arms: Sequence[str]) -> list[ArmConfig]:
    """Return the runs of an experiment, each once: by P, by seed, by arm.

    Raises:
        SettingsError: There is no such arm, or its share is no number from 0 to 1.
    """
    runs = []
    for sources in config.sources:
        for seed in config.seeds:
            for text in arms:
                arm, at, share = text.partition("@")
                if arm not in ARMS:
                    raise SettingsError(f"--arms {arm!r}: take of {', '.join(ARMS)}")
                try:
                    part = float(share) if at else config.arm.single_share
                except ValueError as error:
                    raise SettingsError(f"--arms {text}: give a share, as in semi@0.05") from error
                if not 0 <= part <= 1:
                    raise SettingsError(f"--arms {text}: the share is from 0 to 1")
                mixed = arm.partition("-")[0] in _LEARN_FROM_MIXTURES
                alone = arm in ("supervised", "semi")
                runs.append(
                    replace(
                        config.arm,
                        arm=arm,
                        seed=seed,
                        sources=sources if mixed else 1,
                        wrong_captions=0.0 if arm in ANCHOR_ARMS else config.arm.wrong_captions,
                        single_share=part if alone else 1.0,
                    )
                )
    return list(dict.fromkeys(runs))


def run_name(config: ArmConfig) -> str:
    """Name a run's folder: arm, share, P, wrong captions and seed, as "semi@0.05-p2-0"."""
    mixed = f"-p{config.sources}" if config.sources > 1 else ""
    wrong = f"-wrong{config.wrong_captions:g}" if config.wrong_captions else ""
    return f"{arm_name(config)}{mixed}{wrong}-{config.seed}"


def arm_name(config: ArmConfig) -> str:
    """Name an arm and the part of the clips that it may use alone, where that is not all."""
    return config.arm if config.single_share == 1 else f"{config.arm}@{config.single_share:g}"


def _finished(run: Path, config: ArmConfig, bench: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the scores of a finished run.

    Raises:
        DataError: They are of other settings, or damaged.
    """
    path = run / "scores.json"
    if not path.is_file():
        return None
    try:
        row: dict[str, Any] = json.loads(path.read_text())
        known = dict(row["config"])
        if "rate" in known:  # the name in older files
            known["learning_rate"] = known.pop("rate")
        settings = plain({**asdict(ArmConfig()), **known})  # with defaults for fields added later
        same = settings == plain(asdict(config)) and row["bench"] == bench
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: damaged ({error}); delete it to score the run again") from error
    if not same:
        raise DataError(f"{path}: a run of other settings; take another -o folder")
    return row


@dataclass(frozen=True)
class Bench:
    """What all runs of an experiment share: clips, test mixtures and the tagger."""

    train: Mapping[str, Sequence[np.ndarray]]  # int16 (samples, 2) by label
    mixtures: Sequence[TestMixture]
    base: Sequence[Mapping[str, float]]  # scores of the mixtures themselves
    tagger: str
    curve_tests: int
    padded_seconds: float
    settings: Mapping[str, Any]  # plain values that must be equal where scores are compared

    @classmethod
    def of(
        cls, folder: Path, labels: Sequence[str], tagger: str, config: ExperimentConfig
    ) -> "Bench":
        """Read clips and draw the test mixtures."""
        train, test = (read_clips(folder, labels, held=held) for held in (False, True))
        mixtures = draw_tests(test, config.tests, config.seconds)
        base = [score(mixture, mixture.references * 0 + mixture.mixture) for mixture in mixtures]
        settings = {
            "labels": list(labels),
            "tests": config.tests,
            "seconds": config.seconds,
            "padded_seconds": config.padded_seconds,
        }
        return cls(
            train, mixtures, base, tagger, config.curve_tests, config.padded_seconds, settings
        )

    def run(self, config: ArmConfig, run: Path | None, log: Report) -> dict[str, Any]:
        """Train one arm, or go on with it, and score it."""
        started = time.process_time()
        clips = padded(self.train, self.padded_seconds) if config.arm in PADDED_ARMS else self.train
        classes = {label: TAGS.get(label, label.replace("_", " ")) for label in self.train}
        curve: dict[int, float] = {}

        def evaluate(net: SmallSeparator) -> dict[str, float]:
            return self.score(net, self.curve_tests)

        net = train_arm(config, clips, self.tagger, classes, run, evaluate=evaluate, log=log)
        scores = self.score(net, len(self.mixtures))
        if run is not None:
            lines = map(json.loads, (run / "log.jsonl").read_text().splitlines())
            curve = {line["step"]: line["sdr"] for line in lines if "sdr" in line}
        row = {
            "arm": arm_name(config),
            "seed": config.seed,
            "sources": config.sources,
            "wrong_captions": config.wrong_captions,
            **scores,
            "minutes": (time.process_time() - started) / 60,
            "curve": [[step, curve[step]] for step in sorted(curve)],
            "config": asdict(config),
            "bench": self.settings,
        }
        found: dict[str, Any] = plain(row)
        return found

    def score(self, net: SmallSeparator, tests: int) -> dict[str, float]:
        """Average over the first test mixtures."""
        scores = [score(mixture, estimates(net, mixture)) for mixture in self.mixtures[:tests]]
        return averages(scores, self.base[:tests])


def estimates(net: SmallSeparator, mixture: TestMixture) -> np.ndarray:
    """Query each source by its label: `(2, samples)`."""
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
