"""Separate a file on a server: api_example.py URL FILE QUERY ...

Needs gradio_client and requests. With a login, add auth=(name, password) to the requests and
httpx_kwargs={"auth": (name, password)} to Client.
"""

import sys
from pathlib import Path

import requests
from gradio_client import Client

url, song, *queries = sys.argv[1:]
url = url.rstrip("/") + "/"
session = requests.post(f"{url}session", timeout=30).json()["session"]
headers = {"x-separate-session": session}

data = Path(song).read_bytes()
answer = requests.post(
    f"{url}upload", params={"name": Path(song).name}, data=data, headers=headers, timeout=600
)
upload = answer.json()
if not answer.ok:
    sys.exit(upload["error"]["message"])

client = Client(url, headers=headers, verbose=False)
job = client.submit(upload["upload"], queries, api_name="/separate")
for state in job:
    print(f"{state['state']} {state['part']:.0%}")

for stem in job.result()["result"]["stems"]:
    content = requests.get(url + stem["url"], headers=headers, timeout=600).content
    Path(Path(stem["file"]).name).write_bytes(content)
    print(Path(stem["file"]).name, f"presence {stem['presence']}")
