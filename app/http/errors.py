"""One shape for every error: `{"error": {"code": "too_large", "message": "one line"}}`.

Errors of the library, of the routes and of FastAPI get a fitting status. A message names no option
of the command line and no path on the server.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from separate.app.jobs.refusals import Refusal, TooMany, without_options
from separate.errors import SeparateError, WeightsError

_CODES = {404: "not_found", 405: "method_not_allowed"}


def body(code: str, message: str) -> dict[str, dict[str, str]]:
    """Return the content of an error."""
    return {"error": {"code": code, "message": message}}


def failure(
    status: int, code: str, message: str, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """Return the response to an error."""
    return JSONResponse(body(code, message), status, headers=dict(headers or {}))


def explained(error: SeparateError, root: Path) -> JSONResponse:
    """Convert an error to a response.

    Args:
        error: What went wrong.
        root: Of the server's files, which a message doesn't name.
    """
    message = without_options(str(error)).replace(f"{root}/", "")
    if isinstance(error, TooMany):
        again = {"retry-after": str(error.retry_seconds)}
        return failure(error.status, error.code, message, again)
    if isinstance(error, Refusal):
        return failure(error.status, error.code, message)
    return failure(422, "not_installed" if isinstance(error, WeightsError) else "invalid", message)


def add_handlers(app: FastAPI, root: Path) -> None:
    """Give all errors of an application their shape."""

    @app.exception_handler(SeparateError)
    async def refused(request: Any, error: SeparateError) -> Any:
        return explained(error, root)

    @app.exception_handler(RequestValidationError)
    async def wrong(request: Any, error: RequestValidationError) -> Any:
        first = error.errors()[0]
        return failure(422, "invalid", f"{first['loc'][-1]}: {str(first['msg']).lower()}")

    @app.exception_handler(HTTPException)
    async def other(request: Any, error: HTTPException) -> Any:
        code = _CODES.get(error.status_code, "refused")
        return failure(error.status_code, code, str(error.detail).lower(), error.headers)

    @app.exception_handler(Exception)
    async def broken(request: Any, error: Exception) -> Any:
        return failure(500, "internal", "the server failed here; please report this")
