import importlib.util
import os
import sys
import time

import numpy as np
import pytest
import soundfile
import torch
from typer.testing import CliRunner

from separate.errors import CheckpointError, DataError
from separate.evals.bench import process as process_module
from separate.evals.bench import run as bench_module
from separate.evals.bench.process import run_measured, tree_memory
from separate.evals.bench.run import BenchSettings, measure_speed, ratios
from separate.evals.bench.signals import music_like, write_clip
from separate.evals.bench.systems import System, open_system, overlap_add
from separate.evals.bench.timed import start_timed
from separate.evals.cli.commands import bench_app


def test_runs_alternate_and_ratios_pair_them(monkeypatch):
    order: list[tuple[str, int]] = []
    seconds = iter([1.0, 2.0, 30.0, 3.0, 4.0, 60.0])

    def start_fake(system, audio_seconds, threads):
        def run(queries):
            order.append((system.name, queries))
            return next(seconds)

        return run

    monkeypatch.setattr(bench_module, "start_timed", start_fake)
    ours = System("ours", "separate", "trained", (1, 4))
    baseline = System("baseline", "hdemucs")
    speed = measure_speed([ours, baseline], BenchSettings(seconds=13, runs=2))
    assert order == [("ours", 1), ("ours", 4), ("baseline", 4)] * 2
    assert [entry["median_seconds"] for entry in speed] == [2.0, 3.0, 45.0]
    assert speed[0]["times_real_time"] == 6.5
    assert ratios(speed) == [{"name": "ours", "queries": 4, "to": "baseline", "times": 15.0}]


def test_a_process_each():
    run = start_timed(System("default", "separate", "trained", (1,)), 1.0, 1)
    assert 0 < run(1) < 60
    with pytest.raises(CheckpointError, match="no-such-model"):
        start_timed(System("no-such-model", "separate", "trained"), 1.0, 1)


def test_overlap_add_gives_back_what_passes_unchanged():
    mixture = torch.from_numpy(music_like(25))
    result = overlap_add(lambda chunk: chunk.repeat(4, 1, 1), mixture)
    torch.testing.assert_close(result, mixture.expand(4, -1, -1), atol=1e-6, rtol=0)


@pytest.mark.parametrize("kind", ["hdemucs", "openunmix"])
def test_public_networks_run(kind):
    if kind == "openunmix" and importlib.util.find_spec(kind) is None:
        pytest.skip("openunmix is in the extra `bench`")
    open_system(System(kind, kind), 1)(music_like(1.0), 4)


def test_clip_is_what_it_says(tmp_path):
    path = write_clip(tmp_path / "clip.flac", 1.5)
    audio, rate = soundfile.read(path)
    assert rate == 44100 and audio.shape == (66150, 2)
    np.testing.assert_allclose(audio.T, music_like(1.5), atol=1e-4)
    assert 0.3 < np.abs(audio).max() < 1


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_memory_of_a_tree_of_processes(tmp_path, monkeypatch):
    """A child's child holds its memory until it was looked at several times."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    looks: list[float] = []

    def look(pid):
        memory = tree_memory(pid)
        if memory[0] > 80e6:
            looks.append(time.perf_counter())
            if len(looks) == 5:
                gate.write_text("go on")
        return memory

    monkeypatch.setattr(process_module, "tree_memory", look)
    hold = f"x = bytearray(80_000_000); open({str(gate)!r}).read()"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {hold!r}])"
    measured = run_measured([sys.executable, "-c", code])
    assert 80e6 < measured.peak_bytes < 200e6 and measured.seconds > looks[4] - looks[0] > 0


@pytest.mark.parametrize(
    ("flags", "asked"),
    [((), 1), (("--no-baselines",), 0), (("--no-rivals",), 0), (("--rivals",), 1)],
)
def test_baselines_are_left_out_by_either_spelling(monkeypatch, flags, asked):
    calls: list[str] = []

    def installed():
        calls.append("baselines")
        return []

    monkeypatch.setattr("separate.evals.bench.systems.installed_baselines", installed)
    monkeypatch.setattr("separate.evals.bench.systems.our_systems", lambda models: [])
    monkeypatch.setattr("separate.evals.bench.run.bench", lambda *_: {"kind": "weak", "rows": []})
    monkeypatch.setattr("separate.evals.cli.options.finish", lambda *_: None)
    assert CliRunner().invoke(bench_app, list(flags)).exit_code == 0
    assert len(calls) == asked


def test_failing_command():
    with pytest.raises(DataError, match="no such thing"):
        run_measured([sys.executable, "-c", "import sys; sys.exit('no such thing')"])
