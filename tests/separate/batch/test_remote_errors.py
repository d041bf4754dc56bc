"""Which failures of a store are tried again: those of the network, not those of the program."""

import pytest

from separate.batch.remote import address as remote
from separate.batch.remote.address import Address, call
from separate.errors import InputError


class ClientError(Exception):
    """As one of botocore's."""


ClientError.__module__ = "botocore.exceptions"


@pytest.mark.parametrize(
    ("error", "tries"),
    [
        (KeyError("x"), 1), (AttributeError("x"), 1), (IndexError("x"), 1), (RuntimeError("x"), 1),
        (ZeroDivisionError("x"), 1), (TypeError("x"), 1), (AssertionError("x"), 1),
        (ConnectionResetError("x"), 3), (TimeoutError("x"), 3), (OSError("x"), 3),
        (EOFError("x"), 3), (ClientError("x"), 3), (PermissionError("x"), 1),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)  # fmt: skip
def test_only_the_network_is_tried_again(
    error: Exception, tries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(remote.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(remote.time, "sleep", lambda wait: now.__setitem__(0, now[0] + wait))
    calls = []

    def fail(store: object) -> None:
        calls.append(store)
        raise error

    with pytest.raises(InputError, match="cannot be read"):
        call(Address("memory://x/y"), fail, patience_seconds=1.9)
    assert len(calls) == tries
