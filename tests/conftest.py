"""Fixtures that several test modules use."""

import os
import signal
from pathlib import Path

import pytest

# A shell starts background jobs with SIGINT ignored, and children inherit that: tests of Ctrl-C
# must not depend on how the suite was started.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of shared recordings beside the checkout, or at $SEPARATE_SHARED."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("SEPARATE_SHARED") or beside)
    if not folder.is_dir():
        pytest.skip(f"no shared recordings at {folder}; set SEPARATE_SHARED to their folder")
    return folder
