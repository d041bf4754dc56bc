"""Inputs and outputs on real servers: S3 (moto), SFTP (OpenSSH) and HTTP, and what is refused."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import gettempdir

import pytest
from batch_helpers import files, make_fake, run_batch, sound, task
from lyrics_helpers import clip_of, tiny_en
from remote_helpers import Server, start_s3, start_sftp, use_s3
from typer.testing import CliRunner

from separate import example_path
from separate.batch.record import RecordFile
from separate.batch.remote import address as remote
from separate.batch.remote.address import Address, is_url, parse_address
from separate.batch.remote.files import RemoteOptions, look_up, place_of
from separate.batch.remote.record import RemoteRecords
from separate.batch.run import BatchResult
from separate.batch.verify import verify
from separate.cli.main import app
from separate.errors import InputError, OutputError, SettingsError

pytest.importorskip("s3fs", reason="the extra remote is not installed")


@pytest.fixture(scope="module")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    pytest.importorskip("moto", reason="moto[server] is not installed")
    server = start_s3(tmp_path_factory.mktemp("s3"))
    yield server
    server.stop()


@pytest.fixture
def s3(s3_server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    use_s3(s3_server, monkeypatch)
    remote._open_store.cache_clear()
    yield s3_server
    for bucket in ("music", "results"):
        remote.call(Address(f"s3://{bucket}"), lambda store, b=bucket: clear(store, b))


def clear(store, bucket: str) -> None:
    for path in store.find(bucket):
        store.rm_file(path)


@pytest.fixture
def sftp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    (tmp_path / "sshd").mkdir()
    server, url = start_sftp(tmp_path / "sshd", home)
    remote._open_store.cache_clear()
    yield url
    server.stop()


def put(local: Path, url: str) -> None:
    address = Address(url)
    remote.call(address, lambda store: store.put_file(str(local), address.path))


def names(url: str) -> list[str]:
    return sorted(RemoteRecords(Address(url)).files())


def run(inputs: list[str | Path], out: str | Path, *texts: str, **options) -> BatchResult:
    """Run a batch with the fake separator; `out` may be a URL."""
    place = place_of(out, writing=True)
    local = place if isinstance(place, Path) else Path("unused")
    target = None if isinstance(place, Path) else place
    most = options.pop("max_fetch_bytes", 1 << 30)
    return run_batch(
        [place_of(text) for text in inputs],
        task(local, *(texts or ("drums",))),
        remote=RemoteOptions(target, most),
        separator_factory=make_fake,
        **options,
    )


@pytest.mark.parametrize(
    "url",
    [
        "zip://a.wav::s3://music/a.zip", "simplecache::s3://music/a.wav", "s3://music/a::b",
        "file:///etc/passwd", "ftp://host/a.wav", "local://a", "gopher://x/y", "data://x",
        "sftp://user:secret@host/a.wav", "s3:///a.wav", "sftp://host:port/a.wav",
    ],
)  # fmt: skip
def test_refused_urls(url: str) -> None:
    done = CliRunner().invoke(app, ["run", url, "-q", "drums"])
    assert done.exit_code == 1
    assert done.stderr.startswith("error: ") and len(done.stderr.splitlines()) == 1
    assert "secret" not in done.output


def test_what_is_a_url() -> None:
    assert is_url("S3://b/k") and not is_url("song::mix.wav") and not is_url("a/b://c")
    assert isinstance(place_of("dir/x.wav"), Path)
    with pytest.raises(SettingsError, match="written to"):
        parse_address("https://host/dir", writing=True)
    assert Address("s3://b/a/k ?#.wav").path == "b/a/k ?#.wav"
    assert Address("sftp://me@host:22/a/b").path == "/a/b"
    assert Address("sftp://me@host:22/a").at("/c/d").url == "sftp://me@host:22/c/d"


def test_the_page_takes_no_urls() -> None:
    """Nothing of the web page reaches the code that opens URLs."""
    for path in (Path(__file__).parents[3] / "app").rglob("*.py"):
        assert "remote" not in path.read_text().replace("remote_addr", ""), path


def test_s3_both_ways(s3: Server, tmp_path: Path) -> None:
    song = sound(tmp_path / "a.wav")
    for key in ("in/a.wav", "in/deep/b [live].wav", "in/.hidden.wav", "in/notes.txt"):
        put(song, f"s3://music/{key}")
    result = run(["s3://music/in", "s3://music/none.wav"], "s3://results/x")
    assert [r.input for r in result.records] == [
        "s3://music/in/a.wav", "s3://music/in/deep/b [live].wav", "s3://music/none.wav",
    ]  # fmt: skip
    assert [r.error for r in result.failed] == [
        "s3://music/none.wav: no such file or folder; check the spelling"
    ]
    whole = ["a/drums.wav", "a/residual.wav", "deep/b [live]/drums.wav",
             "deep/b [live]/residual.wav"]  # fmt: skip
    assert names("s3://results/x") == whole
    assert all(record.etag for record in result.records[:2])
    assert verify(Address("s3://results/x")).findings == ()
    plain = run([song], tmp_path / "plain")
    sums = {output.sha256 for output in plain.records[0].outputs}
    assert {output.sha256 for output in result.records[1].outputs} == sums
    lines = remote.call(Address("s3://results"), lambda s: s.cat_file("results/x/separate.jsonl"))
    assert len(lines.splitlines()) == 3
    assert not list(Path(gettempdir()).glob(f".separate-*-{os.getpid()}-*"))


def test_s3_resume_redoes_what_changed(s3: Server, tmp_path: Path) -> None:
    for name in "ab":
        put(sound(tmp_path / f"{name}.wav"), f"s3://music/{name}.wav")
    everything = ["s3://music/*.wav"]

    def again(*texts: str) -> list[str]:
        done: list[str] = []
        result = run(
            everything,
            "s3://results/y",
            *texts,
            resume=True,
            on_record=lambda record, old: None if old else done.append(record.input[-5:]),
        )
        assert not result.failed
        return done

    assert again() == ["a.wav", "b.wav"]
    assert again() == []
    put(sound(tmp_path / "a.wav", peak=0.3), "s3://music/a.wav")  # of the same size
    assert again() == ["a.wav"]
    assert again("bass") == ["a.wav", "b.wav"]
    remote.call(Address("s3://results"), lambda s: s.pipe_file("results/y/b/drums.wav", b"short"))
    found = verify(Address("s3://results/y")).findings
    assert [(f.path, f.problem) for f in found] == [("b/drums.wav", "partial")]
    assert again() == ["b.wav"]


def test_the_record_of_a_store_survives_a_crash(s3: Server, tmp_path: Path) -> None:
    put(sound(tmp_path / "a.wav"), "s3://music/a.wav")
    (record,) = run(["s3://music/a.wav"], "s3://results/z").records
    records = RemoteRecords(Address("s3://results/z"))
    records.append(record)  # and the process is killed before it merges
    records.append(record.__class__(**{**vars(record), "input": "s3://music/b.wav"}))
    fresh = RemoteRecords(Address("s3://results/z"))
    assert [r.input for r in fresh] == ["s3://music/a.wav", "s3://music/b.wav"]  # none twice
    fresh._written = 1
    fresh.close()
    assert len(list(RemoteRecords(Address("s3://results/z")))) == 2
    left = remote.call(Address("s3://results"), lambda store: store.find("results/z"))
    assert [path for path in left if "jsonl" in path] == ["results/z/separate.jsonl"]


def test_bounds(s3: Server, tmp_path: Path) -> None:
    put(sound(tmp_path / "a.wav", seconds=2), "s3://music/a.wav")
    result = run(["s3://music/a.wav"], tmp_path / "out", max_fetch_bytes=1000)
    assert "--max-fetch-gb" in str(result.failed[0].error)
    assert files(tmp_path / "out") == []
    with pytest.raises(OutputError, match="no such bucket"):
        run(["s3://music/a.wav"], "s3://nowhere/out")


def test_an_upload_in_parts(s3: Server, tmp_path: Path) -> None:
    song = sound(tmp_path / "a.wav", seconds=1500)  # 48 MB: more than two parts
    (record,) = run([song], "s3://results/big").records
    assert record.error is None and record.outputs[0].bytes > 40e6
    assert look_up(Address("s3://results/big/a/drums.wav")).size == record.outputs[0].bytes
    assert verify(Address("s3://results/big")).findings == ()


def test_sftp_both_ways(sftp: str, tmp_path: Path) -> None:
    sound(tmp_path / "in/a.wav")
    sound(tmp_path / "in/deep/ü b.wav")
    out = tmp_path / "remote out"
    result = run([f"{sftp}{tmp_path}/in"], f"{sftp}{out}")
    assert not result.failed
    assert files(out) == ["a/drums.wav", "a/residual.wav", "deep/ü b/drums.wav",
                          "deep/ü b/residual.wav"]  # fmt: skip
    assert len(list(RecordFile(out))) == 2
    assert verify(Address(f"{sftp}{out}")).findings == () == verify(out).findings
    assert run([f"{sftp}{tmp_path}/in"], f"{sftp}{out}", resume=True).skipped == 2
    os.utime(tmp_path / "in/a.wav", (1, 1))
    assert run([f"{sftp}{tmp_path}/in/*.wav"], f"{sftp}{out}", resume=True).skipped == 0
    readonly = tmp_path / "file"
    readonly.write_text("x")
    with pytest.raises(OutputError):
        run([f"{sftp}{tmp_path}/in"], f"{sftp}{readonly}/out")


def test_sftp_to_an_unknown_host(sftp: str, tmp_path: Path) -> None:
    sound(tmp_path / "a.wav")
    (tmp_path / "home/.ssh/known_hosts").write_text("")
    started = time.monotonic()
    with pytest.raises(InputError, match="not in known_hosts"):
        run([f"{sftp}{tmp_path}/a.wav"], tmp_path / "out")
    assert time.monotonic() - started < 10


def test_http_inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sound(tmp_path / "web/a.wav")
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "web"))
    monkeypatch.setattr(SimpleHTTPRequestHandler, "log_message", lambda *args: None)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        base = f"http://127.0.0.1:{server.server_port}"
        result = run([f"{base}/a.wav?x=1", f"{base}/b.wav"], tmp_path / "out")
        assert files(tmp_path / "out") == ["a/drums.wav", "a/residual.wav"]
        assert "no such file" in str(result.failed[0].error)
        assert run([f"{base}/a.wav?x=1"], tmp_path / "out", resume=True).skipped == 1
        server.shutdown()


def test_memory(tmp_path: Path) -> None:
    import fsspec

    store = fsspec.filesystem("memory")
    store.pipe_file("/in/a.wav", sound(tmp_path / "a.wav").read_bytes())
    store.pipe_file("/in/b.wav", sound(tmp_path / "b.wav").read_bytes())
    assert not run(["memory://in"], "memory://out").failed
    assert names("memory://out") == ["a/drums.wav", "a/residual.wav", "b/drums.wav",
                                     "b/residual.wav"]  # fmt: skip
    with pytest.raises(SettingsError, match="one process"):
        run(["memory://in"], "memory://out", jobs=2)


def test_lyrics_and_automatic_separation(shared_data: Path, tmp_path: Path) -> None:
    import fsspec

    source = shared_data / "lyrics/Jonathan Coulton - Better.ogg"
    verse = clip_of(source, tmp_path / "verse.wav", 7, 15)
    store = fsspec.filesystem("memory")
    store.pipe_file("/songs/verse.wav", verse.read_bytes())
    whole = ("--threads", "1", "-o")
    words = ("lyrics", "--whisper", str(tiny_en()), "-f", "txt", *whole)
    for command, made in ((words, ["verse.txt"]), (("run", "--auto", *whole), ["residual.wav"])):
        for given, out in ((str(verse), tmp_path / "out"), ("memory://songs", "memory://made")):
            done = CliRunner().invoke(app, [command[0], given, *command[1:], str(out)])
            assert done.exit_code == 0, done.output
        places = {line.removeprefix("memory://made/") for line in done.stdout.splitlines()}
        assert any(place.endswith(made[0]) for place in places)
        for place in places:
            local, put = (tmp_path / "out" / place).read_bytes(), store.cat_file(f"/made/{place}")
            assert local == put or place.endswith(".json")  # that one tells the path
    assert verify(Address("memory://made")).findings == ()


def test_a_server_that_is_never_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr("separate.batch.remote.files.START_PATIENCE_SECONDS", 1.0)
    remote._open_store.cache_clear()
    with pytest.raises(InputError, match="cannot be read") as error:
        run(["s3://music/a.wav"], tmp_path / "out")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("how", [[], ["--ray", "--jobs", "1"]], ids=["here", "ray"])
def test_the_command_with_the_real_model(s3: Server, tmp_path: Path, how: list[str]) -> None:
    if how:
        pytest.importorskip("ray", reason="the extra ray is not installed")
    put(example_path(), "s3://music/example.flac")
    command = [sys.executable, "-c", "from separate.cli.main import main; main()", "run",
               "s3://music/example.flac", "-q", "drums", "--end", "2", "--json", *how,
               "-o", "s3://results/real"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    assert json.loads(done.stdout)["input"] == "s3://music/example.flac"
    assert names("s3://results/real") == ["example/drums.wav", "example/residual.wav"]
    checked = CliRunner().invoke(app, ["verify", "s3://results/real", "--json"])
    assert checked.exit_code == 0 and json.loads(checked.stdout)["whole"] == 2
