"""Routes of the page: uploads and jobs, each for the session that owns them.

Requests have passed the guard, which sets the session's key in a header. Results are in
`separate.app.http.downloads`, errors in `separate.app.http.errors`. The reference of the API is
generated from these routes.
"""

from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request
from fastapi.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from separate.app.config import ServeConfig
from separate.app.http import uploads
from separate.app.http.bodies import json_object, key_of, named_file
from separate.app.http.downloads import add_files
from separate.app.http.errors import failure
from separate.app.http.events import event_stream
from separate.app.http.schema import Health, JobView, LyricsHelp, SessionKey, UploadView
from separate.app.jobs.lyrics import missing
from separate.app.jobs.refusals import TooLarge
from separate.app.jobs.service import Service

STATIC = Path(__file__).parents[1] / "static"
_STATIC_TYPES = {
    ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml",
    ".json": "application/json",
}  # fmt: skip
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_FORM = {"schema": {"type": "object", "properties": {"file": _BINARY["schema"]}}}
_UPLOAD_BODY = {"application/octet-stream": _BINARY, "multipart/form-data": _FORM}
_JOB_BODY = {"application/json": {"schema": {"$ref": "#/components/schemas/Asked"}}}
_EVENTS: dict[int | str, dict[str, Any]] = {
    200: {"description": "Events `state`, data: JobView.", "content": {"text/event-stream": {}}}
}


def make_router(service: Service) -> APIRouter:
    """Return all routes."""
    router = APIRouter()
    _add_general(router, service)
    _add_uploads(router, service)
    _add_jobs(router, service)
    add_files(router, service)
    return router


def _add_general(router: APIRouter, service: Service) -> None:
    @router.get("/health", tags=["server"], response_model=Health)
    def health() -> dict[str, Any]:
        """Whether the server works. Needs no session and no login."""
        return service.health()

    @router.post("/session", tags=["session"], response_model=SessionKey)
    def session(request: Request) -> dict[str, str]:
        """Begin a session: all that follows needs its key, in a header or as the cookie."""
        return {"session": key_of(request)}

    @router.get("/separate-static/{name:path}", include_in_schema=False)
    def static(name: str) -> Response:
        path = STATIC / name
        kind = _STATIC_TYPES.get(path.suffix)
        is_ours = ".." not in path.parts and path.parent in (STATIC, STATIC / "languages")
        if kind is None or not is_ours or not path.is_file():
            return failure(404, "not_found", "there is no such page")
        return FileResponse(path, media_type=kind, headers={"cache-control": "no-cache"})

    @router.get("/lyrics", tags=["server"], response_model=LyricsHelp)
    def lyrics() -> dict[str, Any]:
        """What this server lacks to write down lyrics; empty where it can."""
        return {"missing": missing()}


def _add_uploads(router: APIRouter, service: Service) -> None:
    @router.post(
        "/upload",
        tags=["uploads"],
        responses={200: {"model": UploadView}},
        openapi_extra={"requestBody": {"content": _UPLOAD_BODY, "required": True}},
    )
    async def upload(request: Request, name: str | None = None) -> Response:
        """Upload a sound or video file: its bytes as the body, or a form with one file."""
        key, config, store = key_of(request), service.config, service.store
        shown, chunks = await named_file(request, name)
        if int(request.headers.get("content-length", "0")) > config.max_upload_bytes:
            raise TooLarge(uploads.too_large(uploads.shown_name(shown), config))
        try:
            kept = await uploads.receive(store, config, key, shown, chunks)
            await run_in_threadpool(uploads.check, store, config, key, kept)
        except ClientDisconnect:
            return failure(400, "broken_off", "the upload broke off; send it again")
        return JSONResponse(upload_view(kept))

    @router.delete("/upload/{upload}", tags=["uploads"], status_code=204)
    def delete(request: Request, upload: str) -> Response:
        """Delete an upload. Results made of it stay."""
        service.delete_upload(key_of(request), upload)
        return Response(status_code=204)

    @router.post("/examples", tags=["uploads"], responses={200: {"model": UploadView}})
    def example(request: Request) -> Response:
        """Put the bundled example into the session, as if it had been uploaded."""
        from separate import example_path

        key, path = key_of(request), example_path()
        kept = service.store.new_upload(key, path.name, path.name)
        kept.path.write_bytes(path.read_bytes())
        kept.bytes = kept.path.stat().st_size
        uploads.check(service.store, _lenient(service.config), key, kept)
        return JSONResponse(upload_view(kept))


def _lenient(config: ServeConfig) -> ServeConfig:
    """Our own example is let in however short the limit is."""
    from dataclasses import replace

    return replace(config, max_minutes=max(config.max_minutes, 1.0))


def upload_view(kept: uploads.Upload) -> dict[str, Any]:
    """Return what a visitor is told of an upload."""
    return {
        "upload": kept.id, "name": kept.name, "seconds": round(kept.seconds, 3),
        "sample_rate": kept.sample_rate, "channels": kept.channels, "bytes": kept.bytes,
    }  # fmt: skip


def _add_jobs(router: APIRouter, service: Service) -> None:
    @router.get("/jobs", tags=["jobs"], responses={200: {"model": list[JobView]}})
    def jobs(request: Request) -> Response:
        """All jobs of the session, without their results."""
        return JSONResponse(service.views(key_of(request)))

    @router.post(
        "/jobs",
        tags=["jobs"],
        responses={200: {"model": JobView}},
        openapi_extra={"requestBody": {"content": _JOB_BODY, "required": True}},
    )
    async def submit(
        request: Request, idempotency_key: Annotated[str | None, Header()] = None
    ) -> Response:
        """Start a job. Sent again with the same Idempotency-Key, it starts nothing anew."""
        key, asked = key_of(request), await json_object(request)
        job = await run_in_threadpool(service.start, key, asked, idempotency_key)
        return JSONResponse(service.view(key, job.id))

    @router.get("/jobs/{job}", tags=["jobs"], responses={200: {"model": JobView}})
    def one(request: Request, job: str) -> Response:
        """How a job stands, and its result once it is done."""
        return JSONResponse(service.view(key_of(request), job))

    @router.get("/jobs/{job}/events", tags=["jobs"], responses=_EVENTS, response_class=Response)
    async def events(request: Request, job: str) -> Response:
        """Server-sent events whenever the job changes, until it is over."""
        key = key_of(request)
        service.view(key, job)  # there is one, or the answer says so
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        stream = event_stream(service, key, job)
        return StreamingResponse(stream, media_type="text/event-stream", headers=headers)

    @router.post("/jobs/{job}/cancel", tags=["jobs"], responses={200: {"model": JobView}})
    def cancel(request: Request, job: str) -> Response:
        """Stop a job that waits or runs."""
        service.cancel(key_of(request), job)
        return JSONResponse(service.view(key_of(request), job))
