"""Fixtures that several test modules use."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of shared recordings beside the checkout, or at $SEPARATE_SHARED."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("SEPARATE_SHARED") or beside)
    if not folder.is_dir():
        pytest.skip(f"no shared recordings at {folder}; set SEPARATE_SHARED to their folder")
    return folder
