"""What comes with a request: the session's key, a JSON object, or a file in a form.

In: requests of strangers that have passed the guard. Out: plain values and streams of bytes.
"""

from collections.abc import AsyncIterator
from typing import Any

from fastapi import Request
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect

from separate.app.http.guard import SESSION_HEADER
from separate.errors import InputError

_LONGEST_HEADERS = 8_000  # bytes of one part of a form
_HOW = "send the file's bytes as the body, or one file in a form: curl -F file=@song.wav"


def key_of(request: Request) -> str:
    """Return the session's key, which the guard has checked."""
    return request.headers[SESSION_HEADER]


async def json_object(request: Request) -> dict[str, Any]:
    """Return the body.

    Raises:
        InputError: It is no JSON object.
    """
    try:
        content = await request.json()
    except (ValueError, ClientDisconnect) as error:
        raise InputError("the request must be a JSON object") from error
    if not isinstance(content, dict):
        raise InputError("the request must be a JSON object")
    return content


async def named_file(request: Request, name: str | None) -> tuple[str, AsyncIterator[bytes]]:
    """Return the name and the bytes of an upload, which is the body itself or a file in a form.

    Args:
        request: With a body that nobody has read.
        name: As the address says; it wins over the form's.

    Raises:
        InputError: A form without a file.
    """
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind != b"multipart/form-data":
        return name or "recording", request.stream()
    if not options.get(b"boundary"):
        raise InputError(f"the form has no boundary; {_HOW}")
    form = _Form(options[b"boundary"])
    chunks = form.read(request.stream())
    first = await anext(chunks, None)
    if first is None:
        raise InputError(f"the form has no file; {_HOW}")
    return name or form.name or "recording", _from(first, chunks)


async def _from(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for chunk in rest:
        yield chunk


class _Form:
    """Reads the first file of a form as it comes; fields without a file name are passed over."""

    def __init__(self, boundary: bytes) -> None:
        self.name = ""
        self._boundary = boundary
        self._is_file = self._is_over = False
        self._header: list[bytes] = [b"", b""]
        self._size = 0
        self._found: list[bytes] = []

    async def read(self, stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Yield the file's bytes; at least an empty piece where there is a file.

        Raises:
            InputError: This is no form.
        """
        parser = MultipartParser(self._boundary, {
            "on_part_begin": self._begin, "on_header_field": self._field,
            "on_header_value": self._value, "on_header_end": self._header_end,
            "on_headers_finished": self._headers, "on_part_data": self._data,
            "on_part_end": self._end,
        })  # fmt: skip
        async for chunk in stream:
            if not chunk:
                continue
            try:
                parser.write(chunk)
            except ValueError as error:  # the parser's errors are values' errors
                raise InputError(f"the form is damaged; {_HOW}") from error
            found, self._found = self._found, []
            if found:
                yield b"".join(found)
        if not self._is_over and self.name:
            raise InputError(f"the form is cut off; {_HOW}")

    def _begin(self) -> None:
        self._size = 0

    def _grow(self, data: bytes) -> bytes:
        self._size += len(data)
        if self._size > _LONGEST_HEADERS:
            raise ValueError("the headers of a part are too long")
        return data

    def _field(self, data: bytes, start: int, end: int) -> None:
        self._header[0] += self._grow(data[start:end])

    def _value(self, data: bytes, start: int, end: int) -> None:
        self._header[1] += self._grow(data[start:end])

    def _header_end(self) -> None:
        name, value = self._header
        self._header = [b"", b""]
        if name.lower() != b"content-disposition" or self._is_over:
            return
        _, options = parse_options_header(value)
        if b"filename" in options:
            self._is_file = True
            self.name = options[b"filename"].decode("utf-8", "replace")

    def _headers(self) -> None:
        if self._is_file:
            self._found.append(b"")

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._is_file:
            self._found.append(bytes(data[start:end]))

    def _end(self) -> None:
        self._is_over = self._is_over or self._is_file
        self._is_file = False
