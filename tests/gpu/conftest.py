"""What the tests on a GPU share."""

import pytest
import torch


@pytest.fixture(scope="session")
def device() -> str:
    """Return the GPU; a run that asks for these tests fails where there is none."""
    assert torch.cuda.is_available(), "no CUDA device here: `make gpu-check` needs one"
    return "cuda"
