"""Turn clues into labels: which phrases are reliably present in a window, and which absent.

A logistic rule per label maps clues `(windows, labels, clues)` to likelihoods; labels whose
likelihood passes the rule's thresholds are used. The shipped rule is `rule.json`; `separate data
check-labels --fit` fits one on songs whose stems are known.

A threshold is the loosest at which `PRECISION` of the windows that get the label are right, in real
and in rendered songs, at the least prevalence (for absence: the greatest) that is expected. The
likelihoods of a window come from a rule fitted without its song. A label without such a threshold
is not used.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from separate.corpus.mixtures.clues import CLUES, LABELS
from separate.corpus.mixtures.known import SILENT, SOUNDS, UNKNOWN, Known
from separate.errors import DataError, OutputError

RULE_PATH = Path(__file__).parent / "rule.json"
PRECISION = 0.9
# The share of windows in which each sounds, in a corpus of games' music: at least and at most. In
# songs with stems it is another, and precision depends on it.
_SHARES = {
    "vocals": (0.05, 0.3),
    "drums": (0.4, 0.7),
    "bass": (0.4, 0.8),
    "guitar": (0.15, 0.4),
    "piano": (0.15, 0.4),
    "synth": (0.25, 0.6),
    "strings": (0.2, 0.6),
}
_GRID = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99)  # of the printed table
_LEAST = 10  # windows of real, or of rendered, songs that a threshold is judged by
_LEAST_IN_ALL = 25
_FOLDS = 6
_RIDGE = 1e-2  # weight of the squared weights, of clues with unit variance
_STEPS = 300


@dataclass(frozen=True)
class LabelRule:
    """The rule of one label."""

    bias: float
    weights: tuple[float, ...]  # a clue each
    sounds: float | None  # likelihood from which it surely sounds; None: not used
    silent: float | None  # likelihood up to which it surely doesn't; None: not used


@dataclass(frozen=True)
class Rule:
    """The rules of all labels."""

    tagger: str  # that the clues come from
    labels: dict[str, LabelRule]

    def likelihoods(self, values: np.ndarray) -> np.ndarray:
        """Map clues `(n, labels, clues)` to likelihoods `(n, labels)`."""
        if values.shape[1:] != (len(LABELS), len(CLUES)):
            raise ValueError(f"clues must be (n, {len(LABELS)}, {len(CLUES)}), got {values.shape}")
        rules = [self.labels[label] for label in LABELS]
        weights = np.array([rule.weights for rule in rules])
        bias = np.array([rule.bias for rule in rules])
        return _logistic((values * weights).sum(-1) + bias)

    def apply(self, values: np.ndarray) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
        """Return for each window the labels that surely sound, and those that surely don't."""
        found = []
        for row in self.likelihoods(values):
            pairs = [(label, p, self.labels[label]) for label, p in zip(LABELS, row, strict=True)]
            sounds = (label for label, p, r in pairs if r.sounds is not None and p >= r.sounds)
            silent = (label for label, p, r in pairs if r.silent is not None and p <= r.silent)
            found.append((tuple(sounds), tuple(silent)))
        return found

    def save(self, path: Path) -> None:
        """Write it as JSON.

        Raises:
            OutputError: It can't be written.
        """
        try:
            path.write_text(json.dumps(asdict(self), indent=1) + "\n")
        except OSError as error:
            raise OutputError(f"{path}: cannot be written ({error}); name another file") from error


@lru_cache(maxsize=4)
def load_rule(path: Path = RULE_PATH) -> Rule:
    """Read a rule.

    Raises:
        DataError: It is missing or damaged.
    """
    try:
        content = json.loads(path.read_text())
        labels = {
            label: LabelRule(**{**entry, "weights": tuple(entry["weights"])})
            for label, entry in content["labels"].items()
        }
        return Rule(content["tagger"], labels)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: no rule for labels ({error}); install separate again") from error


def fit_rule(known: Known) -> tuple[Rule, np.ndarray]:
    """Fit weights on windows of free songs, and choose thresholds on all.

    Args:
        known: Measured windows.

    Returns:
        The rule, and likelihoods `(n, labels)` of the known windows by rules fitted without
        their songs.
    """
    folds = _folds(known)
    held = np.empty(known.states.shape)
    weights = np.empty((len(LABELS), len(CLUES)))
    bias = np.empty(len(LABELS))
    for number in range(len(LABELS)):
        values, states = known.values[:, number], known.states[:, number]
        usable = known.free & np.isin(states, (SOUNDS, SILENT))
        for fold in range(_FOLDS):
            others, inside = usable & (folds != fold), folds == fold
            some, offset = _fit(values[others], states[others] == SOUNDS)
            held[inside, number] = _logistic(values[inside] @ some + offset)
        weights[number], bias[number] = _fit(values[usable], states[usable] == SOUNDS)
    labels = {}
    for number, label in enumerate(LABELS):
        sounds, silent = _thresholds(known, number, held[:, number])
        rounded = tuple(round(float(weight), 4) for weight in weights[number])
        labels[label] = LabelRule(round(float(bias[number]), 4), rounded, sounds, silent)
    return Rule(known.tagger, labels), held


def _folds(known: Known) -> np.ndarray:
    """Number the songs: the windows of a song lie in one fold."""
    order = {name: place for place, name in enumerate(sorted(set(known.songs.tolist())))}
    return np.array([order[name] % _FOLDS for name in known.songs.tolist()])


