"""An S3 server in the process of the tests."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from moto.server import ThreadedMotoServer


@contextmanager
def s3_server(address: str = "127.0.0.1", key: str = "test", secret: str = "test") -> Iterator[str]:
    """Serve S3 at an address of this machine; the usual AWS_* variables point to it meanwhile. Gives its URL."""
    with socket.socket() as free:
        free.bind((address, 0))
        port = free.getsockname()[1]
    server = ThreadedMotoServer(ip_address=address, port=port, verbose=False)
    server.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{address}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", key)
        patch.setenv("AWS_SECRET_ACCESS_KEY", secret)
        patch.setenv("AWS_REGION", "us-east-1")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        yield f"http://{address}:{port}"
    server.stop()
