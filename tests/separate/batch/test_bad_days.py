"""Days on which machines die and disks fill up. Small by default; all of it by one command:

SEPARATE_BAD_DAYS=full python -m pytest tests/separate/test_bad_days.py tests/separate/test_ray.py
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
from batch_helpers import Gate, files, make_fake, run_batch, sound, task
from remote_helpers import start_s3, use_s3
from waiting import wait_for

from separate import example_path
from separate.batch.record import RecordFile
from separate.batch.remote import address as remote
from separate.batch.remote.address import Address
from separate.batch.remote.files import RemoteOptions
from separate.batch.staging import remove_leftovers
from separate.batch.verify import verify
from separate.files import sha256_of

IS_FULL = os.environ.get("SEPARATE_BAD_DAYS") == "full"
FILES, KILLS, RETRIES = (40, 20, 5) if IS_FULL else (6, 2, 2)
PROGRAM = """
import json, os, sys, threading
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from functools import partial
from batch_helpers import files, make_fake, make_gated_fake, task, run_batch
from separate.errors import SeparateError
inputs, out, jobs, filler = Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]), sys.argv[5:]
gate = os.environ.get("TEST_GATE")
make = partial(make_gated_fake, Path(gate)) if gate else make_fake

def on_record(record, is_old):
    if filler:
        with open(filler[0], "wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass

if __name__ == "__main__":
    try:
        result = run_batch([inputs], task(out, "drums"), jobs=jobs, resume=True,
                           separator_factory=make, on_record=on_record)
        told = {"errors": [r.error for r in result.failed]}
    except SeparateError as error:
        told = {"stopped": str(error)}
    if filler and Path(filler[0]).exists():
        os.unlink(filler[0])
        result = run_batch([inputs], task(out, "drums"), resume=True, separator_factory=make_fake)
        told["then"] = [r.error for r in result.failed]
    print(json.dumps({**told, "files": files(out)}), flush=True)
"""


@pytest.fixture
def program(tmp_path: Path) -> list[str]:
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    return [sys.executable, str(path), str(Path(__file__).parents[1])]


def sums(folder: Path) -> dict[str, str]:
    """SHA-256 of everything that is not hidden."""
    return {name: sha256_of(folder / name) for name in files(folder) if not name.startswith(".")}


def wait_until_clean(folder: Path, count: int) -> None:
    """Processes of a killed batch end by themselves; then what they left is removed."""

    def is_clean() -> bool:
        remove_leftovers(folder)
        return len(files(folder)) == count

    wait_for(is_clean)


def test_a_batch_is_killed_at_random_moments(
    program: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(FILES):
        sound(tmp_path / f"in/{i}.wav", seconds=1 + i % 3)
    clean, out = tmp_path / "clean", tmp_path / "out"
    run_batch([tmp_path / "in"], task(clean, "drums"), separator_factory=make_fake)
    right = sums(clean)
    chance = random.Random(7)
    for kill in range(KILLS):
        gate = Gate(tmp_path / f"gate{kill}")
        monkeypatch.setenv("TEST_GATE", str(gate.folder))
        command = [*program, str(tmp_path / "in"), str(out), str(1 + kill % 2)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as child:
            for _ in range(chance.randrange(3)):  # in all less than there is to do
                gate.arrival()
                gate.let_pass()
            gate.arrival()
            if chance.random() < 0.5:  # killed between two seconds of audio, or in the next one
                gate.let_pass()
            assert child.poll() is None
            (os.killpg if kill % 3 else os.kill)(child.pid, signal.SIGKILL)
        gate.open()
        now = sums(out) if out.is_dir() else {}
        assert now.items() <= right.items(), "a file under its final name that is not whole"
    wanted = task(out, "drums")
    done = run_batch([tmp_path / "in"], wanted, resume=True, separator_factory=make_fake)
    assert not done.failed
    wait_until_clean(out, len(right))
    assert sums(out) == right
    assert verify(out).findings == ()
    counts = Counter(record.input for record in RecordFile(out))
    assert len(counts) == FILES and set(counts.values()) == {1}


def test_the_real_command_is_killed(tmp_path: Path) -> None:
    for name in ("a.flac", "b.flac", "c.flac"):
        (tmp_path / "in").mkdir(exist_ok=True)
        shutil.copy(example_path(), tmp_path / "in" / name)
    command = [sys.executable, "-c", "from separate.cli.main import main; main()", "run",
               str(tmp_path / "in"), "-q", "drums", "--threads", "1", "--end", "2"]  # fmt: skip
    subprocess.run([*command, "-o", tmp_path / "clean"], check=True, timeout=300)
    out = tmp_path / "out"
    with subprocess.Popen([*command, "-o", out]) as child:
        wait_for(RecordFile(out).path.is_file, 120)
        child.kill()
    first = len(list(RecordFile(out)))
    assert sums(out).items() <= sums(tmp_path / "clean").items()
    done = subprocess.run(
        [*command, "-o", out, "--resume"], check=True, timeout=300, capture_output=True, text=True
    )
    assert f"{first} complete already" in done.stderr
    assert sums(out) == sums(tmp_path / "clean") and verify(out).findings == ()


def on_a_disk(mount: str, program: list[str], *words: str) -> dict:
    """Run the program where a file system is mounted that nobody else sees."""
    if shutil.which("unshare") is None:
        pytest.skip("no unshare here")
    quoted = 'exec "$0" "$@"'
    command = ["unshare", "-rm", "sh", "-c", f"{mount} && {quoted}", *program, *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    if "unshare" in done.stderr or "mount" in done.stderr:
        pytest.skip(f"no mounting here: {done.stderr.strip()[:100]}")
    assert done.returncode == 0, done.stderr
    told: dict = json.loads(done.stdout.splitlines()[-1])
    return told


def test_a_small_disk(program: list[str], tmp_path: Path) -> None:
    for i in range(4):
        sound(tmp_path / f"in/{i}.wav", seconds=6)  # 384 kB of outputs each
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = f"mount -t tmpfs -o size=1m none '{disk}'"
    told = on_a_disk(mount, program, str(tmp_path / "in"), str(disk / "out"), "1")
    assert told["files"] == [f"{i}/{stem}.wav" for i in range(2) for stem in ("drums", "residual")]
    assert len(told["errors"]) == 2 and all("make room" in error for error in told["errors"])


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_disk_that_fills_up(program: list[str], tmp_path: Path, jobs: str) -> None:
    """Somebody else fills it after the first file; when they remove theirs, all goes on."""
    for i in range(4):
        sound(tmp_path / f"in/{i}.wav", seconds=2)
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = f"mount -t tmpfs -o size=2m none '{disk}'"
    words = [str(tmp_path / "in"), str(disk / "out"), jobs, str(disk / "filler")]
    told = on_a_disk(mount, program, *words)
    assert told.get("stopped") or told["errors"]
    for line in [told.get("stopped"), *told.get("errors", ())]:
        is_told = line is None or "make room" in line or "No space left" in line
        assert is_told and "\n" not in (line or "")
    assert told["then"] == []
    whole = [f"{i}/{stem}.wav" for i in range(4) for stem in ("drums", "residual")]
    assert told["files"] == whole


def test_a_read_only_disk(program: list[str], tmp_path: Path) -> None:
    sound(tmp_path / "in/a.wav")
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = f"mount -t tmpfs none '{disk}' && mount -o remount,ro '{disk}'"
    told = on_a_disk(mount, program, str(tmp_path / "in"), str(disk / "out"), "1")
    assert "cannot be written to (Read-only file system)" in told["stopped"]
    assert told["files"] == []


def test_an_s3_server_that_is_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("s3fs", reason="the extra remote is not installed")
    pytest.importorskip("moto", reason="moto[server] is not installed")
    count = min(FILES, 12)
    for i in range(count):
        sound(tmp_path / f"in/{i}.wav")
    server = start_s3(tmp_path)
    try:
        use_s3(server, monkeypatch)
        remote._open_store.cache_clear()
        remote.call(
            Address("s3://music"), lambda store: store.put(f"{tmp_path}/in/", "music/in/", True)
        )
        done, waits = 0, list[float]()

        def wait(seconds: float) -> None:
            waits.append(seconds)
            if len(waits) % RETRIES == 0:
                server.come_back()

        def on_record(record: object, is_old: bool) -> None:
            nonlocal done
            done += 1
            if done == 2:  # between files
                server.go_away()

        def on_progress(part: float, total: float) -> None:
            if len(waits) == RETRIES and done == 4 and part > total * (done + 0.5) / count:
                server.go_away()  # in the middle of one, before its outputs are put

        clock = SimpleNamespace(monotonic=time.monotonic, sleep=wait)
        monkeypatch.setattr(remote, "time", clock)
        result = run_batch(
            [Address("s3://music/in")],
            task(Path("unused"), "drums"),
            remote=RemoteOptions(Address("s3://results/out")),
            separator_factory=make_fake,
            on_progress=on_progress,
            on_record=on_record,
        )
        waited = [min(0.5 * 2**number, 8.0) for number in range(RETRIES)]
        assert waits == [*waited, *waited]
        assert not result.failed and len(result.records) == count
        assert verify(Address("s3://results/out")).findings == ()
        clean = run_batch(
            [tmp_path / "in"], task(tmp_path / "clean", "drums"), separator_factory=make_fake
        )
        assert [[o.sha256 for o in r.outputs] for r in result.records] == [
            [o.sha256 for o in r.outputs] for r in clean.records
        ]
    finally:
        server.stop()
