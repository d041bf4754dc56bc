"""A running server over HTTP: sessions, limits, hostile uploads, and the API."""

import io
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import requests
import soundfile
from app_helpers import Running


def wav(seconds: float = 1.0, rate: int = 8000, channels: int = 1) -> bytes:
    stream = io.BytesIO()
    noise = np.random.default_rng(0).normal(0, 0.1, (int(seconds * rate), channels))
    soundfile.write(stream, noise, rate, format="WAV")
    return stream.getvalue()


def flac_of_silence(seconds: int) -> bytes:
    """A small file that becomes a large one."""
    stream = io.BytesIO()
    with soundfile.SoundFile(stream, "w", 8000, 1, format="FLAC") as file:
        for _ in range(seconds // 60):
            file.write(np.zeros(60 * 8000, np.int16))
    return stream.getvalue()


def zip_bomb() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("song.wav", bytes(20_000_000))
    return stream.getvalue()


def wav_that_lies() -> bytes:
    """A header that promises 10 hours; a second follows."""
    data = bytearray(wav())
    data[40:44] = struct.pack("<I", 8000 * 2 * 36_000)
    return bytes(data)


HLS = b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n"
CONCAT = b"ffconcat version 1.0\nfile /etc/passwd\nfile 'http://127.0.0.1:9/x.wav'\n"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
HOSTILE = {
    "text.wav": b"this is no sound\n" * 20,
    "empty.wav": b"",
    "bomb.zip": zip_bomb(),
    "bomb.wav": zip_bomb(),
    "playlist.mp4": HLS,
    "concat.mp4": CONCAT,
    "picture.svg": SVG,
    "picture.wav": SVG,
    "ten hours.flac": flac_of_silence(36_000),
    "liar.wav": wav_that_lies(),
    "channels.wav": wav(12, 48_000, 32),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_upload_gets_one_line_and_leaves_nothing(server: Running, name: str) -> None:
    visitor = server.visitor()
    before = {path for path in server.folder.rglob("*") if path.is_file()}
    answer = server.upload(visitor, HOSTILE[name], name)
    assert answer.status_code == 422
    message = answer.json()["error"]["message"]
    assert message.startswith(name) and "\n" not in message and str(server.folder) not in message
    assert "passwd" not in message
    assert {path for path in server.folder.rglob("*") if path.is_file()} == before
    assert requests.get(f"{server.url}health", timeout=5).json()["status"] == "ok"


def test_names_stay_inside_of_the_session(server: Running) -> None:
    visitor = server.visitor()
    for name in (
        "../../../outside.wav",
        "..\\..\\outside.wav",
        "/etc/outside.wav",
        "..",
        "a\0b.wav",
    ):
        answer = server.upload(visitor, wav(), name)
        assert answer.ok and "/" not in answer.json()["name"] and "\0" not in answer.json()["name"]
    (root,) = server.folder.iterdir()
    assert not list(server.folder.parent.glob("outside*"))
    assert all(path.is_relative_to(root) for path in server.folder.rglob("*") if path.is_file())


def test_a_query_with_dots_names_a_file_inside(server: Running) -> None:
    visitor = server.visitor()
    upload = server.upload(visitor, wav(), "a.wav").json()["upload"]
    asked = {"kind": "separate", "upload": upload, "queries": ["../../drums"]}
    job = visitor.post(f"{server.url}jobs", json=asked, timeout=10).json()["id"]
    state = server.wait(visitor, job)
    assert state["state"] == "done"
    names = [stem["file"] for stem in state["result"]["stems"]]
    assert all(".." not in name.split("/") for name in names)
    files = [path for path in server.folder.rglob("_.._drums*") if path.is_file()]
    assert files and all(path.parent.name == "a" for path in files)


def test_too_many_bytes_are_refused_before_and_while_they_come(server: Running) -> None:
    visitor = server.visitor()
    declared = server.upload(visitor, bytes(41_000_000), "large.wav")
    assert declared.status_code == 413 and "40 MB" in declared.text

    def chunks():
        for _ in range(45):
            yield bytes(1_000_000)

    undeclared = visitor.post(
        f"{server.url}upload", params={"name": "large.wav"}, data=chunks(), timeout=60
    )
    assert undeclared.status_code == 413 and "40 MB" in undeclared.json()["error"]["message"]


@pytest.mark.parametrize(
    "upload",
    ["/etc/passwd", "file:///etc/passwd", "http://127.0.0.1/a.wav", "", None, 3, {"path": "/etc"}],
)
def test_only_uploads_are_taken(server: Running, upload: object) -> None:
    asked = {"kind": "separate", "upload": upload, "queries": ["drums"]}
    answer = server.visitor().post(f"{server.url}jobs", json=asked, timeout=10)
    assert answer.status_code == 404 and "upload it again" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"queries": []}, "say what to separate"),
        ({"queries": "drums"}, "list"),
        ({"queries": ["x"] * 1 + [str(i) for i in range(20)]}, "16"),
        ({"queries": ["a" * 1001]}, "shorten"),
        ({"settings": {"model": "/etc/passwd"}}, "can't be set"),
        ({"settings": {"filename": "../{stem}"}}, "can't be set"),
        ({"settings": {"strength": 99}}, "0.25 to 4"),
        ({"settings": {"strength": "1"}}, "no float"),
        ({"settings": {"shifts": 10}}, "0 to 2"),
        ({"settings": [1]}, "object"),
        ({"like": ["nothing"]}, "upload it again"),
        ({"kind": "delete"}, "take one of"),
    ],
)
def test_what_is_asked_wrongly_is_told(server: Running, change: dict, word: str) -> None:
    visitor = server.visitor()
    upload = server.upload(visitor, wav(), "a.wav").json()["upload"]
    asked = {"kind": "separate", "upload": upload, "queries": ["drums"], **change}
    answer = visitor.post(f"{server.url}jobs", json=asked, timeout=10)
    assert answer.status_code in (404, 422) and word in answer.json()["error"]["message"]


