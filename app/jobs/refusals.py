"""Why a request is refused, as errors with a code; and messages for visitors.

The library's messages name options of the command line, which visitors of the page and the API do
not have; they are removed here.
"""

import re

from separate.errors import InputError

_NAMES = {"int24": "subtype PCM_24", "float32": "subtype FLOAT"}
_OPTION = re.compile(r"(?<![\w-])--([a-z][a-z0-9_-]*)")
_QUERY = re.compile(r"(?<![\w-])-q\b")


class Refusal(InputError):  # noqa: N818 - it says what it is
    """A request that is refused because of the state of the server, not its content."""

    code = "refused"
    status = 422


class NotHere(Refusal):
    """This session has no such file or job: it was deleted, or belongs to another session."""

    code, status = "not_found", 404


class TooLarge(Refusal):
    """More bytes than are allowed."""

    code, status = "too_large", 413


class InUse(Refusal):
    """It conflicts with another job or file of the session."""

    code, status = "conflict", 409


class TooMany(Refusal):
    """A limit of number, space or rate is reached for now."""

    code, status = "too_many", 429

    def __init__(self, message: str, retry_seconds: int = 30) -> None:
        super().__init__(message)
        self.retry_seconds = retry_seconds


def without_options(message: str) -> str:
    """Return a message on one line, with fields of the API instead of command-line options."""
    line = " ".join(message.split())
    line = _OPTION.sub(lambda m: _NAMES.get(m[1], m[1].replace("-", "_")), line)
    return _QUERY.sub("queries", line)
