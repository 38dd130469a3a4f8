"""Stores for tests: a folder, and a real S3 server reached over HTTP as AWS would be."""

from pathlib import Path

import pytest

from pipelines.settings import StoreConfig
from pipelines.store import Store, open_store


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """A store in a folder, and one on the S3 server."""
    if request.param == "folder":
        return open_store(StoreConfig(root=str(tmp_path / "store")))
    request.getfixturevalue("s3_endpoint")
    return open_store(StoreConfig(root=f"s3://videos/{tmp_path.name}"))
