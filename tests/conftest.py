"""Fixtures that every test may use."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def assets() -> Path:
    """Folder of real clips, hard files and ground-truth flow; tests that need it skip where it is absent."""
    folder = Path(os.environ.get("EQUIVDM_ASSETS", Path(__file__).parents[2] / "shared" / "assets"))
    if not folder.is_dir():
        pytest.skip(f"no real clips at {folder}: set EQUIVDM_ASSETS to their folder")
    return folder
