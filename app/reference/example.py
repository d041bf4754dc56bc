"""Separate a file on a server: python example.py URL FILE QUERY ...

Needs requests. With a login: set SEPARATE_LOGIN to name:password.
"""

import json
import os
import sys
from base64 import b64encode
from pathlib import Path

import requests

url, song, *queries = sys.argv[1:]
url = url.rstrip("/") + "/"
server = requests.Session()
if login := os.environ.get("SEPARATE_LOGIN"):
    server.headers["Authorization"] = f"Basic {b64encode(login.encode()).decode()}"


def checked(answer: requests.Response) -> requests.Response:
    """Return an answer, or end with the server's message."""
    if not answer.ok:
        sys.exit(answer.json()["error"]["message"])
    return answer


server.headers["X-Separate-Session"] = checked(server.post(f"{url}session")).json()["session"]
with Path(song).open("rb") as file:
    upload = checked(server.post(f"{url}upload", files={"file": file})).json()["upload"]

asked = {"kind": "separate", "upload": upload, "queries": queries}
once = {"Idempotency-Key": f"{upload} {queries}"}  # sent again, it starts nothing anew
job = checked(server.post(f"{url}jobs", json=asked, headers=once)).json()

# Server-sent events: a line for each change; the stream ends when the job is over.
with checked(server.get(f"{url}jobs/{job['id']}/events", stream=True)) as events:
    for line in events.iter_lines():
        if line.startswith(b"data: "):
            job = json.loads(line.removeprefix(b"data: "))
            print(f"{job['state']} {job['part']:.0%}")
if job["state"] != "done":
    sys.exit(job["message"] or job["state"])

for stem in job["result"]["stems"]:
    path = Path(Path(stem["file"]).name)
    path.write_bytes(checked(server.get(url + stem["url"])).content)
    print(path, f"presence {stem['presence']}")
checked(server.delete(f"{url}upload/{upload}"))
