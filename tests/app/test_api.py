"""The HTTP API as a client meets it: errors, sessions, uploads, events, the reference."""

import hashlib
import html
import json
import os
import re
import shutil
import subprocess
import sys
import wave
import zipfile
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import requests
from app_helpers import Running
from test_server import wav

from separate.app.config import CHOICES
from separate.app.http.schema import Asked, Chosen, Failure, Health, JobView, UploadView


def error_of(answer: requests.Response) -> dict[str, str]:
    """The error of an answer, which has the one shape of all errors."""
    content = answer.json()
    assert set(content) == {"error"} and set(content["error"]) == {"code", "message"}, content
    message = content["error"]["message"]
    assert message and "\n" not in message and "--" not in message and "/tmp" not in message
    error: dict[str, str] = content["error"]
    return error


# Errors


@pytest.mark.parametrize(
    ("method", "place", "status", "code"),
    [
        ("get", "nowhere", 404, "not_found"),
        ("get", "separate-static/nothing.js", 404, "not_found"),
        ("get", "jobs/x", 404, "not_found"),
        ("put", "jobs", 405, "method_not_allowed"),
        ("get", "results/x/stem/0", 404, "not_found"),
        ("get", "results/x/remix", 422, "invalid"),  # without gains
        ("get", "results/zip", 422, "invalid"),  # without jobs
        ("post", "jobs", 422, "invalid"),  # without a body
        ("post", "upload", 422, "invalid"),
    ],
)
def test_every_error_has_one_shape(
    server: Running, method: str, place: str, status: int, code: str
) -> None:
    answer = getattr(server.visitor(), method)(server.url + place, timeout=10)
    assert answer.status_code == status and error_of(answer)["code"] == code


@pytest.mark.parametrize(
    "settings",
    [{"overlap": 0.9}, {"strength": 99}, {"format": "exe"}, {"clip_mode": "x"},
     {"mp3_bitrate": 1}, {"subtype": "PCM_24", "format": "mp3"},
     {"subtype": "FLOAT", "format": "flac"}],
)  # fmt: skip
def test_messages_name_fields_and_no_options(server: Running, settings: dict[str, Any]) -> None:
    visitor = server.visitor()
    upload = server.upload(visitor, wav(), "a.wav").json()["upload"]
    asked = {"kind": "separate", "upload": upload, "queries": ["drums"], "settings": settings}
    message = error_of(visitor.post(f"{server.url}jobs", json=asked, timeout=10))["message"]
    assert next(iter(settings)) in message


# Sessions


@pytest.mark.parametrize(
    ("method", "place"),
    [("post", "upload"), ("post", "examples"), ("post", "jobs"), ("get", "jobs"),
     ("get", "results/zip?jobs=x")],
)  # fmt: skip
def test_without_a_session_the_answer_names_the_way_to_one(
    server: Running, method: str, place: str
) -> None:
    large = bytes(5_000_000 if place == "upload" else 0)  # more than fits between two programs
    answer = getattr(requests, method)(server.url + place, data=large, timeout=30)
    assert answer.status_code == 401
    error = error_of(answer)
    assert error["code"] == "no_session" and "POST /session" in error["message"]
    assert "set-cookie" not in answer.headers


# Uploads


def files_of(server: Running) -> set[Path]:
    """All files; folders may go meanwhile, which `os.walk` passes over."""
    return {Path(folder, name) for folder, _, names in os.walk(server.folder) for name in names}


def test_a_form_uploads_the_same_file_as_bare_bytes(server: Running) -> None:
    visitor, data = server.visitor(), wav(2.0)
    form = visitor.post(
        f"{server.url}upload",
        data={"note": "passed over"},
        files={"file": ("a song.wav", data, "audio/wav")},
        timeout=30,
    )
    bare = server.upload(visitor, data, "a song.wav")
    first, second = form.json(), bare.json()
    assert first["name"] == "a song.wav" and first["bytes"] == len(data)
    assert {**first, "upload": ""} == {**second, "upload": ""}
    kept = [
        path for path in files_of(server) if path.suffix == ".wav" and path.read_bytes() == data
    ]
    assert len(kept) >= 2  # byte for byte


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=b", b"nonsense"),
        ("multipart/form-data; boundary=b", b""),
        ("multipart/form-data; boundary=b",
         b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\nx\r\n--b--\r\n'),
        ("multipart/form-data; boundary=b",
         b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\nRIFF'),
        ("multipart/form-data; boundary=b", b"--b\r\nX-Long: " + b"x" * 9000 + b"\r\n\r\nx"),
    ],
)  # fmt: skip
def test_a_form_that_is_none_is_told_how(server: Running, kind: str, body: bytes) -> None:
    before = files_of(server)
    answer = server.visitor().post(
        f"{server.url}upload", data=body, headers={"content-type": kind}, timeout=30
    )
    assert answer.status_code == 422 and "curl -F file=@song.wav" in error_of(answer)["message"]
    assert not files_of(server) - before


