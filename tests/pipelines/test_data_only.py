"""A checkpoint in which somebody has planted a call is refused, whichever file it is in, and the call is not made."""

import os
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import ray.train
import torch

from equivdm.errors import UsageError
from pipelines.checkpoints import save
from pipelines.data_only import data_only
from pipelines.loop import run
from pipelines.session import Session
from pipelines.settings import StoreConfig
from pipelines.store import open_store
from pipelines.worker import FitTask, begin
from tests.pipelines.test_fit import settings
from tests.pipelines.toy import Faults, make_toy

pytestmark = pytest.mark.usefixtures("group")


class Call:
    """Its pickle makes a file when it is read."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (str(self.marker), "w")


def begun(folder: Path, stage: int, checkpoint: Path | None, monkeypatch: pytest.MonkeyPatch) -> Session:
    """Begin a worker of one, from a checkpoint if there is one."""
    found = None if checkpoint is None else ray.train.Checkpoint.from_directory(str(checkpoint))
    monkeypatch.setattr(ray.train, "get_checkpoint", lambda: found)
    store = open_store(StoreConfig(root=str(folder / "store")))
    task = FitTask("toy", "toy", store, settings(1, stage).model_copy(update={"steps": 2}), partial(make_toy, Faults()))
    return begin(task, torch.device("cpu"), 0, 1)


def saved(folder: Path, stage: int, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Train for two steps, and return the checkpoint."""
    session, place = begun(folder, stage, None, monkeypatch), folder / "saved"
    run(session)
    monkeypatch.setattr(ray.train, "report", lambda _, checkpoint: shutil.copytree(checkpoint.path, place))
    save(session, 0, 1)
    return place


@pytest.mark.parametrize(("before", "now"), [(0, 0), (1, 1), (3, 3), (1, 3), (3, 2)])
def test_a_planted_call_is_refused_unmade(
    before: int, now: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint, marker = saved(tmp_path, before, monkeypatch), tmp_path / "marker"
    files = sorted(checkpoint.rglob("*.pt"))
    assert len(files) == (2 if before == 0 else 3)
    for file in files:
        good = file.read_bytes()
        torch.save(torch.load(file, weights_only=False) | {"more": Call(marker)}, file)
        with pytest.raises(UsageError, match=r"saved: got a pickle that calls io\.open, wanted .*; none of it was run"):
            begun(tmp_path, now, checkpoint, monkeypatch)
        assert not marker.exists()
        torch.load(file, weights_only=False)  # as DeepSpeed would
        marker.unlink()
        file.write_bytes(good)
    assert begun(tmp_path, now, checkpoint, monkeypatch).step == 2


def test_what_was_converted_is_not_run_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint, marker = saved(tmp_path, 1, monkeypatch), tmp_path / "marker"
    begun(tmp_path, 3, checkpoint, monkeypatch)
    (file,) = (tmp_path / "store" / "runs" / "toy" / "universal").rglob("optimizer_state.pt")
    torch.save(torch.load(file, weights_only=False) | {"more": Call(marker)}, file)
    with pytest.raises(UsageError, match=r"got a pickle that calls io\.open"):
        begun(tmp_path, 3, checkpoint, monkeypatch)
    assert not marker.exists()


def test_what_is_no_pickle_of_torch_is_named_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = saved(tmp_path, 1, monkeypatch)
    (checkpoint / "progress.pt").write_text("<html>")
    with pytest.raises(UsageError, match=r"saved: got a file that is no pickle of torch, wanted tensors"):
        begun(tmp_path, 1, checkpoint, monkeypatch)


@pytest.mark.parametrize("before", [None, "0"])
def test_the_process_reads_afterwards_as_before(before: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    monkeypatch.delenv(name, raising=False)
    if before is not None:
        monkeypatch.setenv(name, before)
    allowed = torch.serialization.get_safe_globals()
    with data_only():
        assert os.environ[name] == "1"
    assert os.environ.get(name) == before
    assert torch.serialization.get_safe_globals() == allowed
