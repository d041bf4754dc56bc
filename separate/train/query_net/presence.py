"""Calibration of presence: mixtures of training clips, queries that are in them and that are not.

It fits the logistic rule of `separate/queries/presence.py` for a separator and writes it, with
scores on mixtures that it was not fitted on, to `separate/queries/presence.json`.
"""

import json
import logging
import random
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from separate.audio import read_audio, resample, to_mono
from separate.errors import DataError
from separate.queries import vocabulary
from separate.queries.encoders import load_encoder
from separate.queries.presence import Clues, PresenceMeter
from separate.queries.query import parse_query
from separate.separator import Separator

log = logging.getLogger(__name__)

RATE = 44_100  # Hz
_SECONDS = 10
_SONG = "Caesium"  # held out of all training
_TOO_NEAR = 0.5  # a query nearer to a present label (cosine) is neither present nor absent
_SONG_ABSENT = (
    "saxophone", "violin", "flute", "trumpet", "banjo", "bagpipes", "accordion", "dog bark",
    "rain", "helicopter", "speech", "cello", "harmonica", "church bells", "baby cry", "oboe",
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A mixture and its queries."""

    mixture: np.ndarray  # (2, time) float32, 44.1 kHz
    queries: dict[str, bool]  # phrase -> whether it is in the mixture
    group: str  # "clips" or "song"


@dataclass(frozen=True)
class Row:
    """One query of one mixture."""

    case: int
    group: str
    query: str
    present: bool
    clues: Clues | None  # None: the estimate is silent


def clip_cases(folder: Path, count: int, generator: random.Random) -> Iterator[Case]:
    """Mix two or three training clips; ask for what is there, and for as many other labels.

    Args:
        folder: The data folder's `clips`.
        count: How many mixtures.
        generator: Of every choice.
    """
    names = sorted(json.loads((folder / "labels.json").read_text(encoding="utf-8")))
    for _ in range(count):
        chosen = generator.sample(names, generator.choice((2, 3)))
        mixture = np.zeros(_SECONDS * RATE, np.float32)
        for name in chosen:
            clips = [p for p in sorted((folder / name).iterdir()) if int(p.stem) % 10 != 0]
            mixture += _spread(generator.sample(clips, min(4, len(clips))), generator)
        labels = [vocabulary.label_of(name) for name in chosen]
        absent = _absent([label.name for label in labels], [*names, *_SONG_ABSENT], generator)
        queries = {generator.choice(label.captions): True for label in labels}
        queries.update(dict.fromkeys(absent[: len(queries)], False))
        yield Case(np.stack([mixture, mixture]), queries, "clips")


def _spread(paths: list[Path], generator: random.Random) -> np.ndarray:
    """Play clips one after the other, with pauses, at one random level; ten seconds."""
    result = np.zeros(_SECONDS * RATE, np.float32)
    position = int(generator.uniform(0, 2) * RATE)
    for path in paths:
        samples, rate = read_audio(path)
        sound = resample(to_mono(samples)[None], rate, RATE)[0]
        end = min(position + len(sound), len(result))
        result[position:end] = sound[: max(end - position, 0)]
        position = end + int(generator.uniform(0, 0.5) * RATE)
    level = np.sqrt(np.square(result).mean()) + 1e-6
    return result * (0.08 * 10 ** (generator.uniform(-12, 0) / 20) / level)


def song_cases(folder: Path, count: int, generator: random.Random) -> Iterator[Case]:
    """Cut the development song, often without its vocals, drums or bass.

    Args:
        folder: The data folder's `songs/train`.
        count: How many mixtures.
        generator: Of every choice.
    """
    paths = {path.stem: path for path in sorted((folder / _SONG).glob("*.ogg"))}
    stems = {name: read_audio(path)[0] for name, path in paths.items()}
    length = min(audio.shape[1] for audio in stems.values())
    parents = {name: vocabulary.label_of(name).stem for name in stems}
    for _ in range(count):
        start = generator.randrange(length - _SECONDS * RATE)
        dropped = generator.choice((None, "vocals", "vocals", "drums", "bass", "other"))
        parts: dict[str, np.ndarray] = {}
        for name, audio in stems.items():
            if parents[name] != dropped:
                parent = parents[name] or "other"
                cut = audio[:, start : start + _SECONDS * RATE]
                parts[parent] = parts.get(parent, np.zeros_like(cut)) + cut
        mixture = np.sum(list(parts.values()), axis=0, dtype=np.float32)
        if np.square(mixture).mean() < 1e-6:
            continue
        queries = {}
        for stem in vocabulary.STEMS:
            energy = np.square(parts[stem]).mean() if stem in parts else 0.0
            share = energy / np.square(mixture).mean()
            if share == 0 or share > 0.01:  # what is barely there is neither
                queries[_spoken(stem, generator)] = bool(share > 0)
        queries.update(dict.fromkeys(generator.sample(_SONG_ABSENT, 2), False))
        yield Case(mixture, queries, "song")


def _spoken(stem: str, generator: random.Random) -> str:
    return stem if generator.random() < 0.6 else generator.choice(vocabulary.PROBES[stem])


def _absent(present: list[str], names: Sequence[str], generator: random.Random) -> list[str]:
    """Return labels, in random order, that none of the present ones could be taken for."""
    encoder = load_encoder()
    labels = [name.replace("_", " ") for name in names]
    near = encoder.embed_text(labels) @ encoder.embed_text(present).T
    absent = [name for name, line in zip(labels, near, strict=True) if line.max() < _TOO_NEAR]
    return generator.sample(absent, len(absent))


def collect(separator: Separator, cases: Sequence[Case]) -> list[Row]:
    """Separate every case and note the clues of each query."""
    encoder = load_encoder()
    rows = []
    for number, case in enumerate(cases):
        names = list(case.queries)
        meter = PresenceMeter(encoder, [parse_query(name) for name in names], RATE)
        separation = separator.separate(case.mixture, RATE, names)
        estimates = np.stack([separation.estimates[name].numpy() for name in names])
        meter.update(case.mixture, np.concatenate([estimates, case.mixture[None]]))
        for (name, present), clues in zip(case.queries.items(), meter.clues(), strict=True):
            rows.append(Row(number, case.group, name, present, clues))
        if number % 10 == 9:
            log.info("%d of %d mixtures", number + 1, len(cases))
    return rows


def fit(rows: Sequence[Row], decay: float = 0.02) -> tuple[float, list[float]]:
    """Fit the logistic rule: bias and a weight a clue.

    Args:
        rows: Queries; silent estimates are left out (they are never present).
        decay: Weight of the squared (standardised) weights, against overfitting.
    """
    known = [row for row in rows if row.clues is not None]
    if len({row.present for row in known}) < 2:
        raise DataError("calibration needs queries that are present and such that are not")
    values, truth = _tables(known)
    mean, deviation = values.mean(0), values.std(0).clamp_min(1e-6)
    standard = (values - mean) / deviation
    weights = torch.zeros(values.shape[1], dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([weights, bias], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        logits = standard @ weights + bias
        cost = torch.nn.functional.binary_cross_entropy_with_logits(logits, truth)
        cost = cost + decay * weights.square().sum()
        cost.backward()
        return cost

    optimiser.step(loss)  # type: ignore[no-untyped-call]
    plain = weights.detach() / deviation
    return float(bias.detach() - (plain * mean).sum()), plain.tolist()


def _tables(rows: Sequence[Row]) -> tuple[Tensor, Tensor]:
    values = torch.tensor([astuple(row.clues) for row in rows if row.clues], dtype=torch.float64)
    return values, torch.tensor([row.present for row in rows], dtype=torch.float64)


def likelihoods(rows: Sequence[Row], bias: float, weights: Sequence[float]) -> list[float]:
    """Return what a rule says of each row."""
    logits = [
        bias + sum(w * v for w, v in zip(weights, astuple(row.clues), strict=True))
        if row.clues
        else -30.0
        for row in rows
    ]
    return torch.tensor(logits).sigmoid().tolist()


def auc(likely: Sequence[float], rows: Sequence[Row]) -> float:
    """Area under the ROC curve: how often a present query is likelier than an absent one."""
    pairs = list(zip(likely, rows, strict=True))
    there = torch.tensor([value for value, row in pairs if row.present])
    absent = torch.tensor([value for value, row in pairs if not row.present])
    above = (there[:, None] > absent).float() + 0.5 * (there[:, None] == absent).float()
    return round(float(above.mean()), 4)


def scores(likely: Sequence[float], rows: Sequence[Row]) -> dict[str, Any]:
    """Score likelihoods: AUC in all and by group, right at 0.5, and the reliability curve.

    Returns:
        Beside the scores, `reliability`: for each fifth of the scale the mean likelihood, the
        share of queries that were present, and how many there were.
    """
    groups = sorted({row.group for row in rows})
    result: dict[str, Any] = {"queries": len(rows), "auc": auc(likely, rows)}
    for group in groups:
        part = [(value, row) for value, row in zip(likely, rows, strict=True) if row.group == group]
        result[f"auc_{group}"] = auc([value for value, _ in part], [row for _, row in part])
    right = [(value > 0.5) == row.present for value, row in zip(likely, rows, strict=True)]
    result["right_at_half"] = round(sum(right) / len(right), 4)
    result["reliability"] = []
    for fifth in range(5):
        part = [(v, r) for v, r in zip(likely, rows, strict=True) if min(int(v * 5), 4) == fifth]
        if part:
            mean = sum(value for value, _ in part) / len(part)
            share = sum(row.present for _, row in part) / len(part)
            result["reliability"].append([round(mean, 3), round(share, 3), len(part)])
    return result


def cross_validate(rows: Sequence[Row], folds: int = 5) -> dict[str, Any]:
    """Score rules on mixtures that they were not fitted on."""
    tested: list[Row] = []
    likely: list[float] = []
    for fold in range(folds):
        rule = fit([row for row in rows if row.case % folds != fold])
        part = [row for row in rows if row.case % folds == fold]
        tested.extend(part)
        likely.extend(likelihoods(part, *rule))
    return scores(likely, tested)


def calibrate(rows: Sequence[Row], separator: Separator, path: Path) -> dict[str, Any]:
    """Fit the rule on all rows and write it with its cross-validated scores."""
    bias, weights = fit(rows)
    names = [field.name for field in fields(Clues)]
    content = {
        "bias": round(bias, 4),
        "weights": {name: round(value, 4) for name, value in zip(names, weights, strict=True)},
        "separator_sha256": separator.model_sha256,
        "scores": cross_validate(rows),
    }
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return content


def make_cases(data: Path, clips: int, song: int, seed: int) -> list[Case]:
    """Return all mixtures: `clips` of clips and `song` of the development song."""
    generator = random.Random(seed)
    return [
        *clip_cases(data / "clips", clips, generator),
        *song_cases(data / "songs" / "train", song, generator),
    ]
