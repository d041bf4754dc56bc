"""Accounts and logins.

Passwords come from a file or the environment, never from the command line, which every user of the
machine can read.
"""

import base64
import binascii
import hmac
import os
from collections.abc import Mapping
from pathlib import Path

from separate.errors import SettingsError

VARIABLE = "SEPARATE_AUTH"
_HOW = "one name:password a line"


def read_accounts(source: str | None) -> dict[str, str]:
    """Read the accounts.

    Args:
        source: A file, or "env" for the environment variable `SEPARATE_AUTH`; None: no login.

    Returns:
        Passwords by name.

    Raises:
        SettingsError: The file or variable is missing, empty or malformed.
    """
    if source is None:
        return {}
    if source == "env":
        text, place = os.environ.get(VARIABLE, ""), f"${VARIABLE}"
    else:
        try:
            text, place = Path(source).read_text(encoding="utf-8"), source
        except (OSError, UnicodeDecodeError) as error:
            hint = f"name a file with {_HOW}, or `env` for ${VARIABLE}"
            raise SettingsError(f"--auth {source}: cannot be read; {hint}") from error
    lines = [line.strip() for line in text.splitlines()]
    pairs = [line.partition(":") for line in lines if line and not line.startswith("#")]
    if not pairs or any(not (name and password) for name, _, password in pairs):
        raise SettingsError(f"--auth {place}: must hold {_HOW}")
    return {name: password for name, _, password in pairs}


def is_allowed(accounts: Mapping[str, str], header: str | None) -> bool:
    """Check the header of HTTP basic authentication, in constant time for each account."""
    if not accounts:
        return True
    scheme, _, value = (header or "").partition(" ")
    if scheme.lower() != "basic":
        return False
    try:
        given = base64.b64decode(value.strip(), validate=True)
    except (binascii.Error, ValueError):
        return False
    right = False
    for name, password in accounts.items():
        right |= hmac.compare_digest(given, f"{name}:{password}".encode())
    return right
