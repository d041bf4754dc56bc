"""Hidden folders with their locks, and files that get their names together."""

import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import numpy as np
import pytest
from batch_helpers import files

from separate.batch.outputs import FileSet
from separate.batch.pool import run_in_processes
from separate.batch.staging import StagingFolder, remove_leftovers
from separate.errors import OutputError
from separate.files import replacing

HOLD = """
import sys
from pathlib import Path
from separate.batch.staging import StagingFolder
staging = StagingFolder(Path(sys.argv[1]))
(staging.path / "part").write_text("x")
print(staging.path, flush=True)
sys.stdin.readline()
"""
CLEAN = """
import sys
from pathlib import Path
from separate.batch.staging import remove_leftovers
remove_leftovers(Path(sys.argv[1]))
"""


def holder(folder: Path) -> tuple[subprocess.Popen, Path]:
    """A process that works in a hidden folder until it is told to end."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], **pipes)
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def test_a_hidden_folder_lives_as_long_as_its_process(tmp_path: Path) -> None:
    process, hidden = holder(tmp_path)
    remove_leftovers(tmp_path)
    assert (hidden / "part").is_file()
    process.kill()
    process.wait()
    remove_leftovers(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_run_in_another_process_namespace_leaves_it_alone(tmp_path: Path) -> None:
    if shutil.which("unshare") is None:
        pytest.skip("no unshare here")
    process, hidden = holder(tmp_path)
    try:
        command = ["unshare", "-r", "-p", "-f", "--mount-proc", sys.executable, "-c", CLEAN]
        done = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True)
        if done.stderr.startswith("unshare"):
            pytest.skip(f"no namespaces here: {done.stderr.strip()[:100]}")
        assert done.returncode == 0, done.stderr
        assert (hidden / "part").is_file()
    finally:
        process.communicate("end\n")


def test_hidden_folders_of_many_threads(tmp_path: Path) -> None:
    """They are made and removed while others look for leftovers."""

    def work(number: int) -> None:
        for _ in range(50):
            staging = StagingFolder(tmp_path)
            part = staging.path / "part"
            part.write_text(str(number))
            remove_leftovers(tmp_path)
            assert part.read_text() == str(number)
            staging.remove()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert list(tmp_path.iterdir()) == []


def test_a_set_of_files_that_fails_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = {"one": "a/one.txt", "two": "a/two.txt", "new": "b/new.txt"}
    with FileSet(tmp_path, {"one": "a/one.txt", "two": "a/two.txt"}) as first:
        first.write_text("one", "old one")
        first.write_text("two", "old two")
        first.commit()
    replace = Path.replace

    def fail_at_the_last(self: Path, target: Path) -> Path:
        if Path(target).name == "new.txt":
            raise OSError(28, "No space left on device")
        return replace(self, target)

    for has_links in (True, False):
        with FileSet(tmp_path, places) as second, monkeypatch.context() as patch:
            for name in places:
                second.write_text(name, f"new {name}")
            patch.setattr(Path, "replace", fail_at_the_last)
            if not has_links:
                patch.delattr(os, "link")
                patch.setattr(os, "link", no_link, raising=False)
            with pytest.raises(OutputError, match="No space left"):
                second.commit()
        assert files(tmp_path) == ["a/one.txt", "a/two.txt"]
        assert (tmp_path / "a/one.txt").read_text() == "old one"
        assert (tmp_path / "a/two.txt").read_text() == "old two"


def no_link(source: Path, target: Path) -> None:
    raise OSError(95, "Operation not supported")


def test_three_threads_replace_one_file(tmp_path: Path) -> None:
    path, together = tmp_path / "x.json", Barrier(3)

    def write(letter: str) -> None:
        for _ in range(20):
            with replacing(path) as temporary, temporary.open("w") as file:
                file.write(json.dumps(letter * 1000))
                together.wait(60)
                file.write("\n")
            text = path.read_text()
            assert len(set(json.loads(text))) == 1 and text.endswith("\n")

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(write, "abc"))
    assert files(tmp_path) == ["x.json"]


def pid_of(item: int, on_part: object) -> tuple[int, int]:
    """Stands for a worker."""
    return item, os.getpid()


def test_a_process_that_is_killed_while_it_has_nothing_to_do_is_replaced() -> None:
    results = run_in_processes(pid_of, [(i, i) for i in range(4)], 1, lambda index, part: None)
    found = []
    for index, result in results:
        assert result is not None and result[0] == index
        found.append(result[1])
        for child in multiprocessing.active_children():
            child.kill()
            child.join()
    assert len(set(found)) == 4


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_an_interrupt_is_not_lost_while_a_process_is_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Interrupted(ProcessPoolExecutor):
        def submit(self, *args, **kwargs):
            os.kill(os.getpid(), signal.SIGINT)
            return super().submit(*args, **kwargs)

    monkeypatch.setattr("separate.batch.pool.ProcessPoolExecutor", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        list(run_in_processes(pid_of, [(0, 0)], 1, lambda index, part: None))
    assert not multiprocessing.active_children()


def test_weights_of_three_threads_are_whole(tmp_path: Path) -> None:
    import torch

    from separate.models import registry

    path, together = tmp_path / "x.safetensors", Barrier(3)

    def save(value: int) -> None:
        for _ in range(5):
            together.wait(60)
            card = registry.Card("x", "query-unet", "", {}, "MIT")
            state = {"a": torch.full((50_000,), float(value))}
            registry.save(state, card, path, precision="float32")
            assert len(np.unique(registry.read_state(path)["a"].numpy())) == 1

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(save, range(3)))
    assert files(tmp_path) == ["x.json", "x.safetensors"]
