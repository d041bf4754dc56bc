import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from batch_helpers import (
    RATE,
    FakeSeparator,
    files,
    make_fake,
    make_other_fake,
    run_batch,
    sound,
    task,
)
from waiting import wait_for

from separate.audio import AudioWriter, probe, read_audio
from separate.batch.record import Record, RecordFile
from separate.batch.separation import make_job
from separate.batch.staging import remove_leftovers
from separate.errors import InputError, OutputError, QueryError, SettingsError
from separate.files import sha256_of
from separate.settings import Request


def test_a_folder_and_what_is_written(tmp_path: Path) -> None:
    sound(tmp_path / "in/a.wav", subtype="PCM_24")
    sound(tmp_path / "in/sub/b.flac", format="flac")
    out = tmp_path / "out"
    records: list[tuple[Record, bool]] = []
    result = run_batch(
        [tmp_path / "in"],
        task(out, "drums", "../lead/guitar"),
        separator_factory=make_fake,
        on_record=lambda record, old: records.append((record, old)),
    )
    assert files(out) == [
        "a/_lead_guitar.wav", "a/drums.wav", "a/residual.wav",
        "sub/b/_lead_guitar.wav", "sub/b/drums.wav", "sub/b/residual.wav",
    ]  # fmt: skip
    assert not result.failed and result.skipped == 0
    assert [record for record, _ in records] == list(result.records) == list(RecordFile(out))
    first = result.records[0]
    assert first.presence == {"drums": 0.9, "../lead/guitar": 0.9}
    assert first.duration == 0.5 and first.error is None
    assert [output.stem for output in first.outputs] == ["drums", "../lead/guitar", "residual"]
    for output in first.outputs:
        assert sha256_of(out / output.path) == output.sha256
    info = probe(out / "a/drums.wav")
    assert (info.subtype, info.sample_rate, info.channels) == ("PCM_24", RATE, 2)
    mixture, _ = read_audio(tmp_path / "in/a.wav")
    np.testing.assert_allclose(read_audio(out / "a/drums.wav")[0], mixture / 2, atol=1e-6)


def test_failures_stop_nobody_else(tmp_path: Path) -> None:
    good = [sound(tmp_path / f"{name}.wav") for name in "ab"]
    (tmp_path / "text.wav").write_text("no sound")
    (tmp_path / "empty.wav").touch()
    (tmp_path / "silent folder").mkdir()
    nan = tmp_path / "nan.wav"
    sound(nan, subtype="FLOAT")
    data = bytearray(nan.read_bytes())
    data[-4:] = np.float32(np.nan).tobytes()
    nan.write_bytes(data)
    bad = [tmp_path / name for name in ("no.wav", "text.wav", "empty.wav", "silent folder")]
    out = tmp_path / "out"
    result = run_batch(
        [good[0], *bad, nan, good[1]], task(out, "drums"), separator_factory=make_fake
    )
    assert files(out) == ["a/drums.wav", "a/residual.wav", "b/drums.wav", "b/residual.wav"]
    assert len(result.failed) == 5
    for record in result.failed:
        assert record.error is not None and "\n" not in record.error
        assert Path(record.input).name in record.error
        assert not record.outputs


def test_resume_redoes_what_changed_and_only_that(tmp_path: Path) -> None:
    a, b, out = sound(tmp_path / "a.wav"), sound(tmp_path / "b.wav"), tmp_path / "out"

    def run(*texts: str, factory=make_fake, **options: object) -> list[str]:
        done: list[str] = []
        result = run_batch(
            [a, b],
            task(out, *texts, **options),
            resume=True,
            separator_factory=factory,
            on_record=lambda record, old: None if old else done.append(Path(record.input).name),
        )
        assert result.skipped + len(done) == 2
        return done

    assert run("drums") == ["a.wav", "b.wav"]
    assert run("drums") == []
    assert run("drums", threads=1) == []
    assert run("drums", "bass") == ["a.wav", "b.wav"]
    (out / "b/bass.wav").write_bytes(b"x")
    assert run("drums", "bass") == ["b.wav"]
    sound(a, seconds=0.6)
    assert run("drums", "bass") == ["a.wav"]
    assert run("drums", "bass", overlap=0.25) == ["a.wav", "b.wav"]
    assert run("drums", "bass", overlap=0.25, factory=make_other_fake) == ["a.wav", "b.wav"]
    os.utime(b, (1, 1))
    assert run("drums", "bass", overlap=0.25, factory=make_other_fake) == ["b.wav"]