def test_an_upload_is_deleted_once_no_job_needs_it(
    server: Running, long_file: Path, short_file: Path
) -> None:
    visitor = server.visitor()
    before = files_of(server)
    busy = server.upload(visitor, long_file.read_bytes(), "long.flac").json()["upload"]
    asked = {"kind": "separate", "upload": busy, "queries": ["drums"]}
    job = visitor.post(f"{server.url}jobs", json=asked, timeout=10).json()["id"]
    place = f"{server.url}upload/{busy}"
    assert server.visitor().delete(place, timeout=10).status_code == 404  # somebody else's
    refused = visitor.delete(place, timeout=10)
    assert refused.status_code == 409 and error_of(refused)["code"] == "conflict"
    visitor.post(f"{server.url}jobs/{job}/cancel", timeout=10)
    server.wait(visitor, job)
    assert visitor.delete(place, timeout=10).status_code == 204
    assert visitor.delete(place, timeout=10).status_code == 404
    assert not files_of(server) - before  # nor a part of the job whose process was killed


# Jobs


def events_of(answer: requests.Response) -> list[dict[str, Any]]:
    """The jobs of a stream of events, until it ends."""
    lines = [line for line in answer.iter_lines() if line]
    assert all(line.startswith((b"event: state", b"data: ", b":")) for line in lines)
    return [json.loads(line[6:]) for line in lines if line.startswith(b"data: ")]


def test_events_tell_how_a_job_goes_until_it_is_over(server: Running, short_file: Path) -> None:
    visitor = server.visitor()
    upload = server.upload(visitor, short_file.read_bytes(), "short.wav").json()["upload"]
    asked = {"kind": "separate", "upload": upload, "queries": ["drums"]}
    job = visitor.post(f"{server.url}jobs", json=asked, timeout=10).json()["id"]
    place = f"{server.url}jobs/{job}/events"
    assert server.visitor().get(place, timeout=10).status_code == 404
    answer = visitor.get(place, stream=True, timeout=120)
    assert answer.headers["content-type"].startswith("text/event-stream")
    states = events_of(answer)
    assert all(first != second for first, second in pairwise(states))
    assert [state["part"] for state in states] == sorted(state["part"] for state in states)
    assert states[-1]["state"] == "done"
    stem = states[-1]["result"]["stems"][0]
    content = visitor.get(server.url + stem["url"], timeout=30).content
    assert hashlib.sha256(content).hexdigest() == stem["sha256"]


def test_a_request_sent_again_starts_nothing_anew(server: Running) -> None:
    visitor = server.visitor()
    upload = server.upload(visitor, wav(), "a.wav").json()["upload"]
    asked = {"kind": "find", "upload": upload}
    once = {"Idempotency-Key": "abc"}

    def ask(who: requests.Session, content: dict[str, Any], **headers: Any) -> requests.Response:
        return who.post(f"{server.url}jobs", json=content, timeout=30, **headers)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: ask(visitor, asked, headers=once), range(8)))
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len(visitor.get(f"{server.url}jobs", timeout=10).json()) == 1
    other = ask(visitor, {**asked, "kind": "lyrics"}, headers=once)
    assert other.status_code == 409 and error_of(other)["code"] == "conflict"
    assert ask(visitor, asked).json()["id"] != answers[0].json()["id"]  # without a key: a new one
    long = ask(visitor, asked, headers={"Idempotency-Key": "x" * 201})
    assert long.status_code == 422 and "200" in error_of(long)["message"]


# The reference


def test_answers_are_what_the_reference_says(server: Running, short_file: Path) -> None:
    visitor = server.visitor()
    upload = server.upload(visitor, short_file.read_bytes(), "short.wav").json()
    UploadView.model_validate(upload)
    asked = {"kind": "separate", "upload": upload["upload"], "queries": ["drums"]}
    Asked.model_validate(asked)
    job = visitor.post(f"{server.url}jobs", json=asked, timeout=10).json()
    JobView.model_validate(job)
    JobView.model_validate(server.wait(visitor, job["id"]))
    for seen in visitor.get(f"{server.url}jobs", timeout=10).json():
        JobView.model_validate(seen)
    Health.model_validate(requests.get(f"{server.url}health", timeout=10).json())
    Failure.model_validate(requests.get(f"{server.url}jobs", timeout=10).json())
    assert set(Chosen.model_fields) == set(CHOICES)


