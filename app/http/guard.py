"""Middleware for every request: login, session, limits and headers.

It passes the session's key on in a header that only this module sets. Of Gradio's routes only those
that the page and the API need are open: not its uploads, file cache, proxy or streams.
"""

import asyncio
import json
import re
from contextlib import suppress
from http.cookies import CookieError, SimpleCookie
from typing import Any

from separate.app.config import ServeConfig
from separate.app.http.auth import is_allowed
from separate.app.http.errors import body
from separate.app.http.limits import address_of
from separate.app.jobs.store import Store

Scope = dict[str, Any]
SESSION_HEADER = "x-separate-session"
_LOGIN_PAUSE_SECONDS = 1.0  # after a wrong password
_MOST_BODY_BYTES = 1_000_000  # of anything but an upload
_UPLOAD_SPARE_BYTES = 1_000_000
_OPEN_TO_ALL = ("/health",)
_OWN = re.compile(
    r"/(health|session|upload|examples?|jobs|results|lyrics|separate-static|reference|openapi\.json|metrics)(/.*)?"
)
_OF_A_SESSION = re.compile(r"/(upload|examples|jobs|results)(/.*)?")
_NO_SESSION = (
    "this needs a session: POST /session gives one; send it in the header X-Separate-Session or"
    " keep the cookie"
)
_GRADIO = re.compile(
    r"/|/(config|theme\.css|favicon\.ico|manifest\.json|robots\.txt)/?"
    r"|/(assets|static|svelte)/.*|/gradio_api/(info|openapi\.json|app_id|startup-events|theme\.css)/?"
    r"|/gradio_api/(call|heartbeat|queue)/.*|/gradio_api/(cancel|reset)/?"
)
_POLICY = "; ".join((
    "default-src 'self'",
    "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",
    "style-src 'self' 'unsafe-inline'",
    "img-src 'self' data: blob:",
    "media-src 'self' blob:",
    "font-src 'self' data:",
    "worker-src 'self' blob:",
    "connect-src 'self'",
    "object-src 'none'",
    "base-uri 'self'",
    "form-action 'self'",
    "frame-ancestors 'self'",
))  # fmt: skip
_HEADERS = (
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"x-frame-options", b"SAMEORIGIN"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(self)"),
)


