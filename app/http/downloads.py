"""The routes of results: stems, what the player needs, remixes, zips, lyrics.

In: names of jobs. Out: files, each only to the session that it belongs to. What is made for one
answer is limited by number and rate, and goes with the answer: a zip is never a file at all.
"""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, Response, StreamingResponse

from separate.app.http.bodies import json_object, key_of
from separate.app.http.limits import Rate, Slots, address_of
from separate.app.jobs.queue import QueuedJob
from separate.app.jobs.remix import parse_gains, remix, zip_blocks
from separate.app.jobs.service import Service
from separate.errors import InputError, SeparateError
from separate.settings import FORMATS

_TYPES = {
    ".wav": "audio/wav", ".flac": "audio/flac", ".ogg": "audio/ogg", ".mp3": "audio/mpeg",
}  # fmt: skip
_PRIVATE = {"cache-control": "private, max-age=600"}
MADE_A_MINUTE = 60  # remixes and zips, of an address
_AT_ONCE, _AT_ONCE_ALL = 4, 16


class _Made(FileResponse):
    """A file that was made for this answer, and goes with it, also where the client goes away."""

    def __init__(self, path: Path, then: Callable[[], None], **options: Any) -> None:
        super().__init__(path, **options)
        self._then = then

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Send the file, then delete it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            Path(self.path).unlink(missing_ok=True)
            self._then()


def add_files(router: APIRouter, service: Service) -> None:
    """Register the routes."""
    _add_stems(router, service)
    _add_made(router, service)


def _add_stems(router: APIRouter, service: Service) -> None:
    @router.get("/results/{job}/stem/{number}", tags=["results"], response_class=FileResponse)
    def stem(request: Request, job: str, number: str) -> Response:
        """Download a stem, by its number in the job's result."""
        path, name = service.stem(key_of(request), job, number)
        kind = _TYPES.get(path.suffix, "application/octet-stream")
        return FileResponse(path, media_type=kind, headers=_saved_as(name))

    @router.get("/results/{job}/play/{part}", tags=["results"], response_class=FileResponse)
    def play(request: Request, job: str, part: str) -> Response:
        """Samples of a stem or of `mixture`: 16-bit little-endian, channels interleaved."""
        path = service.drawn(key_of(request), job, part, "play")
        return FileResponse(path, media_type="application/octet-stream", headers=_PRIVATE)

    @router.get("/results/{job}/picture/{part}", tags=["results"], response_class=FileResponse)
    def picture(request: Request, job: str, part: str) -> Response:
        """Spectrogram (PNG) of a stem or of `mixture`."""
        path = service.drawn(key_of(request), job, part, "picture")
        return FileResponse(path, media_type="image/png", headers=_PRIVATE)

    @router.post("/results/{job}/lyrics/{format}", tags=["results"], response_class=Response)
    async def lyrics(request: Request, job: str, format: str) -> Response:
        """Lyrics as lrc, srt, ass or txt. Body: {"lines": [the text of each line]}."""
        asked = await json_object(request)
        text, name = service.lyrics_file(key_of(request), job, asked.get("lines"), format)
        headers = {"content-disposition": _attachment(name)}
        return Response(text, media_type="text/plain; charset=utf-8", headers=headers)


def _add_made(router: APIRouter, service: Service) -> None:
    rate = Rate(MADE_A_MINUTE, 60, "remixes and zips")
    slots = Slots(_AT_ONCE, _AT_ONCE_ALL, "remixes and zips")

    @router.get("/results/{job}/remix", tags=["results"], response_class=FileResponse)
    def remixed(request: Request, job: str, gains: str, format: str = "wav") -> Response:
        """Sum of the stems, with a gain of 0 to 4 for each: gains=1,0.5."""
        stems = service.stem_paths(key_of(request), job)
        if format not in FORMATS:
            raise InputError(f"format: take one of {', '.join(FORMATS)}")
        levels = parse_gains(gains, len(stems))
        found = service.done(key_of(request), job)
        rate.take(address_of(request.scope))
        with slots.kept_on_success(address_of(request.scope)) as give_back:
            target = _remix(found, [path for _, path in stems], levels, format)
            name = f"{found.result['track']} - remix.{format}"
            return _Made(
                target, give_back, media_type=_TYPES[f".{format}"], headers=_saved_as(name)
            )

    @router.get("/results/zip", tags=["results"], response_class=StreamingResponse)
    def zipped(request: Request, jobs: str) -> Response:
        """All stems of one or several jobs of kind separate: jobs=ID,ID."""
        key = key_of(request)
        words = jobs.split(",")
        if len(set(words)) < len(words):
            raise InputError("jobs: name each job once")
        found = [service.done(key, word) for word in words]
        files = _named(service, key, found)
        rate.take(address_of(request.scope))
        name = f"{found[0].result['track']}.zip" if len(found) == 1 else "separated.zip"
        give_back = slots.take(address_of(request.scope))
        return StreamingResponse(
            _then(zip_blocks(files), give_back),
            media_type="application/zip",
            headers=_saved_as(name),
        )


def _remix(job: QueuedJob, paths: list[Path], gains: list[float], format: str) -> Path:
    """Write a remix; an error names no place on the server and leaves no file."""
    with tempfile.NamedTemporaryFile(dir=job.folder, suffix=f".{format}", delete=False) as file:
        target = Path(file.name)
    try:
        return remix(paths, gains, target, format)
    except SeparateError as error:
        target.unlink(missing_ok=True)
        message = str(error).replace(str(target), "the remix")
        for path in paths:
            message = message.replace(str(path), path.name)
        raise InputError(message) from error
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def _named(service: Service, key: str, jobs: list[QueuedJob]) -> list[tuple[str, Path]]:
    """Return names in the zip and paths; recordings of one name get numbers.

    Raises:
        InputError: There is nothing to put into a zip.
    """
    files: list[tuple[str, Path]] = []
    taken: set[str] = set()
    for job in jobs:
        track, number = str(job.result.get("track", "results")), 1
        while track in taken:
            number += 1
            track = f"{job.result['track']} ({number})"
        taken.add(track)
        files += [(f"{track}/{path.name}", path) for _, path in service.stem_paths(key, job.id)]
    if not files:
        raise InputError("there are no files to put into a zip")
    return files


def _then(blocks: Iterator[bytes], last: Callable[[], None]) -> Iterator[bytes]:
    try:
        yield from blocks
    finally:
        last()


def _attachment(name: str) -> str:
    return f"attachment; filename*=UTF-8''{quote(name)}"


def _saved_as(name: str) -> dict[str, str]:
    return {"cache-control": "private, no-store", "content-disposition": _attachment(name)}
