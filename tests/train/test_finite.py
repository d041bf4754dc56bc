"""A loss or gradient that isn't finite changes neither weights, statistics nor checkpoint."""

import re
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import separate.train
from separate.errors import DataError
from separate.train.finite import MOST_REFUSED, StepGuard
from separate.train.loop import train
from separate.train.settings import LoopConfig


class Line:
    """Fits a line; the loss or the gradient of some steps is no number."""

    name = "line"

    def __init__(self, bad: range, kind: str) -> None:
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
        self._bad, self._kind = bad, kind

    def loss(self, indices: list[int]) -> tuple[Tensor, dict[str, float]]:
        is_bad = indices[0] in self._bad
        x = torch.eye(4, 2)
        if is_bad and self._kind == "input":
            x = x * float("nan")
        loss = self.model(x).square().mean()
        if is_bad and self._kind == "gradient":
            zero = (self.model[0].weight * 0).sum()
            loss = loss.detach() + zero.sqrt()  # 0, whose gradient is infinite times 0
        if is_bad and self._kind == "inf":
            loss = loss * float("inf")
        return loss, {"loss": float(loss.detach())}

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        return {}

    def groups(self) -> list[dict]:
        return [{"params": list(self.model.parameters())}]


def config(steps: int) -> LoopConfig:
    return LoopConfig(minutes=10, steps=steps, batch=1, save_minutes=0)


@pytest.mark.parametrize("kind", ["input", "gradient", "inf"])
def test_a_step_that_is_not_finite_is_left_out(tmp_path: Path, kind: str) -> None:
    lines: list[str] = []
    recipe = Line(range(3, 5), kind)
    averaged = train(recipe, config(8), tmp_path, log=lines.append)
    for module in (recipe.model, averaged):
        assert all(torch.isfinite(value).all() for value in module.state_dict().values())
    assert sum("step is left out" in line for line in lines) == 2
    assert "nan" not in (tmp_path / "log.jsonl").read_text().lower()


def test_several_in_a_row_end_the_run_and_keep_the_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"10 steps in a row .* the last checkpoint is good"):
        train(Line(range(4, 100), "input"), config(50), tmp_path, log=lambda line: None)
    kept = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert kept["step"] == 4
    for part in ("model", "averaged"):
        assert all(torch.isfinite(value).all() for value in kept[part].values())


def test_a_good_step_begins_the_count_anew() -> None:
    weight = nn.Parameter(torch.ones(1))
    guard = StepGuard([weight], lambda line: None)
    for _ in range(2):
        for _ in range(MOST_REFUSED - 1):
            assert not guard.allows(torch.tensor(float("nan")))
        assert guard.allows(torch.tensor(1.0))


def test_every_loop_that_steps_asks_the_guard() -> None:
    """A loop that calls `optimiser.step()` without one would be new."""
    for path in Path(separate.train.__path__[0]).rglob("*.py"):
        text = path.read_text()
        steps = len(re.findall(r"\.step\(\)", text)) - len(re.findall(r"schedule\.step\(\)", text))
        assert steps == len(re.findall(r"guard\.allows\(", text)), path
