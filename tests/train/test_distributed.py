"""Two processes under torchrun (gloo, CPU) equal one with the double batch."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from separate.train import distributed as processes
from separate.train.distributed import mean_over_all

SCRIPT = Path(__file__).with_name("two_processes.py")


def checkpoints(script_arguments: list[str], world: int, folder: Path) -> list[dict]:
    """Run the script in some processes; return its checkpoints after one and after ten steps."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={world}"]
    command = [sys.executable, *(launcher if world > 1 else []), str(SCRIPT), *script_arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr[-3000:]
    return [torch.load(folder / f"step{n}.pt", weights_only=True) for n in (1, 10)]


@pytest.mark.parametrize("recipe", ["supervised", "weak"])
def test_two_processes_equal_one_with_the_double_batch(
    recipe: str, tmp_path: Path, write_song: Callable, write_clips: Callable
) -> None:
    stems = {"kick": "drums", "bass": "bass", "piano": "other"}
    write_song(tmp_path / "data" / "song", stems)
    write_clips(tmp_path / "data" / "clips", ("dog_bark", "rain", "flute"))
    runs = []
    for world, batch in ((1, 2), (2, 1)):
        run = tmp_path / f"run{world}"
        arguments = [recipe, str(tmp_path / "data"), str(run), str(batch)]
        runs.append(checkpoints(arguments, world, run))
    # The gradients of the first step, of which Adam keeps a tenth, are the same but for rounding.
    states = [run[0]["optimiser"]["state"] for run in runs]
    largest = max(float(row["exp_avg"].abs().max()) for row in states[0].values())
    assert largest > 1e-3
    for number, row in states[0].items():
        gradient = states[1][number]["exp_avg"]
        torch.testing.assert_close(row["exp_avg"], gradient, atol=1e-4 * largest, rtol=0)
    assert runs[0][1]["step"] == runs[1][1]["step"] == 10
    for name, value in runs[0][1]["model"].items():
        other = runs[1][1]["model"][name]
        torch.testing.assert_close(value, other, atol=1e-4, rtol=0, msg=name)
    moved = [
        float((value - runs[0][0]["model"][name]).abs().max())
        for name, value in runs[0][1]["model"].items()
    ]
    assert max(moved) > 1e-4


def test_alone_nothing_is_shared() -> None:
    assert (processes.world(), processes.rank()) == (1, 0)
    assert processes.gathered(["a", "b"]) == ["a", "b"]
    assert processes.agreed([True, False], torch.device("cpu")) == [True, False]
    assert processes.own_numbers(3, 2) == [6, 7]
    assert float(mean_over_all(torch.tensor([1.0, 3.0]))) == 2.0
    assert float(mean_over_all(torch.zeros(0))) == 0.0
