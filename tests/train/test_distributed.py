"""Two processes under torchrun (gloo, CPU) equal one with the double batch."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from separate.train import distributed
from separate.train.distributed import mean_over_all

SCRIPT = Path(__file__).with_name("two_processes.py")


def run_script(world: int, *script_arguments: str) -> None:
    """Run the script in some processes."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={world}"]
    command = [sys.executable, *(launcher if world > 1 else []), str(SCRIPT), *script_arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.fixture(scope="module")
def run_folders(
    tmp_path_factory: pytest.TempPathFactory, write_song: Callable, write_clips: Callable
) -> list[Path]:
    """Runs of each recipe in one process with a batch of two, and in two with one each."""
    folder = tmp_path_factory.mktemp("distributed")
    stems = {"kick": "drums", "bass": "bass", "piano": "other"}
    write_song(folder / "data" / "song", stems)
    write_clips(folder / "data" / "clips", ("dog_bark", "rain", "flute"))
    run_script(1, str(folder / "data"), str(folder / "run1"), "2")
    run_script(2, str(folder / "data"), str(folder / "run2"), "1")
    return [folder / "run1", folder / "run2"]


@pytest.mark.parametrize("recipe", ["supervised", "weak"])
def test_two_processes_equal_one_with_the_double_batch(
    recipe: str, run_folders: list[Path]
) -> None:
    runs = [
        [torch.load(folder / recipe / f"step{n}.pt", weights_only=True) for n in (1, 10)]
        for folder in run_folders
    ]
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
    assert (distributed.world_size(), distributed.rank()) == (1, 0)
    assert distributed.gathered(["a", "b"]) == ["a", "b"]
    assert distributed.agreed([True, False], torch.device("cpu")) == [True, False]
    assert distributed.own_indices(3, 2) == [6, 7]
    assert float(mean_over_all(torch.tensor([1.0, 3.0]))) == 2.0
    assert float(mean_over_all(torch.zeros(0))) == 0.0