def test_processes_give_the_same_files(tmp_path: Path) -> None:
    inputs = [sound(tmp_path / f"{i}.wav", seconds=0.2 * (i + 1)) for i in range(4)]
    inputs.insert(2, tmp_path / "missing.wav")
    seen: list[tuple[float, float]] = []
    one = run_batch(inputs, task(tmp_path / "one", "drums"), separator_factory=make_fake)
    two = run_batch(
        inputs,
        task(tmp_path / "two", "drums"),
        jobs=2,
        separator_factory=make_fake,
        on_progress=lambda done, total: seen.append((done, total)),
    )
    assert [r.input for r in one.records] == [r.input for r in two.records]
    assert [r.outputs for r in one.records] == [r.outputs for r in two.records]
    assert len(two.failed) == 1
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[-1][0] == seen[-1][1]


def test_a_process_that_dies_costs_one_file(tmp_path: Path) -> None:
    inputs = [sound(tmp_path / f"{i}.wav", peak=0.99 if i == 1 else 0.5) for i in range(4)]
    out = tmp_path / "out"
    result = run_batch(inputs, task(out, "deadly"), jobs=2, separator_factory=make_fake)
    assert [Path(r.input).name for r in result.failed] == ["1.wav"]
    assert "ended by the system" in str(result.failed[0].error)
    remove_leftovers(out)
    assert {name.split("/")[0] for name in files(out)} == {"0", "2", "3"}


def test_a_query_for_which_there_is_no_answer_ends_the_batch(tmp_path: Path) -> None:
    inputs = [sound(tmp_path / f"{i}.wav") for i in range(3)]
    for jobs in (1, 2):
        with pytest.raises(QueryError, match="--model default"):
            run_batch(
                inputs,
                task(tmp_path / "out", "unanswerable"),
                jobs=jobs,
                separator_factory=make_fake,
            )
    assert files(tmp_path / "out") == []


def test_clip_policy(tmp_path: Path) -> None:
    song = sound(tmp_path / "a.wav", peak=0.5)

    def run(folder: str, **options: object) -> tuple[Record, np.ndarray, np.ndarray]:
        result = run_batch(
            [song], task(tmp_path / folder, "loud", **options), separator_factory=make_fake
        )
        loud, _ = read_audio(tmp_path / folder / "a/loud.wav")
        rest, _ = read_audio(tmp_path / folder / "a/residual.wav")
        return result.records[0], loud, rest

    mixture, _ = read_audio(song)
    record, loud, _ = run("clamp")
    assert np.abs(loud).max() <= 1 and "beyond full scale" in record.warnings[0]
    record, loud, rest = run("rescale", clip_mode="rescale")
    assert "multiplied" in record.warnings[0]
    gain = 0.999 / np.abs(4 * mixture).max()
    np.testing.assert_allclose(loud, gain * 4 * mixture, atol=1e-4)
    np.testing.assert_allclose(rest, gain * -3 * mixture, atol=1e-4)
    record, loud, rest = run("float", subtype="FLOAT")
    assert record.warnings == []
    np.testing.assert_allclose(loud + rest, mixture, atol=1e-5)
    for folder in ("clamp", "rescale", "float"):
        assert files(tmp_path / folder) == ["a/loud.wav", "a/residual.wav"]


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    song = sound(tmp_path / "a.wav")
    result = run_batch([song], task(tmp_path / "out", "bagpipes"), separator_factory=make_fake)
    assert "not found" in result.records[0].warnings[0]
    assert "--keep-absent" in result.records[0].warnings[0]
    assert result.records[0].absent == ["bagpipes"]


