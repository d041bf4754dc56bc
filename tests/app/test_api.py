"""The HTTP API as a client meets it: errors, sessions, uploads, events, the reference."""

from typing import Any

import pytest
import requests
from app_helpers import Running
from test_server import wav


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