def test_the_reference_holds_every_route(server: Running) -> None:
    described = requests.get(f"{server.url}openapi.json", timeout=10).json()
    validator = pytest.importorskip("openapi_spec_validator")
    validator.validate(described)
    paths = described["paths"]
    assert {"/session", "/upload", "/upload/{upload}", "/jobs", "/jobs/{job}",
            "/jobs/{job}/events", "/jobs/{job}/cancel", "/results/zip",
            "/results/{job}/stem/{number}", "/results/{job}/remix"} <= set(paths)  # fmt: skip
    for path, methods in paths.items():
        for method, route in methods.items():
            assert route["description"], (method, path)
    kinds = paths["/upload"]["post"]["requestBody"]["content"]
    assert set(kinds) == {"application/octet-stream", "multipart/form-data"}
    failure = {"$ref": "#/components/schemas/Failure"}
    for status in ("401", "404", "422", "429"):
        content = paths["/jobs"]["post"]["responses"][status]["content"]
        assert content["application/json"]["schema"] == failure
    page = requests.get(f"{server.url}reference", timeout=10).text
    assert all(html.escape(path) in page for path in paths)
    assert all(name in page for name in described["components"]["schemas"])
    assert not re.search(r'(src|href)="(https?:)?//', page)  # it asks nothing of other hosts


LOGIN = "ann:s\u00e9cret word"


@pytest.fixture(scope="module")
def closed_server(start_server: Any) -> Running:
    """A server with a login, below a path."""
    server: Running = start_server(
        "--auth", "env", "--root-path", "/music", environment={"SEPARATE_AUTH": LOGIN}
    )
    return server


@pytest.mark.parametrize("name", ["example.py", "example.sh"])
@pytest.mark.parametrize("login", [False, True])
def test_the_examples_run_with_and_without_a_login(
    server: Running,
    closed_server: Running,
    short_file: Path,
    tmp_path: Path,
    name: str,
    login: bool,
) -> None:
    place, who = (closed_server, LOGIN) if login else (server, "")
    if name.endswith(".sh") and shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    named = tuple(who.encode().split(b":")) if who else None
    text = requests.get(f"{place.url}reference/{name}", auth=named, timeout=10).text
    assert html.escape(text.splitlines()[1]) in requests.get(
        f"{place.url}reference", auth=named, timeout=10
    ).text.replace("&#34;", "&quot;")
    (tmp_path / name).write_text(text, encoding="utf-8")
    program = [sys.executable] if name.endswith(".py") else ["sh"]
    command = [*program, name, place.url, str(short_file), "drums"]
    environment = {**os.environ, "SEPARATE_LOGIN": who}
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=120, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert "done" in done.stdout
    made = {path.name for path in tmp_path.iterdir()} - {name}
    if name.endswith(".sh"):
        with zipfile.ZipFile(tmp_path / "result.zip") as archive:
            archive.extractall(tmp_path)
        made = {path.name for path in (tmp_path / "short").iterdir()}
        (tmp_path / "short" / "drums.wav").rename(tmp_path / "drums.wav")
    assert made == {"drums.wav", "residual.wav"}
    with wave.open(str(tmp_path / "drums.wav")) as file:
        assert file.getnframes() == 3 * file.getframerate()


def test_clients_of_gradio_still_work(server: Running, short_file: Path) -> None:
    from gradio_client import Client

    visitor = server.visitor()
    upload = server.upload(visitor, short_file.read_bytes(), "short.wav").json()["upload"]
    client = Client(server.url, headers=dict(visitor.headers), verbose=False)
    state = client.predict(upload, ["drums"], api_name="/separate")
    assert state["state"] == "done"
    assert visitor.get(server.url + state["result"]["stems"][0]["url"], timeout=30).ok
    assert '"api"' not in str(client.config.get("footer_links"))  # its snippets know no sessions


def test_there_is_no_mcp(server: Running) -> None:
    for place in ("gradio_api/mcp", "gradio_api/mcp/sse", "gradio_api/mcp/schema"):
        assert requests.get(server.url + place, timeout=10).status_code == 404