@pytest.mark.parametrize("clip_mode", ["clamp", "rescale"])
@pytest.mark.parametrize("format", ["wav", "flac"])
def test_what_is_not_there_comes_out_30_db_softer(
    tmp_path: Path, clip_mode: str, format: str
) -> None:
    song = sound(tmp_path / "a.wav", peak=0.5)
    mixture, _ = read_audio(song)

    def run(folder: str, *queries: str, **options: object) -> dict[str, np.ndarray]:
        wanted = task(tmp_path / folder, *queries, clip_mode=clip_mode, format=format, **options)
        (record,) = run_batch([song], wanted, separator_factory=make_fake).records
        outputs = {o.stem: read_audio(tmp_path / folder / o.path)[0] for o in record.outputs}
        assert record.absent == ([] if options else ["bagpipes"])
        return outputs

    alone = run("alone", "bagpipes")
    np.testing.assert_allclose(alone["bagpipes"], 10**-1.5 * mixture / 2, atol=1e-4)
    np.testing.assert_allclose(alone["bagpipes"] + alone["residual"], mixture, atol=1e-4)
    both = run("both", "drums", "bagpipes")
    np.testing.assert_allclose(both["drums"], mixture / 2, atol=1e-4)
    np.testing.assert_allclose(both["bagpipes"], 10**-1.5 * mixture / 4, atol=1e-4)
    np.testing.assert_allclose(both["residual"], mixture / 2, atol=1e-4)
    kept = run("kept", "bagpipes", keep_absent=True)
    np.testing.assert_allclose(kept["bagpipes"], mixture / 2, atol=1e-4)
    assert not list((tmp_path / "alone").rglob("*.mixed"))


def test_start_and_end(tmp_path: Path) -> None:
    song = sound(tmp_path / "a.wav", seconds=2)
    wanted = task(tmp_path / "out", "drums", start=0.5, end=1.25)
    result = run_batch([song], wanted, separator_factory=make_fake)
    assert result.records[0].duration == 0.75
    assert probe(tmp_path / "out/a/drums.wav").samples == 0.75 * RATE
    late = task(tmp_path / "out", "drums", start=5)
    assert run_batch([song], late, separator_factory=make_fake).failed


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    songs = [sound(tmp_path / "a.wav"), sound(tmp_path / "b.wav")]
    commit, commits = AudioWriter.commit, 0

    def fail_second(self: AudioWriter) -> Path:
        nonlocal commits
        commits += 1
        if commits == 2:
            raise OutputError(f"{self.path}: cannot be written (the disk is full); make room")
        return commit(self)

    monkeypatch.setattr(AudioWriter, "commit", fail_second)
    out = tmp_path / "out"
    result = run_batch(songs, task(out, "drums"), separator_factory=make_fake)
    assert files(out) == ["b/drums.wav", "b/residual.wav"]
    assert str(result.records[0].error).startswith(f"{out}: cannot be written (the disk is full)")


def test_what_cannot_be_written_is_known_before(tmp_path: Path) -> None:
    song = sound(tmp_path / "a.wav")
    (tmp_path / "file").write_text("x")

    def never(settings: object) -> FakeSeparator:
        raise AssertionError("computed before the output was checked")

    with pytest.raises(OutputError):
        run_batch([song], task(tmp_path / "file", "drums"), separator_factory=never)
    (tmp_path / "out").mkdir()
    (tmp_path / "out/a").write_text("in the way")
    result = run_batch([song], task(tmp_path / "out", "drums"), separator_factory=make_fake)
    assert "is a file, not a folder" in str(result.records[0].error)
    assert (tmp_path / "out/a").read_text() == "in the way"


def test_mp3_of_a_rate_that_it_does_not_hold(tmp_path: Path) -> None:
    song = tmp_path / "a.wav"
    with AudioWriter(song, 96_000, 1) as writer:
        writer.write(np.zeros((1, 100), np.float32))
        writer.commit()
    wanted = task(tmp_path / "out", "drums", format="mp3")
    result = run_batch([song], wanted, separator_factory=make_fake)
    assert "mp3 does not hold 96000 Hz" in str(result.records[0].error)
    assert files(tmp_path / "out") == []


def test_an_old_result_survives_a_failed_run(tmp_path: Path) -> None:
    song, out = sound(tmp_path / "a.wav"), tmp_path / "out"
    run_batch([song], task(out, "drums"), separator_factory=make_fake)
    before = (out / "a/drums.wav").read_bytes()
    song.write_bytes(song.read_bytes()[:30])
    assert run_batch([song], task(out, "drums"), separator_factory=make_fake).failed
    assert (out / "a/drums.wav").read_bytes() == before


