"""Batches on Ray: a local one through the command line, and two nodes of which one is killed."""

import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from batch_helpers import Gate, files, make_endless_fake, make_fake, run_batch, sound, task
from lyrics_helpers import clip_of, tiny_en
from typer.testing import CliRunner
from waiting import wait_for

from separate import example_path
from separate.batch.ray_cluster import BUSY_NODE_MS, RayOptions
from separate.batch.record import RecordFile
from separate.batch.staging import remove_leftovers
from separate.batch.verify import verify
from separate.cli.main import app
from separate.errors import QueryError, SettingsError

ray = pytest.importorskip("ray", reason="the extra ray is not installed")
# At full size: SEPARATE_BAD_DAYS=full
FILES = 40 if os.environ.get("SEPARATE_BAD_DAYS") == "full" else 12
RUN = [sys.executable, "-c", "from separate.cli.main import main; main()"]


@pytest.fixture(scope="module")
def cluster() -> Iterator["ray.cluster_utils.Cluster"]:
    """A head without processors for work, and a node with one; tests add more."""
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_health_check_timeout_ms"] = BUSY_NODE_MS  # noqa: SIM112
    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112 - 15 starves on a busy machine
    os.environ["PYTHONPATH"] = str(Path(__file__).parents[1])  # workers find the helpers there
    small = {"include_dashboard": False, "object_store_memory": 100 << 20}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **small})
    cluster.add_node(num_cpus=1, **small)
    ray.init(address=cluster.address, log_to_driver=False, logging_level="error")
    yield cluster
    ray.shutdown()
    cluster.shutdown()
    del os.environ["PYTHONPATH"]


@pytest.fixture
def two_nodes(cluster: "ray.cluster_utils.Cluster") -> Iterator["ray.node.Node"]:
    """The second node, which is there for one test."""
    node = cluster.add_node(num_cpus=1, include_dashboard=False, object_store_memory=100 << 20)
    cluster.wait_for_nodes()
    yield node
    if node in cluster.list_all_nodes():
        cluster.remove_node(node)


def on(cluster: "ray.cluster_utils.Cluster", **options: object) -> RayOptions:
    return RayOptions(cluster.address, **options)  # type: ignore[arg-type]


def test_files_are_those_of_jobs(cluster, two_nodes, tmp_path: Path) -> None:
    inputs = [sound(tmp_path / f"{i}.wav", seconds=0.2 * (i + 1)) for i in range(4)]
    inputs.insert(2, tmp_path / "missing.wav")
    (tmp_path / "text.wav").write_text("no sound")
    inputs.append(tmp_path / "text.wav")
    seen: list[tuple[float, float]] = []
    local = run_batch(
        inputs, task(tmp_path / "local", "drums"), jobs=2, separator_factory=make_fake
    )
    spread = run_batch(
        inputs,
        task(tmp_path / "spread", "drums"),
        ray=on(cluster),
        separator_factory=make_fake,
        on_progress=lambda done, total: seen.append((done, total)),
    )
    assert [r.input for r in spread.records] == [r.input for r in local.records]
    assert [r.outputs for r in spread.records] == [r.outputs for r in local.records]
    assert [r.error for r in spread.records] == [r.error for r in local.records]
    assert len(spread.failed) == 2
    assert seen[-1][0] == seen[-1][1]
    again = run_batch(
        inputs,
        task(tmp_path / "spread", "drums"),
        ray=on(cluster),
        resume=True,
        separator_factory=make_fake,
    )
    assert again.skipped == 4 and len(again.failed) == 2


def test_one_of_two_nodes_is_killed(cluster, two_nodes, tmp_path: Path) -> None:
    """A third of the files are done, and a worker of that node is in the middle of one."""
    for i in range(FILES):
        sound(tmp_path / f"in/{i}.wav", seconds=4 + i % 3)
    out, gate = tmp_path / "out", Gate(tmp_path / "gate")
    raylet = two_nodes.all_processes["raylet"][0].process.pid
    killed_at = list[int]()
    done = 0

    def on_record(record: object, is_old: bool) -> None:
        nonlocal done
        done += 1

    def kill() -> None:
        try:
            assert raylet in {gate.arrival(), gate.arrival()}  # both nodes have begun
            gate.let_pass()
            gate.let_pass()
            while gate.arrival() != raylet or done < FILES // 3:
                gate.let_pass()
            killed_at.append(done)
            cluster.remove_node(two_nodes, allow_graceful=False)
        finally:
            gate.open()

    killer = threading.Thread(target=kill)
    killer.start()
    result = run_batch(
        [tmp_path / "in"],
        task(out, "drums"),
        ray=on(cluster, workers=2),
        separator_factory=gate.separator_factory,
        on_record=on_record,
    )
    killer.join()
    assert killed_at and killed_at[0] < FILES and not two_nodes.any_processes_alive()
    assert not result.failed and len(result.records) == FILES
    counts = Counter(record.input for record in RecordFile(out))
    assert len(counts) == FILES and set(counts.values()) == {1}
    clean = tmp_path / "clean"
    expected = run_batch([tmp_path / "in"], task(clean, "drums"), separator_factory=make_fake)
    assert [r.outputs for r in result.records] == [r.outputs for r in expected.records]

    def is_clean() -> bool:
        remove_leftovers(out)  # of a worker that outlives its node by a moment
        return files(out) == files(clean)

    wait_for(is_clean)
    assert verify(out).findings == ()


