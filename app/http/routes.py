"""Our own routes: uploads in, jobs and results out, each only to the session that they belong to.

In: requests that have passed the guard, with the session's key in a header. Out: JSON and files;
errors are those of `separate.app.http.errors`.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, JSONResponse, Response
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from separate.app.config import ServeConfig
from separate.app.http import uploads
from separate.app.http.errors import failure
from separate.app.http.guard import SESSION_HEADER
from separate.app.jobs.lyrics import missing
from separate.app.jobs.refusals import TooLarge
from separate.app.jobs.remix import parse_gains, remix, write_zip
from separate.app.jobs.service import Service
from separate.errors import InputError
from separate.settings import FORMATS

STATIC = Path(__file__).parents[1] / "static"
_STATIC_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
_AUDIO_TYPES = {
    ".wav": "audio/wav", ".flac": "audio/flac", ".ogg": "audio/ogg", ".mp3": "audio/mpeg",
    ".zip": "application/zip",
}  # fmt: skip
_PRIVATE = {"cache-control": "private, max-age=600"}


def key_of(request: Request) -> str:
    """Return the session's key, which the guard has checked."""
    return request.headers[SESSION_HEADER]


def make_router(service: Service) -> APIRouter:
    """Return all routes."""
    router = APIRouter()
    _add_general(router, service)
    _add_uploads(router, service)
    _add_jobs(router, service)
    _add_files(router, service)
    return router


def _add_general(router: APIRouter, service: Service) -> None:
    @router.get("/health")
    def health() -> dict[str, Any]:
        return service.health()

    @router.post("/session")
    def session(request: Request) -> dict[str, str]:
        return {"session": key_of(request)}

    @router.get("/separate-static/{name}")
    def static(name: str) -> Response:
        path = STATIC / name
        kind = _STATIC_TYPES.get(path.suffix)
        if kind is None or path.parent != STATIC or not path.is_file():
            return failure(404, "not_found", "there is no such page")
        return FileResponse(path, media_type=kind, headers={"cache-control": "no-cache"})

    @router.get("/lyrics")
    def lyrics() -> dict[str, Any]:
        return {"missing": missing()}

    @router.get("/jobs")
    def jobs(request: Request) -> list[dict[str, Any]]:
        return service.views(key_of(request))


def _add_uploads(router: APIRouter, service: Service) -> None:
    @router.post("/upload")
    async def upload(request: Request, name: str = "recording") -> Response:
        key, config, store = key_of(request), service.config, service.store
        if int(request.headers.get("content-length", "0")) > config.max_upload_bytes:
            shown = uploads.shown_name(name)
            raise TooLarge(uploads.too_large(shown, config))
        try:
            kept = await uploads.receive(store, config, key, name, request.stream())
            await run_in_threadpool(uploads.check, store, config, key, kept)
        except ClientDisconnect:
            return failure(400, "broken_off", "the upload broke off; send it again")
        return JSONResponse(upload_view(kept))

    @router.post("/examples")
    def example(request: Request) -> Response:
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
    kinds: dict[str, Callable[..., Any]] = {
        "separate": service.separate, "find": service.find, "lyrics": service.lyrics,
    }  # fmt: skip

    @router.post("/jobs")
    async def submit(request: Request) -> Response:
        asked = await _json(request)
        start = kinds.get(str(asked.get("kind", "")))
        if start is None:
            raise InputError(f"kind: take one of {', '.join(kinds)}")
        job = await run_in_threadpool(start, key_of(request), asked)
        return JSONResponse(service.view(key_of(request), job.id))

    @router.get("/jobs/{job}")
    def one(request: Request, job: str) -> dict[str, Any]:
        return service.view(key_of(request), job)

    @router.post("/jobs/{job}/cancel")
    def cancel(request: Request, job: str) -> dict[str, Any]:
        service.cancel(key_of(request), job)
        return service.view(key_of(request), job)


async def _json(request: Request) -> dict[str, Any]:
    try:
        content = await request.json()
    except (ValueError, ClientDisconnect) as error:
        raise InputError("the request must be a JSON object") from error
    if not isinstance(content, dict):
        raise InputError("the request must be a JSON object")
    return content


def _add_files(router: APIRouter, service: Service) -> None:
    @router.get("/results/{job}/stem/{number}")
    def stem(request: Request, job: str, number: str) -> Response:
        path, name = service.stem(key_of(request), job, number)
        return _download(path, name)

    @router.get("/results/{job}/play/{part}")
    def play(request: Request, job: str, part: str) -> Response:
        path = service.drawn(key_of(request), job, part, "play")
        return FileResponse(path, media_type="application/octet-stream", headers=_PRIVATE)

    @router.get("/results/{job}/picture/{part}")
    def picture(request: Request, job: str, part: str) -> Response:
        path = service.drawn(key_of(request), job, part, "picture")
        return FileResponse(path, media_type="image/png", headers=_PRIVATE)

    @router.get("/results/{job}/remix")
    def remixed(request: Request, job: str, gains: str, format: str = "wav") -> Response:
        stems = service.stem_paths(key_of(request), job)
        if format not in FORMATS:
            raise InputError(f"format: take one of {', '.join(FORMATS)}")
        levels = parse_gains(gains, len(stems))
        found = service.done(key_of(request), job)
        target = _temporary(found.folder, f".{format}")
        remix([path for _, path in stems], levels, target, format)
        return _download(target, f"{found.result['track']} - remix.{format}", is_ours=True)

    @router.post("/results/{job}/lyrics/{format}")
    async def lyrics(request: Request, job: str, format: str) -> Response:
        asked = await _json(request)
        text, name = service.lyrics_file(key_of(request), job, asked.get("lines"), format)
        headers = {"content-disposition": f"attachment; filename*=UTF-8''{quote(name)}"}
        return Response(text, media_type="text/plain; charset=utf-8", headers=headers)

    @router.get("/results/zip")
    def zipped(request: Request, jobs: str) -> Response:
        key = key_of(request)
        files: list[tuple[str, Path]] = []
        taken: set[str] = set()
        found = [service.done(key, word) for word in jobs.split(",")]
        for job in found:
            track, number = str(job.result.get("track", "results")), 1
            while track in taken:
                number += 1
                track = f"{job.result['track']} ({number})"
            taken.add(track)
            files += [(f"{track}/{p.name}", p) for _, p in service.stem_paths(key, job.id)]
        if not files:
            raise InputError("there are no files to put into a zip")
        target = _temporary(found[0].folder, ".zip")
        write_zip(files, target)
        name = f"{found[0].result['track']}.zip" if len(found) == 1 else "separated.zip"
        return _download(target, name, is_ours=True)


def _temporary(folder: Path, ending: str) -> Path:
    with tempfile.NamedTemporaryFile(dir=folder, suffix=ending, delete=False) as file:
        return Path(file.name)


def _download(path: Path, name: str, *, is_ours: bool = False) -> Response:
    """Send a file to be saved; one that was made for this answer is deleted afterwards."""
    task = BackgroundTask(path.unlink, missing_ok=True) if is_ours else None
    disposition = f"attachment; filename*=UTF-8''{quote(name)}"
    kind = _AUDIO_TYPES.get(path.suffix, "application/octet-stream")
    headers = {"cache-control": "private, no-store", "content-disposition": disposition}
    return FileResponse(path, media_type=kind, headers=headers, background=task)