def test_results_are_their_sessions_own(server: Running) -> None:
    mine, theirs = server.visitor(), server.visitor()
    upload = server.upload(mine, wav(), "a.wav").json()["upload"]
    asked = {
        "kind": "separate",
        "upload": upload,
        "queries": ["drums"],
        "settings": {"share": True},
    }
    assert theirs.post(f"{server.url}jobs", json=asked, timeout=10).status_code == 404
    job = mine.post(f"{server.url}jobs", json=asked, timeout=10).json()["id"]
    assert server.wait(mine, job)["state"] == "done"
    places = [
        f"jobs/{job}", f"results/{job}/stem/0", f"results/{job}/play/mixture",
        f"results/{job}/picture/0", f"results/{job}/remix?gains=1,1", f"results/zip?jobs={job}",
    ]  # fmt: skip
    for place in places:
        assert mine.get(server.url + place, timeout=30).status_code == 200, place
        assert theirs.get(server.url + place, timeout=30).status_code == 404, place
        assert requests.get(server.url + place, timeout=30).status_code == 401, place
    assert theirs.get(f"{server.url}jobs", timeout=10).json() == []
    assert theirs.post(f"{server.url}jobs/{job}/cancel", timeout=10).status_code == 404
    for wrong in ("2", "-1", "x", "..%2f..%2fetc%2fpasswd"):
        assert mine.get(f"{server.url}results/{job}/stem/{wrong}", timeout=10).status_code >= 400
    for gains in ("1", "1,1,1", "9,1", "nan,1", "0,0", "a,b"):
        place = f"{server.url}results/{job}/remix?gains={gains}"
        assert mine.get(place, timeout=10).status_code == 422, gains


@pytest.mark.parametrize(
    "place",
    ["gradio_api/file=/etc/passwd", "gradio_api/upload", "gradio_api/proxy=http://127.0.0.1/",
     "gradio_api/stream/x", "monitoring", "gradio_api/deep_link", "gradio_api/runs", "docs",
     "file=/etc/passwd", "gradio_api/component_server",
     "separate-static/..%2fauth.py", "separate-static/%2e%2e/auth.py", "custom_component/x"],
)  # fmt: skip
def test_gradios_other_doors_are_shut(server: Running, place: str) -> None:
    for method in ("get", "post"):
        answer = getattr(requests, method)(server.url + place, timeout=10)
        assert answer.status_code in (404, 405) and "root:" not in answer.text


def test_headers_keep_the_page_to_itself(server: Running) -> None:
    answer = requests.get(server.url, timeout=20)
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=Lax" in cookie
    forged = {"x-separate-session": "me.0123456789abcdef0123456789abcdef"}
    key = requests.post(f"{server.url}session", headers=forged, timeout=5).json()["session"]
    assert not key.startswith("me.")


def test_a_login_is_asked_for_everywhere_but_at_health(start_server, tmp_path: Path) -> None:
    accounts = {"SEPARATE_AUTH": "ann:secret word"}
    server = start_server("--auth", "env", "--root-path", "/music", environment=accounts)
    bare = server.url.removesuffix("music/")
    assert requests.get(f"{bare}health", timeout=10).ok
    for place in ("", "jobs", "session", "upload", "gradio_api/info", "separate-static/page.css"):
        answer = requests.get(server.url + place, timeout=10)
        assert answer.status_code == 401 and "Basic" in answer.headers["www-authenticate"], place
    assert requests.get(server.url, auth=("ann", "wrong"), timeout=10).status_code == 401
    page = requests.get(server.url, auth=("ann", "secret word"), timeout=20)
    assert page.ok and "/music/separate-static/page.css" in page.text
    assert "Path=/music;" in page.headers["set-cookie"]
    assert requests.get(
        f"{bare}separate-static/page.css", auth=("ann", "secret word"), timeout=10
    ).ok
