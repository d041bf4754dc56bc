"""What outputs must not replace, and where the residuals of several runs go."""

import hashlib
import os
from pathlib import Path

import pytest
from batch_helpers import files, make_fake, run_batch, sound, task
from waiting import wait_for

from separate.batch import run as batch
from separate.batch.guard import Guard
from separate.batch.outputs import FileSet
from separate.batch.pool import run_in_processes
from separate.batch.record import RecordFile
from separate.batch.staging import remove_leftovers
from separate.batch.verify import verify
from separate.errors import OutputError
from separate.lyrics.batch import LyricsJob
from separate.lyrics.settings import LyricsSettings


def contents(folder: Path) -> dict[str, str]:
    """The SHA-256 of every file below a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def run(song: Path, folder: Path, *queries: str, **options: object) -> list[str]:
    """Separate one file; returns the warnings of its record."""
    overwrite = bool(options.pop("overwrite", False))
    resume = bool(options.pop("resume", False))
    result = run_batch(
        [song], task(folder, *queries, **options), separator_factory=make_fake,
        overwrite=overwrite, resume=resume,
    )  # fmt: skip
    assert not result.failed, result.failed
    return result.records[0].warnings


@pytest.mark.parametrize("overwrite", [False, True])
def test_an_input_is_never_replaced(tmp_path: Path, overwrite: bool) -> None:
    song = sound(tmp_path / "drums/drums.wav")
    before = contents(tmp_path)
    with pytest.raises(OutputError, match=r"drums\.wav: is read by this run"):
        run(song, tmp_path, "drums", overwrite=overwrite)
    assert contents(tmp_path) == before


def test_an_input_under_another_name_is_never_replaced(tmp_path: Path) -> None:
    real, link = sound(tmp_path / "kept/song.wav"), tmp_path / "a/drums.wav"
    link.parent.mkdir()
    link.symlink_to(real)
    before = contents(tmp_path)
    with pytest.raises(OutputError, match="is read by this run"):
        run(link, tmp_path, "drums", filename="a/{stem}.{ext}", overwrite=True)
    assert contents(tmp_path) == before


def test_an_example_is_never_replaced(tmp_path: Path) -> None:
    song, example = sound(tmp_path / "song.wav"), sound(tmp_path / "song/horn.wav")
    before = contents(tmp_path)
    with pytest.raises(OutputError, match=r"horn\.wav: is read by this run"):
        run(song, tmp_path, "horn", like=(example,), overwrite=True)
    assert contents(tmp_path) == before


def test_files_of_others_are_replaced_only_where_that_is_allowed(tmp_path: Path) -> None:
    song, own = sound(tmp_path / "in/song.wav"), tmp_path / "out/song/drums.wav"
    own.parent.mkdir(parents=True)
    own.write_text("mine")
    before = contents(tmp_path)
    with pytest.raises(OutputError, match="--overwrite"):
        run(song, tmp_path / "out", "drums")
    assert contents(tmp_path) == before
    run(song, tmp_path / "out", "drums", overwrite=True)
    assert own.read_bytes()[:4] == b"RIFF"
    run(song, tmp_path / "out", "drums")  # the record names it now


def test_the_first_of_many_is_named(tmp_path: Path) -> None:
    songs = [sound(tmp_path / f"in/{name}.wav") for name in "abc"]
    for song in songs:
        (tmp_path / "out" / song.stem).mkdir(parents=True)
        (tmp_path / "out" / song.stem / "drums.wav").write_text("mine")
    with pytest.raises(OutputError, match=r"a/drums\.wav: .*\(2 more of the kind\)"):
        run_batch(songs, task(tmp_path / "out", "drums"), separator_factory=make_fake)


def test_a_file_that_comes_meanwhile_is_kept(tmp_path: Path) -> None:
    with FileSet(tmp_path, {"text": "a.txt"}, Guard(made=frozenset())) as outputs:
        outputs.write_text("text", "ours")
        (tmp_path / "a.txt").write_text("theirs")
        with pytest.raises(OutputError, match="is there already"):
            outputs.commit()
    assert (tmp_path / "a.txt").read_text() == "theirs"


def test_a_run_that_was_killed_before_its_record_goes_on(tmp_path: Path) -> None:
    """The process ends between moving the files and recording them."""
    song, out = sound(tmp_path / "song.wav"), tmp_path / "out"
    child = os.fork()
    if not child:
        RecordFile.append = lambda self, record: os._exit(9)  # type: ignore[method-assign]
        run(song, out, "drums")
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert "song/drums.wav" in files(out) and not list(RecordFile(out))
    run(song, out, "drums", resume=True)
    assert files(out) == ["song/drums.wav", "song/residual.wav"]
    assert remove_leftovers(out) == frozenset()


def test_the_residual_of_other_queries_is_kept(tmp_path: Path) -> None:
    song = sound(tmp_path / "song.wav")
    assert run(song, tmp_path / "out", "drums") == []
    first = contents(tmp_path / "out/song")
    (line,) = run(song, tmp_path / "out", "vocals")
    assert "'song/residual (2).wav'" in line
    now = contents(tmp_path / "out/song")
    assert sorted(now) == ["drums.wav", "residual (2).wav", "residual.wav", "vocals.wav"]
    assert {name: now[name] for name in first} == first
    report = verify(tmp_path / "out")
    assert not report.findings and report.files == 4
    # The same question has the same files again, resumed or not, and in another quality.
    run(song, tmp_path / "out", "vocals", resume=True)
    run(song, tmp_path / "out", "vocals")
    run(song, tmp_path / "out", "vocals", mask_exponent=1.5)
    assert contents(tmp_path / "out/song").keys() == now.keys()
    # A question that replaces all that was taken out before has the residual's own name.
    assert run(song, tmp_path / "out", "drums", "vocals") == []
    assert contents(tmp_path / "out/song").keys() == now.keys()


def test_a_residual_whose_sources_are_gone_is_replaced(tmp_path: Path) -> None:
    song = sound(tmp_path / "song.wav")
    run(song, tmp_path / "out", "drums")
    (tmp_path / "out/song/drums.wav").unlink()
    assert run(song, tmp_path / "out", "vocals") == []
    assert files(tmp_path / "out") == ["song/residual.wav", "song/vocals.wav"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_lyrics_replace_neither_line_times_nor_notes(tmp_path: Path, overwrite: bool) -> None:
    """They are refused before Whisper is loaded; here it is no model at all."""
    song = sound(tmp_path / "song.wav")
    whisper, times, notes = (tmp_path / name for name in ("w.pt", "song.lrc", "song.txt"))
    for path in (whisper, times, notes):
        path.write_text("[00:01.00]la")
    before = contents(tmp_path)
    formats = ("lrc",) if overwrite else ("txt",)
    job = LyricsJob(
        LyricsSettings(whisper=str(whisper), formats=formats), tmp_path, line_times=times
    )
    expected = "song.lrc: is read" if overwrite else "song.txt: is there already"
    with pytest.raises(OutputError, match=expected):
        batch.run_batch([song], job, batch.BatchOptions(overwrite=overwrite))
    assert contents(tmp_path) == before


def test_what_was_written_when_a_batch_was_stopped_is_known(tmp_path: Path) -> None:
    """Ctrl-C comes between moving the files and recording them."""
    song, out = sound(tmp_path / "song.wav"), tmp_path / "out"

    def interrupted(self: RecordFile, record: object) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RecordFile, "append", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(song, out, "drums")
    assert "song/drums.wav" in files(out) and not list(RecordFile(out))
    run(song, out, "drums", resume=True)
    assert files(out) == ["song/drums.wav", "song/residual.wav"]


def test_an_item_that_is_done_when_the_batch_stops_is_recorded(tmp_path: Path) -> None:
    late: list[object] = []
    items = [(index, (index, tmp_path)) for index in range(2)]
    results = run_in_processes(second_waits, items, 2, lambda index, part: None, late.append)
    assert next(results) == (0, 0)
    (tmp_path / "go").touch()
    results.close()
    assert late == [1]


def second_waits(item: tuple[int, Path], on_part: object) -> int:
    """Stands for a worker: the first ends when the second has begun, which waits for the test."""
    index, folder = item
    if index:
        (folder / "begun").touch()
    wait_for((folder / ("go" if index else "begun")).exists)
    return index