def _fit(values: np.ndarray, sounds: np.ndarray) -> tuple[np.ndarray, float]:
    """Fit a logistic rule in which both states weigh the same."""
    mean, deviation = values.mean(0), values.std(0) + 1e-3
    x = torch.from_numpy((values - mean) / deviation).double()
    y = torch.from_numpy(sounds.astype(np.float64))
    share = float(y.mean().clamp(0.02, 0.98))
    balance = y * (0.5 / share) + (1 - y) * (0.5 / (1 - share))
    weights = torch.zeros(x.shape[1], dtype=torch.float64, requires_grad=True)
    bias = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([weights, bias], max_iter=_STEPS, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        each = torch.nn.functional.binary_cross_entropy_with_logits(
            x @ weights + bias, y, weight=balance
        )
        loss = each + _RIDGE * weights.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimiser.step(closure)  # type: ignore[arg-type]
    plain = weights.detach().numpy() / deviation
    return plain, float(bias.detach()) - float(mean @ plain)


@dataclass(frozen=True)
class Score:
    """How good a label at a threshold is."""

    precision: float  # at the label's prevalence; NaN where no window gets the label
    recall: float
    labelled: int  # windows that get the label


def score(
    states: np.ndarray, gets: np.ndarray, state: int, prevalence: float, counted: np.ndarray
) -> Score:
    """Score a label.

    Args:
        states: `(n,)` of the windows.
        gets: `(n,)` bool: windows that get the label.
        state: What the label stands for: `SOUNDS` or `SILENT`.
        prevalence: How often the label is true in the corpus that it is meant for.
        counted: `(n,)` bool: windows to look at.

    Returns:
        The precision that the label would have at that prevalence. A window where the source is so
        soft that neither label is true counts as wrong.
    """
    counted = counted & (states != UNKNOWN)
    true, false = counted & (states == state), counted & (states != state)
    hits = (gets & true).sum() / max(1, true.sum())
    errors = (gets & false).sum() / max(1, false.sum())
    total = prevalence * hits + (1 - prevalence) * errors
    precision = prevalence * hits / total if total else float("nan")
    return Score(float(precision), float(hits), int((gets & counted).sum()))


def _thresholds(
    known: Known, number: int, likelihoods: np.ndarray
) -> tuple[float | None, float | None]:
    """Return the loosest thresholds with enough precision, for sounds and for silence."""
    grid = np.unique(np.concatenate([np.arange(0.5, 0.95, 0.01), 1 - np.geomspace(0.05, 5e-4, 40)]))
    states = known.states[:, number]
    chosen: list[float | None] = []
    lowest, highest = _SHARES[LABELS[number]]
    for state, part in ((SOUNDS, lowest), (SILENT, 1 - highest)):
        sure = likelihoods if state == SOUNDS else 1 - likelihoods
        verdicts = [_verdict(known, states, sure >= limit, state, part) for limit in grid]
        # From the threshold on every stricter one is good too, as far as windows are left.
        first = max((place for place, v in enumerate(verdicts) if v is False), default=-1) + 1
        is_good = first < len(grid) and verdicts[first] is True
        limit = grid[first] if state == SOUNDS else 1 - grid[min(first, len(grid) - 1)]
        chosen.append(round(float(limit), 5) if is_good else None)
    return chosen[0], chosen[1]


def _verdict(
    known: Known, states: np.ndarray, gets: np.ndarray, state: int, prevalence: float
) -> bool | None:
    """Return whether a label is right often enough: in all songs, in real ones, in rendered ones.

    Returns:
        None where too few windows get the label to judge by.
    """
    everything = np.ones_like(gets)
    kinds = ((everything, _LEAST_IN_ALL), (~known.rendered, _LEAST), (known.rendered, _LEAST))
    scores = [(score(states, gets, state, prevalence, which), least) for which, least in kinds]
    judged = [found for found, least in scores if found.labelled >= least]
    if any(found.precision < PRECISION for found in judged):
        return False
    return True if scores[0][0].labelled >= _LEAST_IN_ALL else None


def table(known: Known, likelihoods: np.ndarray, rule: Rule) -> str:
    """Return precision and recall of every label by threshold, and the thresholds that are used.

    Args:
        known: Measured windows.
        likelihoods: `(n, labels)`, of `fit_rule`.
        rule: With the thresholds.
    """
    lines = [
        "| label | state | threshold | real: precision | recall | windows"
        " | rendered: precision | recall | windows |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for number, label in enumerate(LABELS):
        entry = rule.labels[label]
        for state, says, used in (
            (SOUNDS, "sounds", entry.sounds),
            (SILENT, "is silent", entry.silent),
        ):
            limits = [t if state == SOUNDS else round(1 - t, 5) for t in _GRID]
            for limit in sorted({*limits, *([] if used is None else [used])}):
                mark = "used: " if limit == used else ""
                cells = _cells(known, likelihoods[:, number], number, state, limit)
                lines.append(f"| {label} | {says} | {mark}{limit:g} | {' | '.join(cells)} |")
            if used is None:
                lines.append(f"| {label} | {says} | none is good enough | | | | | | |")
    return "\n".join(lines)


def _cells(
    known: Known,
    likelihoods: np.ndarray,
    number: int,
    state: int,
    limit: float,
) -> Sequence[str]:
    gets = likelihoods >= limit if state == SOUNDS else likelihoods <= limit
    lowest, highest = _SHARES[LABELS[number]]
    part = lowest if state == SOUNDS else 1 - highest
    cells = []
    for counted in (~known.rendered, known.rendered):
        found = score(known.states[:, number], gets, state, part, counted)
        precision = "" if np.isnan(found.precision) else f"{found.precision:.2f}"
        cells += [precision, f"{found.recall:.2f}", str(found.labelled)]
    return cells


def _logistic(logits: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -30, 30))))
