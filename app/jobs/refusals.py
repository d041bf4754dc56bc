"""Why a request is refused, as errors with a code; and messages as a visitor may read them.

In: the library's errors, which speak to somebody at a command line. Out: the same without options,
which a visitor of the page or the API does not have.
"""

import re

from separate.errors import InputError

_NAMES = {"int24": "subtype PCM_24", "float32": "subtype FLOAT"}
_OPTION = re.compile(r"(?<![\w-])--([a-z][a-z0-9_-]*)")
_QUERY = re.compile(r"(?<![\w-])-q\b")


class Refusal(InputError):  # noqa: N818 - it says what it is
    """A request that is refused for what stands on the server, not for what it says."""

    code = "refused"
    status = 422


class NotHere(Refusal):
    """This session has no such thing: it was deleted, or is somebody else's."""

    code, status = "not_found", 404


class TooLarge(Refusal):
    """More bytes than are allowed."""

    code, status = "too_large", 413


class InUse(Refusal):
    """It stands against something else that is here."""

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
