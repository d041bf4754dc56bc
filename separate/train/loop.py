"""The training loop that every recipe shares: optimise, average, log, save, resume.

In: a module, a recipe (example numbers -> loss), groups of parameters. Out: checkpoints in a run
folder and, in the end, the averaged weights. The loop knows neither audio nor models.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from separate.errors import DataError, OutputError


@dataclass(frozen=True)
class LoopConfig:
    """How long and how fast a run learns."""

    minutes: float = 60.0  # wall-clock limit of this call; the run can be resumed
    steps: int = 1_000_000  # optimiser steps of the whole run
    batch: int = 2  # examples a step
    rate: float = 3e-4  # learning rate of the parameters without a multiple of their own
    warmup: int = 100  # steps of linear warm-up
    decay_steps: int = 0  # steps of a cosine decay to a tenth; 0: none
    weight_decay: float = 1e-4  # AdamW's
    clip_norm: float = 1.0  # largest gradient norm
    average: float = 0.999  # decay of the exponential moving average of the weights
    save_minutes: float = 5.0  # time between checkpoints
    evaluate_minutes: float = 15.0  # time between evaluations
    seed: int = 0  # of initial weights and examples


class Recipe(Protocol):
    """What a way of training must offer."""

    model: nn.Module

    def loss(self, numbers: list[int]) -> tuple[Tensor, dict[str, float]]:
        """Return the loss of the examples with these numbers, and figures to log."""

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """Return scores of a model on the development songs; "score" is the one to watch."""

    def groups(self) -> list[dict[str, Any]]:
        """Return optimiser groups: `params`, and `multiple` of the learning rate."""


def train(
    recipe: Recipe,
    config: LoopConfig,
    run: Path,
    *,
    log: Callable[[str], None] = print,
) -> nn.Module:
    """Train until the time or the steps are over, resuming what the run folder holds.

    Args:
        recipe: Losses and scores.
        config: Length and rates.
        run: Folder of the run: `checkpoint.pt`, `log.jsonl`, TensorBoard's files.
        log: Takes a line of progress.

    Returns:
        A model with the averaged weights.

    Raises:
        DataError: The checkpoint in the folder belongs to another configuration.
        OutputError: A checkpoint cannot be written; the last one is kept.
    """
    run.mkdir(parents=True, exist_ok=True)
    optimiser = _optimiser(recipe, config)
    averaged = _averaged(recipe.model, config.average)
    step = _resume(run / "checkpoint.pt", recipe.model, optimiser, averaged)
    writer = _writer(run)
    started = saved = evaluated = time.monotonic()
    figures: dict[str, float] = {}
    while step < config.steps and time.monotonic() - started < config.minutes * 60:
        _set_rate(optimiser, config, step)
        numbers = list(range(step * config.batch, (step + 1) * config.batch))
        loss, parts = recipe.loss(numbers)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(recipe.model.parameters(), config.clip_norm)
        optimiser.step()
        averaged.update_parameters(recipe.model)
        step += 1
        for name, value in parts.items():
            figures[name] = 0.98 * figures.get(name, value) + 0.02 * value
        if step % 50 == 0:
            pace = (time.monotonic() - started) / 60
            _record(run, writer, step, figures, log, f"{pace:.1f} min")
        if time.monotonic() - saved > config.save_minutes * 60:
            saved = time.monotonic()
            _save(run / "checkpoint.pt", step, recipe.model, optimiser, averaged)
        if time.monotonic() - evaluated > config.evaluate_minutes * 60:
            _record(run, writer, step, recipe.evaluate(averaged.module), log, "dev")
            evaluated = time.monotonic()
    _save(run / "checkpoint.pt", step, recipe.model, optimiser, averaged)
    _record(run, writer, step, recipe.evaluate(averaged.module), log, "dev, end")
    return averaged.module


def _averaged(model: nn.Module, decay: float) -> torch.optim.swa_utils.AveragedModel:
    """Exponential moving average whose decay grows from 0, so that it forgets the start soon."""

    def average(mean: Tensor, value: Tensor, count: Tensor | int) -> Tensor:
        grown = (1.0 + float(count)) / (10.0 + float(count))
        return mean.lerp(value, 1 - min(decay, grown))

    averaged = torch.optim.swa_utils.AveragedModel(model, avg_fn=average, use_buffers=False)
    return averaged.eval()  # it is only ever scored: in training mode that would change its buffers


def _optimiser(recipe: Recipe, config: LoopConfig) -> torch.optim.Optimizer:
    groups = recipe.groups()
    for group in groups:
        group["params"] = [p for p in group["params"] if p.requires_grad]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=config.rate,
        weight_decay=config.weight_decay,
    )


def _set_rate(optimiser: torch.optim.Optimizer, config: LoopConfig, step: int) -> None:
    factor = min(1.0, (step + 1) / max(1, config.warmup))
    if config.decay_steps:
        progress = torch.tensor(min(1.0, step / config.decay_steps))
        factor *= 0.1 + 0.45 * (1 + float(torch.cos(progress * torch.pi)))
    for group in optimiser.param_groups:
        group["lr"] = config.rate * factor * group.get("multiple", 1.0)


def _resume(
    path: Path,
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    averaged: torch.optim.swa_utils.AveragedModel,
) -> int:
    """Load a checkpoint where there is one; return the number of steps done."""
    if not path.is_file():
        return 0
    state = torch.load(path, map_location="cpu", weights_only=True)
    try:
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        averaged.load_state_dict(state["averaged"])
    except (KeyError, RuntimeError, ValueError) as error:
        raise DataError(
            f"{path}: a checkpoint of another configuration; take another --run folder"
        ) from error
    torch.set_rng_state(state["rng"])
    return int(state["step"])


def _save(
    path: Path,
    step: int,
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    averaged: torch.optim.swa_utils.AveragedModel,
) -> None:
    """Write a checkpoint beside the old one, then replace that."""
    temporary = path.with_suffix(".tmp")
    state = {
        "step": step,
        "model": model.state_dict(),
        "optimiser": optimiser.state_dict(),
        "averaged": averaged.state_dict(),
        "rng": torch.get_rng_state(),
    }
    try:
        torch.save(state, temporary)
        temporary.replace(path)
    except (OSError, RuntimeError) as error:
        temporary.unlink(missing_ok=True)
        raise OutputError(
            f"{path}: the checkpoint cannot be written ({error}); the last one is kept"
        ) from error


def _writer(run: Path) -> Any:
    """TensorBoard's writer where the extra `train` is installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(run))


def _record(
    run: Path,
    writer: Any,
    step: int,
    figures: dict[str, float],
    log: Callable[[str], None],
    note: str,
) -> None:
    with (run / "log.jsonl").open("a") as file:
        file.write(json.dumps({"step": step, "note": note, **figures}) + "\n")
    if writer is not None:
        for name, value in figures.items():
            writer.add_scalar(name, value, step)
    numbers = "  ".join(f"{name} {value:.3f}" for name, value in figures.items())
    log(f"step {step}  {numbers}  ({note})")
