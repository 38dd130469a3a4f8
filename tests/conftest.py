"""Fixtures that every test may use."""

import os
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from hypothesis import settings

from pipelines import store
from pipelines.ray_session import ray_session
from pipelines.settings import RayConfig
from tests.s3_server import s3_server

# Before anything imports triton: these tests run its kernels in Python. `make gpu-check` runs them on a GPU.
os.environ.setdefault("TRITON_INTERPRET", "1")

# How long an example takes says something of the machine, not of the law.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


@pytest.fixture(scope="session")
def assets() -> Path:
    """Folder of real clips, hard files and ground-truth flow; tests that need it skip where it is absent."""
    folder = Path(os.environ.get("EQUIVDM_ASSETS", Path(__file__).parents[2] / "shared" / "assets"))
    if not folder.is_dir():
        pytest.skip(f"no real clips at {folder}: set EQUIVDM_ASSETS to their folder")
    return folder


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """An S3 server on loopback; the usual AWS_* variables point to it for the whole session."""
    with s3_server() as endpoint:
        boto3.client("s3").create_bucket(Bucket="videos")
        yield endpoint


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """S3 clients that are made from here on try twice, not for a minute: for servers that are not there."""
    monkeypatch.setitem(store._PATIENCE, "retries", {"mode": "standard", "max_attempts": 2})


@pytest.fixture(scope="session")
def local_ray(s3_endpoint: str) -> Iterator[None]:
    """One embedded Ray for all tests, whose workers know the S3 server; the jobs' own sessions join it."""
    del s3_endpoint
    with ray_session(RayConfig(cpus=2, object_store_mib=128)):
        yield
