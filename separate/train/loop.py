"""The training loop that every recipe shares: optimise, average, log, save, resume.

The loop asks a recipe for the loss of example indices and writes checkpoints to a run folder. It
depends neither on audio nor on models. Under `torchrun` the processes split the example indices and
average their gradients (DistributedDataParallel); rank 0 writes and scores.
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
from separate.train import distributed
from separate.train.finite import StepGuard
from separate.train.settings import LoopConfig


class Recipe(Protocol):
    """A training method: losses, scores and parameter groups."""

    name: str

    @property
    def model(self) -> nn.Module:
        """Return the model that is trained."""

    def loss(self, indices: list[int]) -> tuple[Tensor, dict[str, float]]:
        """Return the loss of the examples with these indices, and metrics to log."""

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """Return scores of a model on the development songs; "score" is the one to compare."""

    def groups(self) -> list[dict[str, Any]]:
        """Return optimiser groups: `params`, and `lr_scale`, a factor of the learning rate."""


def train(
    recipe: Recipe,
    config: LoopConfig,
    run: Path,
    *,
    log: Callable[[str], None] = print,
) -> nn.Module:
    """Train until the time or the steps are used up; resume the run in the folder, if any.

    Args:
        recipe: Losses and scores.
        config: Length, learning rate and optimiser.
        run: Folder for `checkpoint.pt`, `log.jsonl` and TensorBoard's files.
        log: Called with each line of progress.

    Returns:
        A model with the averaged weights.

    Raises:
        DataError: The folder holds a checkpoint of another configuration, or several steps in a
            row gave no finite loss; the last checkpoint stays.
        OutputError: A checkpoint cannot be written; the previous one stays.
    """
    run.mkdir(parents=True, exist_ok=True)
    distributed.broadcast_state(recipe.model)
    optimiser = _optimiser(recipe, config)
    averaged = _averaged(recipe.model, config.ema_decay)
    state = _State(recipe, optimiser, averaged, config.seed)
    step = state.resume(run / "checkpoint.pt")
    run_log = _RunLog(run, log)
    device = next(recipe.model.parameters()).device
    clock = _Clock(config, device)
    loss_of = _objective(recipe)
    guard = StepGuard(recipe.model.parameters(), log, recipe.model.buffers())
    if step == 0 and distributed.rank() == 0 and (before := recipe.evaluate(averaged.module)):
        run_log.record(step, before, "dev, start")
    metrics: dict[str, float] = {}
    while clock.has_time(step):
        _set_learning_rate(optimiser, config, step, clock.progress())
        bfloat16 = config.bfloat16 and device.type == "cuda"
        with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
            loss, parts = loss_of(distributed.own_indices(step, config.batch))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        step += 1  # one that is refused too: its examples are passed over
        if not guard.allows(loss):
            optimiser.zero_grad(set_to_none=True)
            continue
        nn.utils.clip_grad_norm_(recipe.model.parameters(), config.clip_norm)
        optimiser.step()
        averaged.update_parameters(recipe.model)
        for name, value in parts.items():
            metrics[name] = 0.98 * metrics.get(name, value) + 0.02 * value
        if step % 50 == 0:
            run_log.record(step, metrics, f"{clock.minutes:.1f} min")
        save, evaluate = clock.due(step)
        if save:
            state.save(run / "checkpoint.pt", step)
        if evaluate and distributed.rank() == 0:
            run_log.record(step, recipe.evaluate(averaged.module), "dev")
    state.save(run / "checkpoint.pt", step)
    if distributed.rank() == 0:
        run_log.record(step, recipe.evaluate(averaged.module), "dev, end")
    return averaged.module


class _Clock:
    """Decides when to stop, save and score, by the clock of rank 0."""

    def __init__(self, config: LoopConfig, device: torch.device) -> None:
        self.config, self.device = config, device
        self.started = self.saved = self.evaluated = time.monotonic()

    @property
    def minutes(self) -> float:
        """Minutes since the start of this call."""
        return (time.monotonic() - self.started) / 60

    def progress(self) -> float:
        """Return the fraction of the time that is used up, 0..1; 0 without annealing."""
        if not self.config.anneal:
            return 0.0
        return distributed.agreed([self.minutes / self.config.minutes], self.device)[0]

    def has_time(self, step: int) -> bool:
        """Return whether another step fits into the time and the steps."""
        within = self.minutes < self.config.minutes
        return step < self.config.steps and bool(distributed.agreed([within], self.device)[0])

    def due(self, step: int) -> tuple[bool, bool]:
        """Return whether to save and whether to score; the timers that are due restart."""
        now, every = time.monotonic(), self.config.evaluate_steps
        late = [
            now - self.saved > self.config.save_minutes * 60,
            now - self.evaluated > self.config.evaluate_minutes * 60
            or (every > 0 and step % every == 0 and step < self.config.steps),
        ]
        save, evaluate = distributed.agreed(late, self.device)
        self.saved = now if save else self.saved
        self.evaluated = now if evaluate else self.evaluated
        return bool(save), bool(evaluate)


class _Objective(nn.Module):
    """A recipe's loss as a module, which DistributedDataParallel needs."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.model = recipe.model
        self._loss = recipe.loss

    def forward(self, indices: list[int]) -> tuple[Tensor, dict[str, float]]:
        return self._loss(indices)