class Guard:
    """An ASGI application around two others: our routes, and the page."""

    def __init__(self, own: Any, page: Any, config: ServeConfig, store: Store) -> None:
        self._own, self._page, self._config, self._store = own, page, config, store
        self._streams: set[asyncio.Task[Any]] = set()  # of the page, which end by nobody else
        self._is_closing = False
        self.cookie = f"separate_session_{config.port}"

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Pass a request on, or respond to it."""
        if scope["type"] == "lifespan":
            await self._page(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        root = self._config.root_path
        path = scope["path"]
        if root and (path == root or path.startswith(root + "/")):  # a proxy that keeps it
            path = path.removeprefix(root) or "/"
        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        if path not in _OPEN_TO_ALL and not is_allowed(
            self._config.accounts, headers.get("authorization")
        ):
            if "authorization" in headers:
                await asyncio.sleep(_LOGIN_PAUSE_SECONDS)
            challenge = (b"www-authenticate", b'Basic realm="separate", charset="UTF-8"')
            await _refuse(send, 401, "login_required", "log in to use this page", challenge)
            return
        is_own = _OWN.fullmatch(path) is not None
        if not (is_own or _GRADIO.fullmatch(path)):
            await _refuse(send, 404, "not_found", "there is no such page")
            return
        limit = _MOST_BODY_BYTES
        if path == "/upload":
            limit = self._config.max_upload_bytes + _UPLOAD_SPARE_BYTES
        declared = headers.get("content-length", "0")
        if not declared.isdecimal() or int(declared) > limit:
            await _refuse(send, 413, "too_large", self._too_much(path), (b"connection", b"close"))
            return
        key, is_new = self._key(headers)
        if is_new and _OF_A_SESSION.fullmatch(path):
            if headers.get("expect") != "100-continue":
                await _drain(_limited(receive, limit))  # a sending client reads no response
            await _refuse(send, 401, "no_session", _NO_SESSION)
            return
        self._store.visit(key, address_of(scope))
        inner = {**scope, "path": path, "raw_path": path.encode()}
        kept = [(n, v) for n, v in scope["headers"] if n.decode("latin-1") != SESSION_HEADER]
        inner["headers"] = [*kept, (SESSION_HEADER.encode(), key.encode())]
        extra = [self._set_cookie(key, scope)] if is_new and path in ("/", "/session") else []
        if is_own:
            await self._own(inner, _limited(receive, limit), _dressed(send, extra))
        else:
            await self._pass(inner, _limited(receive, limit), _dressed(send, extra))

    async def _pass(self, scope: Scope, receive: Any, send: Any) -> None:
        """Give a request to the page; one that still runs when the server closes ends there."""
        task = asyncio.current_task()
        assert task is not None
        self._streams.add(task)
        try:
            await self._page(scope, receive, send)
        except (asyncio.CancelledError, Exception):  # Gradio's layers turn one into the other
            if not self._is_closing:
                raise
            with suppress(RuntimeError):  # it may not have begun, or be over
                await send({"type": "http.response.body", "body": b""})
        finally:
            self._streams.discard(task)

    def close(self) -> None:
        """End the page's streams, which would go on for ever; called in the event loop."""
        self._is_closing = True
        for task in self._streams:
            task.cancel()

    def _too_much(self, path: str) -> str:
        if path == "/upload":
            return f"larger than {self._config.max_upload_mb:g} MB, the most that this server takes"
        return "this request is too large"

    def _key(self, headers: dict[str, str]) -> tuple[str, bool]:
        """Return the visitor's key, and whether it is new; keys that are not ours don't count."""
        given = headers.get(SESSION_HEADER)
        if self._store.is_key(given):
            return str(given), False
        jar: SimpleCookie = SimpleCookie()
        try:
            jar.load(headers.get("cookie", ""))
        except CookieError:
            jar = SimpleCookie()
        morsel = jar.get(self.cookie)
        if morsel is not None and self._store.is_key(morsel.value):
            return morsel.value, False
        return self._store.new_key(), True

    def _set_cookie(self, key: str, scope: Scope) -> tuple[bytes, bytes]:
        place = self._config.root_path or "/"
        secure = "; Secure" if scope.get("scheme") == "https" else ""
        cookie = f"{self.cookie}={key}; Path={place}; HttpOnly; SameSite=Lax{secure}"
        return b"set-cookie", cookie.encode()


def _limited(receive: Any, limit: int) -> Any:
    """End a body that is longer than it may be, whatever its header said."""
    seen = 0

    async def limited() -> Any:
        nonlocal seen
        message = await receive()
        if message["type"] == "http.request":
            seen += len(message.get("body", b""))
            if seen > limit:
                return {"type": "http.disconnect"}
        return message

    return limited


def _dressed(send: Any, extra: list[tuple[bytes, bytes]]) -> Any:
    """Add headers to the response."""

    async def dressed(message: Any) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", []), *_HEADERS, *extra]
        await send(message)

    return dressed


async def _drain(receive: Any) -> None:
    """Read the rest of a body."""
    while (message := await receive())["type"] == "http.request" and message.get("more_body"):
        pass


async def _refuse(
    send: Any, status: int, code: str, text: str, *headers: tuple[bytes, bytes]
) -> None:
    kind = (b"content-type", b"application/json")
    await send(
        {"type": "http.response.start", "status": status, "headers": [kind, *_HEADERS, *headers]}
    )
    await send({"type": "http.response.body", "body": json.dumps(body(code, text)).encode()})
