"""The training loop that every recipe shares: optimise, average, log, save, resume.

In: a module, a recipe (example numbers -> loss), groups of parameters. Out: checkpoints in a run
folder and, in the end, the averaged weights. The loop knows neither audio nor models.

Under `torchrun` several processes take turns in the examples' numbers and average their gradients
(PyTorch's DistributedDataParallel); the first writes and scores.
"""

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from separate.errors import CheckpointError, DataError, OutputError
from separate.files import replacing
from separate.models.torch_file import read_torch_file
from separate.train import distributed as processes


@dataclass(frozen=True)
class LoopConfig:
    """How long and how fast a run learns."""

    minutes: float = 60.0  # wall-clock limit of this call; the run can be resumed
    steps: int = 1_000_000  # optimiser steps of the whole run
    batch: int = 2  # examples a step and process
    rate: float = 3e-4  # learning rate of the parameters without a multiple of their own
    warmup: int = 100  # steps of linear warm-up
    decay_steps: int = 0  # steps of a cosine decay to a tenth; 0: none
    anneal: bool = False  # a cosine decay to nothing over this call's minutes instead
    weight_decay: float = 1e-4  # AdamW's
    epsilon: float = 1e-8  # AdamW's; gradients below make no full step
    clip_norm: float = 1.0  # largest gradient norm
    average: float = 0.999  # decay of the exponential moving average of the weights
    save_minutes: float = 5.0  # time between checkpoints
    evaluate_minutes: float = 15.0  # time between evaluations
    evaluate_steps: int = 0  # steps between evaluations, whatever the time; 0: by time alone
    seed: int = 0  # of initial weights and examples
    bfloat16: bool = True  # compute in bfloat16 where it is fast: on CUDA alone


class Recipe(Protocol):
    """What a way of training must offer."""

    name: str
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
    processes.share(recipe.model)
    optimiser = _optimiser(recipe, config)
    averaged = _averaged(recipe.model, config.average)
    state = _State(recipe, optimiser, averaged, config.seed)
    step = state.resume(run / "checkpoint.pt")
    diary = _Diary(run, log)
    device = next(recipe.model.parameters()).device
    clock = _Clock(config, device)
    loss_of = _objective(recipe)
    if step == 0 and processes.rank() == 0 and (before := recipe.evaluate(averaged.module)):
        diary.record(step, before, "dev, start")
    figures: dict[str, float] = {}
    while clock.goes_on(step):
        _set_rate(optimiser, config, step, clock.spent())
        half = config.bfloat16 and device.type == "cuda"
        with torch.autocast(device.type, torch.bfloat16, enabled=half):
            loss, parts = loss_of(processes.own_numbers(step, config.batch))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(recipe.model.parameters(), config.clip_norm)
        optimiser.step()
        averaged.update_parameters(recipe.model)
        step += 1
        for name, value in parts.items():
            figures[name] = 0.98 * figures.get(name, value) + 0.02 * value
        if step % 50 == 0:
            diary.record(step, figures, f"{clock.minutes:.1f} min")
        save, evaluate = clock.due(step)
        if save:
            state.save(run / "checkpoint.pt", step)
        if evaluate and processes.rank() == 0:
            diary.record(step, recipe.evaluate(averaged.module), "dev")
    state.save(run / "checkpoint.pt", step)
    if processes.rank() == 0:
        diary.record(step, recipe.evaluate(averaged.module), "dev, end")
    return averaged.module


class _Clock:
    """When to stop, to save and to score: by the clock of the first process."""

    def __init__(self, config: LoopConfig, device: torch.device) -> None:
        self.config, self.device = config, device
        self.started = self.saved = self.evaluated = time.monotonic()

    @property
    def minutes(self) -> float:
        """Since the start of this call."""
        return (time.monotonic() - self.started) / 60

    def spent(self) -> float:
        """How much of the time is over, 0..1; 0 where nothing depends on it."""
        if not self.config.anneal:
            return 0.0
        return processes.agreed([self.minutes / self.config.minutes], self.device)[0]

    def goes_on(self, step: int) -> bool:
        """Whether there is time for another step."""
        within = self.minutes < self.config.minutes
        return step < self.config.steps and bool(processes.agreed([within], self.device)[0])

    def due(self, step: int) -> tuple[bool, bool]:
        """Whether it is time to save, and to score; asking restarts those that are due."""
        now, every = time.monotonic(), self.config.evaluate_steps
        late = [
            now - self.saved > self.config.save_minutes * 60,
            now - self.evaluated > self.config.evaluate_minutes * 60
            or (every > 0 and step % every == 0 and step < self.config.steps),
        ]
        save, evaluate = processes.agreed(late, self.device)
        self.saved = now if save else self.saved
        self.evaluated = now if evaluate else self.evaluated
        return bool(save), bool(evaluate)


