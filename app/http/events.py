"""How a job stands, told whenever it changes: no client has to ask again and again.

In: a job of a session. Out: its states one after another, as values or as server-sent events.
"""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

from separate.app.jobs.queue import OVER
from separate.app.jobs.refusals import NotHere
from separate.app.jobs.service import Service

_LOOK_SECONDS = 0.25
_SILENT_LOOKS = 60  # then a line without meaning keeps the connection open
_TOLD = ("name", "file", "sha256", "bytes", "presence")  # of a stem


def told(service: Service, key: str, job: str) -> dict[str, Any]:
    """Return a job's state with the addresses of its files, without what only the page draws.

    Raises:
        NotHere: The session has no such job.
    """
    state = service.view(key, job)
    result = {name: value for name, value in state["result"].items() if name != "mixture"}
    if "stems" in result:
        result["stems"] = [
            {**{name: stem[name] for name in _TOLD}, "url": f"results/{job}/stem/{number}"}
            for number, stem in enumerate(result["stems"])
        ]
    return {**state, "result": result}


async def changes(
    look: Callable[[], dict[str, Any]], closing: threading.Event
) -> AsyncIterator[dict[str, Any] | None]:
    """Yield a job's states until it is over or the server closes; None after a long silence."""
    last: dict[str, Any] = {}
    silent = 0
    while not closing.is_set():
        state = look()
        silent = 0 if state != last else silent + 1
        if not silent:
            yield state
        elif silent % _SILENT_LOOKS == 0:
            yield None
        if state["state"] in OVER:
            return
        last = state
        await asyncio.sleep(_LOOK_SECONDS)


async def event_stream(service: Service, key: str, job: str) -> AsyncIterator[str]:
    """Yield server-sent events: `state`, with the job as JSON; the last one says how it ended."""
    try:
        async for state in changes(lambda: told(service, key, job), service.closing):
            yield ": \n\n" if state is None else f"event: state\ndata: {json.dumps(state)}\n\n"
    except NotHere:  # it was deleted meanwhile
        return