def _objective(recipe: Recipe) -> Callable[[list[int]], tuple[Tensor, dict[str, float]]]:
    if distributed.world_size() == 1:
        return recipe.loss
    # Not every step reaches every layer: not all recipes use the gate, for instance.
    return nn.parallel.DistributedDataParallel(_Objective(recipe), find_unused_parameters=True)


def _averaged(model: nn.Module, decay: float) -> torch.optim.swa_utils.AveragedModel:
    """Return an exponential moving average; its decay grows from 0.1 to `decay`."""

    def average(mean: Tensor, value: Tensor, count: Tensor | int) -> Tensor:
        grown = (1.0 + float(count)) / (10.0 + float(count))
        return mean.lerp(value, 1 - min(decay, grown))

    averaged = torch.optim.swa_utils.AveragedModel(model, avg_fn=average, use_buffers=False)
    return averaged.eval()  # scoring in training mode would change its buffers


def _optimiser(recipe: Recipe, config: LoopConfig) -> torch.optim.Optimizer:
    groups = recipe.groups()
    for group in groups:
        group["params"] = [p for p in group["params"] if p.requires_grad]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=config.learning_rate,
        weight_decay=config.weight_decay,
        eps=config.epsilon,
    )


def _set_learning_rate(
    optimiser: torch.optim.Optimizer, config: LoopConfig, step: int, progress: float
) -> None:
    factor = min(1.0, (step + 1) / max(1, config.warmup))
    if config.anneal:
        factor *= _cosine(progress)
    elif config.decay_steps:
        factor *= 0.1 + 0.9 * _cosine(step / config.decay_steps)
    for group in optimiser.param_groups:
        group["lr"] = config.learning_rate * factor * group.get("lr_scale", 1.0)


def _cosine(progress: float) -> float:
    """Fall from 1 to 0 while progress goes from 0 to 1."""
    return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


@dataclass(frozen=True)
class _State:
    """The state that a resumed run needs to continue as if it had not stopped."""

    recipe: Recipe
    optimiser: torch.optim.Optimizer
    averaged: torch.optim.swa_utils.AveragedModel
    seed: int

    def resume(self, path: Path) -> int:
        """Load the checkpoint, if any; return the number of steps done.

        Raises:
            DataError: The checkpoint is damaged or of another configuration.
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
            self.optimiser.load_state_dict(_renamed_groups(state["optimiser"]))
            self.averaged.load_state_dict(state["averaged"])
        except (KeyError, RuntimeError, ValueError) as error:
            raise DataError(
                f"{path}: a checkpoint of another configuration; take another --run folder"
            ) from error
        torch.set_rng_state(state["rng"])
        return int(state["step"])

    def save(self, path: Path, step: int) -> None:
        """Write a checkpoint and replace the previous one with it, on rank 0.

        Raises:
            OutputError: It cannot be written; the previous one stays.
        """
        if distributed.rank() != 0:
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
                f"{path}: the checkpoint cannot be written ({error}); the previous one stays"
            ) from error


def _renamed_groups(optimiser: dict[str, Any]) -> dict[str, Any]:
    """Rename `multiple`, which older checkpoints say, to `lr_scale`."""
    for group in optimiser["param_groups"]:
        if "multiple" in group:
            group["lr_scale"] = group.pop("multiple")
    return optimiser


class _RunLog:
    """Writes the run's `log.jsonl`, TensorBoard's files and lines of progress, on rank 0."""

    def __init__(self, run: Path, log: Callable[[str], None]) -> None:
        self.run, self.log = run, log
        self.writer = _writer(run) if distributed.rank() == 0 else None

    def record(self, step: int, metrics: dict[str, float], note: str) -> None:
        """Write metrics to the log.

        Raises:
            OutputError: The disk is full or not writable.
        """
        if distributed.rank() != 0:
            return
        line = json.dumps({"step": step, "note": note, **metrics})
        try:
            with (self.run / "log.jsonl").open("a") as file:
                file.write(line + "\n")
        except OSError as error:
            raise OutputError(f"{self.run}: the log cannot be written ({error})") from error
        if self.writer is not None:
            for name, value in metrics.items():
                self.writer.add_scalar(name, value, step)
        values = "  ".join(f"{name} {value:.3f}" for name, value in metrics.items())
        self.log(f"step {step}  {values}  ({note})")


def _writer(run: Path) -> Any:
    """Return TensorBoard's writer, if the extra `train` is installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(run))