class _Objective(nn.Module):
    """A recipe's loss as a module, since that is what averages gradients over processes."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.model = recipe.model
        self._loss = recipe.loss

    def forward(self, numbers: list[int]) -> tuple[Tensor, dict[str, float]]:
        return self._loss(numbers)


def _objective(recipe: Recipe) -> Callable[[list[int]], tuple[Tensor, dict[str, float]]]:
    if processes.world() == 1:
        return recipe.loss
    # A step need not reach every layer: not all recipes ask the voice's gate, for instance.
    return nn.parallel.DistributedDataParallel(_Objective(recipe), find_unused_parameters=True)


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
        eps=config.epsilon,
    )


def _set_rate(
    optimiser: torch.optim.Optimizer, config: LoopConfig, step: int, spent: float
) -> None:
    factor = min(1.0, (step + 1) / max(1, config.warmup))
    if config.anneal:
        factor *= _cosine(spent)
    elif config.decay_steps:
        factor *= 0.1 + 0.9 * _cosine(step / config.decay_steps)
    for group in optimiser.param_groups:
        group["lr"] = config.rate * factor * group.get("multiple", 1.0)


def _cosine(progress: float) -> float:
    """Fall from 1 to 0 while progress goes from 0 to 1."""
    return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


@dataclass(frozen=True)
class _State:
    """All that a run must keep to go on as if it had not been stopped."""

    recipe: Recipe
    optimiser: torch.optim.Optimizer
    averaged: torch.optim.swa_utils.AveragedModel
    seed: int

    def resume(self, path: Path) -> int:
        """Load a checkpoint where there is one; return the number of steps done.

        Raises:
            DataError: It is damaged, or of another configuration.
        """
        if not path.is_file():
            return 0
        try:
            state = read_torch_file(path)
        except CheckpointError as error:
            raise DataError(f"{path}: damaged; take another --run folder") from error
        own = {"recipe": self.recipe.name, "seed": self.seed}
        kept = {key: state.get(key, value) for key, value in own.items()}
        try:
            if kept != own:
                raise ValueError(f"made by {kept}")
            self.recipe.model.load_state_dict(state["model"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.averaged.load_state_dict(state["averaged"])
        except (KeyError, RuntimeError, ValueError) as error:
            raise DataError(
                f"{path}: a checkpoint of another configuration; take another --run folder"
            ) from error
        torch.set_rng_state(state["rng"])
        return int(state["step"])

    def save(self, path: Path, step: int) -> None:
        """Write a checkpoint beside the old one, then replace that; the first process does.

        Raises:
            OutputError: It can't be written; the old one is kept.
        """
        if processes.rank() != 0:
            return
        state = {
            "step": step,
            "recipe": self.recipe.name,
            "seed": self.seed,
            "model": self.recipe.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "averaged": self.averaged.state_dict(),
            "rng": torch.get_rng_state(),
        }
        try:
            with replacing(path) as temporary:
                torch.save(state, temporary)
        except (OSError, RuntimeError) as error:
            raise OutputError(
                f"{path}: the checkpoint cannot be written ({error}); the last one is kept"
            ) from error


class _Diary:
    """The run's `log.jsonl`, TensorBoard's files and lines of progress, of the first process."""

    def __init__(self, run: Path, log: Callable[[str], None]) -> None:
        self.run, self.log = run, log
        self.writer = _writer(run) if processes.rank() == 0 else None

    def record(self, step: int, figures: dict[str, float], note: str) -> None:
        """Write figures down.

        Raises:
            OutputError: The disk is full or not writable.
        """
        if processes.rank() != 0:
            return
        line = json.dumps({"step": step, "note": note, **figures})
        try:
            with (self.run / "log.jsonl").open("a") as file:
                file.write(line + "\n")
        except OSError as error:
            raise OutputError(f"{self.run}: the log cannot be written ({error})") from error
        if self.writer is not None:
            for name, value in figures.items():
                self.writer.add_scalar(name, value, step)
        numbers = "  ".join(f"{name} {value:.3f}" for name, value in figures.items())
        self.log(f"step {step}  {numbers}  ({note})")


def _writer(run: Path) -> Any:
    """TensorBoard's writer where the extra `train` is installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(run))
