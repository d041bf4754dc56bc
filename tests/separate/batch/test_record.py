import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from separate.batch.record import Output, Record, RecordFile, parse_record
from separate.errors import OutputError
from separate.files import sha256_of


def record(folder: Path, **changes: object) -> Record:
    path = folder / "a" / "drums.wav"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"sound")
    output = Output("drums", "a/drums.wav", sha256_of(path), 5)
    whole = Record("/in/a\udcff\n.wav", 10, 1.25, "abc", {"start": 0.1}, [{"name": "drums"}])
    return replace(whole, **{"outputs": [output], **changes})  # type: ignore[arg-type]


def test_a_record_survives_the_file(tmp_path: Path) -> None:
    file = RecordFile(tmp_path)
    first, second = record(tmp_path), record(tmp_path, error="no", outputs=[])
    file.append(first)
    file.append(second)
    assert list(file) == [first, second]
    lines = file.path.read_text().splitlines()
    assert len(lines) == 2
    assert set(json.loads(lines[0])) >= {
        "input", "size", "mtime", "model_sha256", "settings", "queries", "outputs", "presence",
        "duration", "seconds", "error",
    }  # fmt: skip


def test_lines_cut_short_are_passed_over_and_closed(tmp_path: Path) -> None:
    file = RecordFile(tmp_path)
    whole = record(tmp_path)
    file.append(whole)
    with file.path.open("a") as handle:
        handle.write(whole.as_json()[:40])
    file.append(whole)
    assert list(file) == [whole, whole]
    for junk in ("", "[]", "null", "{}", '{"outputs": 3}', "\0"):
        assert parse_record(junk) is None


def test_what_is_complete(tmp_path: Path) -> None:
    file, whole = RecordFile(tmp_path), record(tmp_path)
    assert file.complete(whole) is None
    file.append(whole)
    assert file.complete(replace(whole, seconds=3.0, outputs=[])) == whole
    for change in (
        {"size": 11}, {"mtime": 1.5}, {"etag": "x"}, {"model_sha256": "d"}, {"queries": []},
        {"settings": {"start": 0.2}}, {"input": "/in/b.wav"}, {"command": "lyrics"},
    ):  # fmt: skip
        assert file.complete(replace(whole, **change)) is None
    moved = [replace(whole.outputs[0], path="b/drums.wav")]
    assert file.complete(replace(whole, outputs=moved)) is None


@pytest.mark.parametrize("damage", ["gone", "changed", "longer"])
def test_damaged_outputs_are_not_complete(tmp_path: Path, damage: str) -> None:
    file, whole = RecordFile(tmp_path), record(tmp_path)
    file.append(whole)
    path = tmp_path / whole.outputs[0].path
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(b"SOUND" if damage == "changed" else b"sound2")
    assert file.complete(whole) is None


def test_a_later_failure_does_not_undo_a_success(tmp_path: Path) -> None:
    file, whole = RecordFile(tmp_path), record(tmp_path)
    file.append(whole)
    file.append(replace(whole, outputs=[], error="disk full"))
    assert file.complete(whole) == whole


def test_many_writers_leave_whole_lines(tmp_path: Path) -> None:
    file, whole = RecordFile(tmp_path), record(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: RecordFile(tmp_path).append(whole), range(100)))
    assert list(file) == [whole] * 100


def test_an_unwritable_record_is_one_line(tmp_path: Path) -> None:
    file = RecordFile(tmp_path)
    file.path.mkdir()
    with pytest.raises(OutputError, match=r"separate\.jsonl"):
        file.append(record(tmp_path))


def test_a_full_disk_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    file, whole = RecordFile(tmp_path), record(tmp_path)
    file.append(whole)
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:20]))
    with pytest.raises(OutputError, match="full"):
        file.append(whole)
    monkeypatch.undo()
    assert file.path.read_text() == whole.as_json() + "\n"


def test_routes_keep_their_key_in_the_file() -> None:
    record = Record("/in/a.wav", 10, 1.25, "abc", {}, [], routes={"snare": "a part of drums"})
    line = record.as_json()
    assert json.loads(line)["ways"] == {"snare": "a part of drums"} and "routes" not in line
    assert parse_record(line) == record
