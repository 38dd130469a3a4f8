"""Stores for tests: a folder, and a real S3 server reached over HTTP as AWS would be."""

from collections.abc import Iterator
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


@pytest.fixture(scope="session")
def group(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A process group of one, as Ray Train makes them. DeepSpeed takes one a process, and no other after it."""
    import torch.distributed

    store = tmp_path_factory.mktemp("group") / "store"
    torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=0, world_size=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOCAL_RANK", "0")
        yield
    torch.distributed.destroy_process_group()
