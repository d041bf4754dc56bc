"""What one visitor, one address and all together may have, and how the server closes."""

import io
import signal
import zipfile
from pathlib import Path
from typing import Any

import pytest
import requests
from app_helpers import Running
from test_api import error_of, files_of
from test_parts import Clock, make_job
from test_server import wav
from waiting import wait_for

from separate.app.config import ServeConfig
from separate.app.http.downloads import MADE_A_MINUTE
from separate.app.http.limits import Rate, Slots, address_of
from separate.app.http.server import _address_in_network, _say_where
from separate.app.jobs.refusals import TooMany
from separate.app.jobs.store import Limits, Store

# By themselves


def test_a_rate_counts_by_address_and_forgets() -> None:
    clock = Clock()
    rate = Rate(2, 60, "zips", clock)
    rate.take("a")
    clock.now += 10
    rate.take("a")
    rate.take("b")
    with pytest.raises(TooMany, match="2 zips within 60 seconds") as refused:
        rate.take("a")
    assert refused.value.retry_seconds == 51
    clock.now += 50
    rate.take("a")


def test_slots_count_by_address_and_in_total() -> None:
    slots = Slots(2, 3, "zips")
    first = slots.take("a")
    slots.take("a")
    with pytest.raises(TooMany, match="2 zips at once"):
        slots.take("a")
    slots.take("b")
    with pytest.raises(TooMany, match="the server is making 3"):
        slots.take("c")
    first()
    first()  # once is enough
    slots.take("c")
    with pytest.raises(TooMany):
        slots.take("d")


def test_a_slot_comes_back_where_the_work_fails() -> None:
    slots = Slots(1, 1, "zips")
    with pytest.raises(ZeroDivisionError), slots.kept_on_success("a"):
        raise ZeroDivisionError
    slots.take("a")


def test_addresses_of_one_household_are_one() -> None:
    assert address_of({"client": ("192.0.2.7", 1)}) == "192.0.2.7"
    near = [address_of({"client": (f"2001:db8:1:2::{end}", 1)}) for end in ("1", "ffff")]
    assert near[0] == near[1] != address_of({"client": ("2001:db8:1:3::1", 1)})
    assert address_of({}) == "unknown"


def test_jobs_are_limited_by_session_address_and_in_total(tmp_path: Path) -> None:
    store = Store(60, tmp_path, limits=Limits(2, 3, 4))
    keys = [store.new_key() for _ in range(4)]
    for key, address in zip(keys, "aabc", strict=True):
        store.visit(key, address)
    jobs = [make_job(str(number), keys[0]) for number in range(8)]
    store.add_job(keys[0], jobs[0])
    store.add_job(keys[0], jobs[1])
    with pytest.raises(TooMany, match="2 of your jobs"):
        store.add_job(keys[0], jobs[2])
    store.add_job(keys[1], jobs[3])
    with pytest.raises(TooMany, match="3 jobs of your network address"):
        store.add_job(keys[1], jobs[4])
    store.add_job(keys[2], jobs[5])
    with pytest.raises(TooMany, match="4 jobs wait here"):
        store.add_job(keys[3], jobs[6])
    jobs[0].finish("cancelled")
    store.add_job(keys[3], jobs[6])


def test_space_is_limited_by_address_and_in_total(tmp_path: Path) -> None:
    store = Store(60, tmp_path, limits=Limits(bytes_near=100, bytes_all=150))
    keys = [store.new_key() for _ in range(3)]
    for key, address in zip(keys, "aab", strict=True):
        store.visit(key, address)

    def keep(key: str, size: int) -> None:
        upload = store.new_upload(key, "a.wav", "a.wav")
        upload.bytes = size
        store.keep_upload(key, upload)

    keep(keys[0], 60)
    keep(keys[1], 60)
    with pytest.raises(TooMany, match="your files take up"):
        keep(keys[1], 1)
    keep(keys[2], 60)
    with pytest.raises(TooMany, match="no room left"):
        keep(keys[2], 1)
    assert store.totals() == (3, 180)


# By a client


def done_job(server: Running, visitor: requests.Session) -> str:
    upload = server.upload(visitor, wav(), "a.wav").json()["upload"]
    asked = {"kind": "separate", "upload": upload, "queries": ["drums"]}
    job: str = visitor.post(f"{server.url}jobs", json=asked, timeout=10).json()["id"]
    assert server.wait(visitor, job)["state"] == "done"
    return job