def test_a_worker_that_dies_with_a_file_twice_costs_that_file(cluster, tmp_path: Path) -> None:
    inputs = [sound(tmp_path / f"{i}.wav", peak=0.99 if i == 1 else 0.5) for i in range(4)]
    out = tmp_path / "out"
    result = run_batch(inputs, task(out, "deadly"), ray=on(cluster), separator_factory=make_fake)
    assert [Path(r.input).name for r in result.failed] == ["1.wav"]
    assert "died twice" in str(result.failed[0].error)
    assert {name.split("/")[0] for name in files(out)} == {"0", "2", "3"}


def test_what_no_file_can_be_done_with_ends_the_batch(cluster, tmp_path: Path) -> None:
    inputs = [sound(tmp_path / f"{i}.wav") for i in range(2)]

    def run(*texts: str, **options: object) -> None:
        wanted = task(tmp_path / "out", *texts)
        run_batch(inputs, wanted, ray=on(cluster, **options), separator_factory=make_fake)

    with pytest.raises(QueryError, match="--model default"):
        run("unanswerable")
    with pytest.raises(SettingsError, match="no node of the Ray cluster has 1 CPU and 1 GPU"):
        run("drums", gpus_per_worker=1.0)
    assert files(tmp_path / "out") == []


def test_stopping_leaves_no_part(cluster, tmp_path: Path) -> None:
    """The second of three files never ends by itself: it is being separated when the stop comes."""
    songs = [sound(tmp_path / f"{i}.wav", 4, peak=0.99 if i == 1 else 0.5) for i in range(3)]
    out = tmp_path / "out"

    def cancel(done: float, total: float) -> None:
        if done > total * 0.4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_batch(
            songs,
            task(out, "drums"),
            ray=on(cluster),
            separator_factory=make_endless_fake,
            on_progress=cancel,
        )
    assert files(out) == ["0/drums.wav", "0/residual.wav"]


def test_lyrics(cluster, shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "lyrics/Jonathan Coulton - Better.ogg"
    verse = clip_of(source, tmp_path / "verse.wav", 7, 15)
    command = ["lyrics", str(verse), "--whisper", str(tiny_en()), "-f", "txt,lrc", "--threads", "1"]
    ways: dict[str, list[str]] = {"local": [], "ray": ["--ray", cluster.address]}
    for name, how in ways.items():
        done = CliRunner().invoke(app, [*command, *how, "-o", str(tmp_path / name)])
        assert done.exit_code == 0, done.output
    texts = [
        [(o.path, o.sha256) for r in RecordFile(tmp_path / n) for o in r.outputs] for n in ways
    ]
    assert texts[0] == texts[1] and len(texts[0]) == 2


def test_the_command_on_a_local_ray(tmp_path: Path) -> None:
    """With the real model: same bytes as --jobs, and nobody else can reach it."""
    folders = {name: tmp_path / name for name in ("ray", "jobs")}
    song = str(example_path())
    (tmp_path / "b.wav").write_bytes(Path(song).read_bytes())
    words = ["-q", "drums", "--threads", "1", "--jobs", "2", "--end", "3"]
    base = [*RUN, "run", song, str(tmp_path / "b.wav"), *words]
    subprocess.run([*base, "-o", folders["jobs"]], check=True, timeout=300)
    with subprocess.Popen([*base, "--ray", "-o", folders["ray"]]) as child:
        heard: set[str] = set()
        while child.returncode is None:
            heard |= listeners()
            with suppress(subprocess.TimeoutExpired):
                child.wait(0.5)
    assert child.returncode == 0
    assert heard and all(address == "127.0.0.1" for address in heard)
    sums = [
        [(o.path, o.sha256) for r in RecordFile(f) for o in r.outputs] for f in folders.values()
    ]
    assert sorted(sums[0]) == sorted(sums[1]) and len(sums[0]) == 4


def listeners() -> set[str]:
    """Addresses that processes of a Ray of 127.0.0.1 listen on, as the kernel tells."""
    sockets = {}
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A":  # listening
                last = bytes.fromhex(fields[1].split(":")[0][-8:])[::-1]
                sockets[f"socket:[{fields[9]}]"] = ".".join(map(str, last))
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"_", b"-")
            if b"--node-ip-address=127.0.0.1" in command:
                links = {str(link.readlink()) for link in (process / "fd").iterdir()}
                found |= {sockets[link] for link in links & sockets.keys()}
        except OSError:
            continue
    return found


def test_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    song = sound(tmp_path / "a.wav")
    with pytest.raises(SettingsError, match=r"pip install 'separate-audio\[ray\]'"):
        run_batch(
            [song], task(tmp_path / "out", "drums"), ray=RayOptions(), separator_factory=make_fake
        )
