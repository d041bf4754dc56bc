"""The functions of Gradio's HTTP API, for clients of `gradio_client`.

They take plain values, with the session in a header or cookie, and yield the state of a job until
it ends. A file is uploaded to `/upload` first and named by the name in the response, so that no
path or address can be given.
"""

from collections.abc import AsyncIterator
from typing import Any

import gradio as gr

from separate.app.http.events import changes, told
from separate.app.http.guard import SESSION_HEADER
from separate.app.jobs.queue import QueuedJob
from separate.app.jobs.refusals import without_options
from separate.app.jobs.service import Service
from separate.errors import SeparateError


def add_api(service: Service) -> None:
    """Register the functions; called inside of the Blocks."""

    async def separate(
        upload: str,
        queries: list[str],
        request: gr.Request,
        exclude: list[str] | None = None,
        like: list[str] | None = None,
        settings: dict | None = None,
    ) -> AsyncIterator[dict]:
        asked = {"upload": upload, "queries": queries, "exclude": exclude, "like": like,
                 "settings": settings}  # fmt: skip
        job = _started(service.separate, _key(request), asked)
        async for state in _watch(service, _key(request), job):
            yield state

    async def find_sources(upload: str, request: gr.Request) -> AsyncIterator[dict]:
        job = _started(service.find, _key(request), {"upload": upload})
        async for state in _watch(service, _key(request), job):
            yield state

    async def lyrics(upload: str, request: gr.Request, language: str = "") -> AsyncIterator[dict]:
        job = _started(service.lyrics, _key(request), {"upload": upload, "language": language})
        async for state in _watch(service, _key(request), job):
            yield state

    def cancel(job: str, request: gr.Request) -> dict:
        try:
            service.cancel(_key(request), job)
            return service.view(_key(request), job)
        except SeparateError as error:
            raise gr.Error(without_options(str(error)), print_exception=False) from error

    described = (
        (separate, "Take sources out of an upload. Yields the job's state; the last one has the"
         " results: GET results/<id>/stem/<number>."),
        (find_sources, "List what sounds in an upload, how likely, and when."),
        (lyrics, "Write down what is sung in an upload; language may be empty."),
        (cancel, "Stop a job."),
    )  # fmt: skip
    for function, text in described:
        function.__annotations__["return"] = dict  # a generator of responses
        gr.api(
            function,
            api_name=function.__name__,
            api_description=text,
            concurrency_limit=None,  # the queue of the computations is ours
        )


def _key(request: gr.Request) -> str:
    return str(request.headers[SESSION_HEADER])


def _started(start: Any, key: str, asked: dict[str, Any]) -> QueuedJob:
    try:
        job: QueuedJob = start(key, asked)
    except SeparateError as error:
        raise gr.Error(without_options(str(error)), print_exception=False) from error
    return job


async def _watch(service: Service, key: str, job: QueuedJob) -> AsyncIterator[dict]:
    """Yield the job's state when it changes; a caller who goes away stops it."""
    try:
        async for state in changes(lambda: told(service, key, job.id), service.closing):
            if state is not None:
                yield state
    finally:
        if not job.is_over:
            service.queue.cancel(job)
    if job.state == "failed":
        raise gr.Error(job.message, print_exception=False)