def test_a_zip_takes_no_room_and_holds_each_job_once(server: Running) -> None:
    visitor = server.visitor()
    first, second = done_job(server, visitor), done_job(server, visitor)
    before = files_of(server)
    doubled = visitor.get(f"{server.url}results/zip?jobs={first},{second},{first}", timeout=30)
    assert doubled.status_code == 422 and "each job once" in error_of(doubled)["message"]
    answer = visitor.get(f"{server.url}results/zip?jobs={first},{second}", stream=True, timeout=30)
    assert not files_of(server) - before
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
    assert names == ["a/drums.wav", "a/residual.wav", "a (2)/drums.wav", "a (2)/residual.wav"]


def test_a_remix_that_fails_names_no_place_and_leaves_no_file(server: Running) -> None:
    visitor = server.visitor()
    others = files_of(server)
    job = done_job(server, visitor)
    (stem,) = (path for path in files_of(server) - others if path.name == "drums.wav")
    assert visitor.get(f"{server.url}results/{job}/remix?gains=1,1", timeout=30).ok
    stem.write_bytes(b"damaged")
    before = files_of(server)
    answer = visitor.get(f"{server.url}results/{job}/remix?gains=1,1&format=mp3", timeout=30)
    assert answer.status_code == 422
    message = error_of(answer)["message"]
    assert "drums.wav" in message and "/" not in message.replace("1/", "")
    assert not files_of(server) - before


def test_remixes_and_zips_are_limited_by_address(server: Running) -> None:
    visitor = server.visitor()
    job = done_job(server, visitor)
    here, elsewhere = ({"X-Forwarded-For": address} for address in ("192.0.2.1", "192.0.2.2"))
    place = f"{server.url}results/zip?jobs={job}"
    for _ in range(MADE_A_MINUTE):
        assert visitor.get(place, headers=here, timeout=30).status_code == 200
    refused = visitor.get(place, headers=here, timeout=30)
    assert refused.status_code == 429 and error_of(refused)["code"] == "too_many"
    assert 0 < int(refused.headers["retry-after"]) <= 60
    assert visitor.get(place, headers=elsewhere, timeout=30).status_code == 200


def stream(visitor: requests.Session, place: str) -> Any:
    return visitor.get(place, stream=True, timeout=60)


def test_a_session_has_a_limit_of_jobs_and_closing_logs_nothing(
    start_server: Any, long_file: Path, tmp_path: Path
) -> None:
    with (tmp_path / "log").open("wb") as log:
        server = start_server("--max-jobs", "2", stderr=log)
    visitor = server.visitor()
    upload = server.upload(visitor, long_file.read_bytes(), "long.flac").json()["upload"]
    asked = {"kind": "separate", "upload": upload, "queries": ["drums", "vocals", "bass"]}

    def ask() -> requests.Response:
        return visitor.post(f"{server.url}jobs", json=asked, timeout=10)

    first = ask().json()["id"]
    assert ask().ok
    (session,) = next(server.folder.iterdir()).iterdir()
    folders = set(session.iterdir())
    refused = ask()
    assert refused.status_code == 429
    assert "2 of your jobs wait or run already" in error_of(refused)["message"]
    assert set(session.iterdir()) == folders  # it left nothing

    events = stream(visitor, f"{server.url}jobs/{first}/events")
    heartbeat = stream(visitor, f"{server.url}gradio_api/heartbeat/abc")
    assert heartbeat.status_code == 200
    lines = events.iter_lines()
    wait_for(lambda: b'"state": "running"' in next(lines))
    server.process.send_signal(signal.SIGTERM)
    server.process.wait(timeout=60)
    assert (tmp_path / "log").read_text() == ""
    assert not list(server.folder.iterdir())


# Open to a network


def test_a_server_open_to_a_network_warns_and_names_the_address_of_others(
    start_server: Any, tmp_path: Path
) -> None:
    with (tmp_path / "log").open("wb") as log:
        server = start_server("--host", "0.0.0.0", stderr=log)
    near = _address_in_network("0.0.0.0")
    if near not in (None, "127.0.0.1"):
        url = server.process.stdout.readline().strip()
        assert near in url and url.endswith(server.url.rpartition(":")[2])
        assert requests.get(f"{url}health", timeout=10).ok
    assert (tmp_path / "log").read_text().startswith("warning: whoever reaches this address")


@pytest.mark.parametrize(
    ("host", "accounts", "warns"),
    [("0.0.0.0", {}, True), ("0.0.0.0", {"ann": "x"}, False), ("127.0.0.1", {}, False),
     ("localhost", {}, False), ("192.0.2.1", {}, True), ("::", {}, True), ("::1", {}, False)],
)  # fmt: skip
def test_only_a_network_without_a_login_is_warned_of(
    capsys: pytest.CaptureFixture[str], host: str, accounts: dict[str, str], warns: bool
) -> None:
    _say_where(ServeConfig(host=host, accounts=accounts), 7860)
    said = capsys.readouterr()
    assert ("--auth" in said.err) == warns
    assert all(line.startswith("http://") for line in said.out.splitlines())
