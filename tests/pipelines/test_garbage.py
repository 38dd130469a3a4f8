"""Files that nothing names go, all others stay: in a folder and on S3."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from torch import nn

from pipelines import garbage
from pipelines.delta_log import DeltaLog, Receipt
from pipelines.garbage import Orphan, collect, orphans
from pipelines.identity import item_key
from pipelines.models import save_weights
from pipelines.schemas import to_tensor
from pipelines.settings import StoreConfig
from pipelines.store import Store, open_store
from pipelines.tables import Table
from tests.pipelines.fit_cases import fit_config, train_job
from tests.pipelines.test_models import finish


def part(table: Table, name: str, value: float = 0.0) -> Receipt:
    return table.write({"key": name, "latents": to_tensor(np.full(3, value, np.float16))})


def paths(found: list[Orphan]) -> list[str]:
    return [file.path for file in found]


def lay(store: Store, *parts: str) -> None:
    """Write a file of some bytes."""
    store.filesystem.makedirs(os.path.dirname(store.path(*parts)), exist_ok=True)
    store.filesystem.pipe_file(store.path(*parts), b"bytes")


def everything(store: Store) -> set[str]:
    return {path.removeprefix(f"{store.root}/") for path in store.filesystem.find(store.root)}


def test_a_store_of_whole_jobs_has_no_orphans(store: Store) -> None:
    latents = store.table("latents")
    latents.commit([part(latents, "a")])
    store.table("clips").append([{"key": "c", "outcome": "done", "attempt": 1}])
    finish(store, item_key("m"), train_job(store.root, fit_config()))
    assert orphans(store, 0) == []


def test_of_a_log_goes_what_a_checkpoint_has_replaced_for_a_month(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    latents = store.table("latents")
    log = DeltaLog("latents", latents.folder, store.filesystem)
    for number, name in enumerate("abcd"):
        latents.commit([part(latents, name)])
        if number % 2:
            log.write_checkpoint()
    assert orphans(store, 0) == []
    monkeypatch.setattr(garbage, "_MONTH_S", 0.0)
    found = orphans(store, 0)
    needless = ("0.json", "1.checkpoint.parquet", "1.json", "2.json")
    assert paths(found) == [f"latents/_delta_log/{'0' * 19}{name}" for name in needless]
    assert collect(store, found) == found
    fresh = replace(store, _tables={}).table("latents")
    assert [row["key"] for row in fresh.rows(["key"])] == list("abcd")
    assert set(latents.states()) == set("abcd")


def test_what_lost_to_another_run_is_deleted_and_what_the_log_names_stays(store: Store) -> None:
    latents = store.table("latents")
    won, lost = part(latents, "a"), part(latents, "a", 1.0)
    latents.commit([won])
    latents.commit([lost])
    (found,) = orphans(store, 0)
    assert (found.path, found.bytes) == (f"latents/{lost.file}", lost.bytes)
    assert collect(store, [found]) == [found]
    assert orphans(store, 0) == []
    assert [row["key"] for row in latents.rows(["key"])] == ["a"]


def test_what_is_younger_stays(store: Store) -> None:
    latents = store.table("latents")
    part(latents, "a")
    assert orphans(store, 3600) == []


def test_a_file_that_is_committed_between_listing_and_deleting_stays(store: Store) -> None:
    latents = store.table("latents")
    late, lost = part(latents, "a"), part(latents, "b")
    found = orphans(store, 0)
    assert len(found) == 2
    latents.commit([late])
    assert paths(collect(store, found)) == [f"latents/{lost.file}"]
    assert [row["key"] for row in latents.rows(["key"])] == ["a"]
    assert latents.misfits() == []


def test_a_file_that_is_written_anew_between_listing_and_deleting_stays(tmp_path: Path) -> None:
    store = open_store(StoreConfig(root=str(tmp_path)))
    part(store.table("latents"), "a")
    (path,) = (tmp_path / "latents").iterdir()
    os.utime(path, (0, 0))
    found = orphans(store, 3600)
    assert paths(found) == [f"latents/{path.name}"]
    part(store.table("latents"), "a")
    assert collect(store, found) == []


def test_what_another_collector_has_deleted_is_no_error(store: Store) -> None:
    part(store.table("latents"), "a")
    found = orphans(store, 0)
    assert collect(store, found) == found
    assert collect(store, found) == []


def test_the_files_of_a_killed_writer_are_found(tmp_path: Path) -> None:
    """A worker writes parts and dies before any receipt reaches the driver."""
    program = (
        "import os, signal, sys; from pipelines.settings import StoreConfig; from pipelines.store import open_store\n"
        "table = open_store(StoreConfig(root=sys.argv[1])).table('latents')\n"
        "for name in 'ab': table.write({'key': name})\n"
        "open(os.path.join(sys.argv[1], 'runs.json.0123.partial'), 'w').write('{')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    store = open_store(StoreConfig(root=str(tmp_path)))
    latents = store.table("latents")
    latents.commit([part(latents, "c")])
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    assert done.returncode == -signal.SIGKILL
    found = collect(store, orphans(store, 0))
    assert [path.partition("-")[0] for path in paths(found)] == ["latents/a", "latents/b", "runs.json.0123.partial"]
    assert set(latents.states()) == {"c"}


def test_weights_videos_and_checkpoints_follow_the_tables(store: Store) -> None:
    done, open_ = item_key("done"), item_key("open")
    finish(store, done, train_job(store.root, fit_config()))
    save_weights(store, open_, {}, nn.Identity())
    for key in (done, open_):
        lay(store, "runs", key, "checkpoint_1", "state.pt")
        lay(store, "renders", "set", f"{key}.mp4")
        lay(store, "networks", f"{key}-{'5' * 16}.safetensors")
    for key in (done, open_, item_key("given up")):
        lay(store, "weights", key, "validation", "step_10", "video.mp4")
    lay(store, "runs", "20261123T011204Z-5e0c91ab.json")
    lay(store, "renders", "set", "my_own.mp4")
    lay(store, "networks", "my_own.safetensors")
    lay(store, ".write-probe-0")
    store.table("videos").append([{"key": done, "outcome": "done", "attempt": 1, "file": f"renders/set/{done}.mp4"}])
    network = f"networks/{done}-{'5' * 16}.safetensors"
    store.table("trials").append([{"key": done, "outcome": "done", "attempt": 1, "file": network}])
    before = everything(store)
    found = orphans(store, 0)
    assert set(paths(found)) == {
        ".write-probe-0",
        f"renders/set/{open_}.mp4",
        f"networks/{open_}-{'5' * 16}.safetensors",
        f"runs/{done}/checkpoint_1/state.pt",  # of the model that is finished; the other's are its resume
        f"weights/{open_}/model.safetensors",  # but not what was sampled while it trained, as long as it may go on
        f"weights/{item_key('given up')}/validation/step_10/video.mp4",
    }
    collect(store, found)
    assert everything(store) == before - set(paths(found))


def test_a_store_that_holds_nothing_has_no_orphans(store: Store) -> None:
    assert orphans(store, 0) == []


@pytest.mark.parametrize("name", ["notes.txt", "mine/a.parquet", "weights/readme.txt", "clips/sub/a.parquet"])
def test_what_is_not_the_jobs_own_is_never_touched(store: Store, name: str) -> None:
    lay(store, name)
    assert orphans(store, 0) == []