def test_cancelling_leaves_no_part(tmp_path: Path) -> None:
    songs = [sound(tmp_path / f"{i}.wav", seconds=4) for i in range(3)]
    out = tmp_path / "out"

    def cancel(done: float, total: float) -> None:
        if done > total / 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_batch(songs, task(out, "drums"), separator_factory=make_fake, on_progress=cancel)
    assert files(out) == ["0/drums.wav", "0/residual.wav"]
    assert len(list(RecordFile(out))) == 1


PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from batch_helpers import make_endless_fake, task, run_batch
if __name__ == "__main__":
    run_batch([Path(sys.argv[2])], task(Path(sys.argv[3]), "drums"), jobs=int(sys.argv[4]),
              resume=True, separator_factory=make_endless_fake,
              on_record=lambda record, is_old: print("recorded", flush=True))
"""


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize(("jobs", "number"), [(1, "SIGKILL"), (2, "SIGKILL"), (2, "SIGINT")])
def test_a_killed_batch_is_resumed(tmp_path: Path, jobs: int, number: str) -> None:
    """The second file never ends by itself: it is being separated when the signal comes."""
    for i in range(3):
        sound(tmp_path / f"in/{i}.wav", seconds=4 + 4 * i, peak=0.99 if i == 1 else 0.4)
    program, out = tmp_path / "program.py", tmp_path / "out"
    program.write_text(PROGRAM)
    folders = [Path(__file__).parents[1], tmp_path / "in", out]
    command = [sys.executable, program, *folders, str(jobs)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, start_new_session=True, **pipes) as child:
        assert child.stdout is not None and child.stdout.readline() == b"recorded\n"
        os.kill(child.pid, getattr(signal, number))
        child.wait(60)
    if number == "SIGINT":
        assert not any(name.startswith(".") for name in files(out))
    remains = [name for name in files(out) if not name.startswith(".separate-")]
    assert remains and not any(name.startswith("1/") for name in remains)
    for name in remains:
        assert probe(out / name).samples in (4 * RATE, 8 * RATE, 12 * RATE)
    wanted = task(out, "drums")
    done = run_batch([tmp_path / "in"], wanted, resume=True, separator_factory=make_fake)
    assert not done.failed and done.skipped >= 1

    def is_clean() -> bool:
        remove_leftovers(out)  # of processes that end by themselves when their parent was killed
        return len(files(out)) == 6

    wait_for(is_clean)


def test_tasks() -> None:
    folder = Path("out")
    stems = task(folder, stems=True)
    assert [q.name for q in stems.queries] == ["vocals", "drums", "bass", "other"]
    assert stems.settings.sum_to_mixture and stems.settings.residual is None
    more = task(folder, "Drums", "lead guitar", stems=True)
    assert [q.name for q in more.queries] == ["vocals", "bass", "other", "Drums", "lead guitar"]
    assert not more.settings.sum_to_mixture and more.settings.residual == "residual"
    assert task(folder, stems=True, residual=True).stems[-1] == "residual"
    assert task(folder, "a", "b", sum_to_mixture=True).settings.sum_to_mixture
    assert task(folder, two_stems="vocals").stems == ("vocals", "no_vocals")
    assert task(folder, "residual").stems == ("residual", "residual (2)")
    assert task(folder, "a", exclude=["b"]).queries[0].exclude == ("b",)


def test_examples_describe_one_source(tmp_path: Path) -> None:
    examples = [sound(tmp_path / "x.wav"), sound(tmp_path / "y.wav")]
    (query,) = task(tmp_path, like=examples).queries
    assert query.like == tuple(examples) and query.name == "like x"
    (query,) = task(tmp_path, "guitar", like=examples).queries
    assert query.text == ("guitar",) and query.like == tuple(examples)
    with pytest.raises(InputError, match=r"no\.wav"):
        task(tmp_path, like=[tmp_path / "no.wav"])


@pytest.mark.parametrize(
    "wrong",
    [
        Request(), Request(texts=("a",), two_stems="b"), Request(stems=True, two_stems="b"),
        Request(stems=True, exclude=("b",)), Request(texts=("a", "b"), like=(Path("x.wav"),)),
        Request(texts=("a", "a")),
    ],
    ids=str,
)  # fmt: skip
def test_requests_that_make_no_sense(wrong: Request) -> None:
    settings = task(Path("out"), "drums").settings
    with pytest.raises(SettingsError) as error:
        make_job(Path("out"), settings, wrong)
    assert "\n" not in str(error.value)
