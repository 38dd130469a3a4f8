"""One run at a time works where there is a claim, on a disk and on S3; what its holder left is taken over."""

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from equivdm.errors import Claimed, StoreUnwell
from pipelines.claim import Claim, ClaimFiles, claimed
from pipelines.settings import StoreConfig
from pipelines.store import Store, open_store

FOLDER = "runs/some-key/claim"

SOON = {"beat_s": 0.2, "over_s": 4.0}


@pytest.fixture(params=["disk", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "disk":
        return open_store(StoreConfig(root=str(tmp_path)))
    request.getfixturevalue("s3_endpoint")
    return open_store(StoreConfig(root=f"s3://videos/{tmp_path.name}"))


def test_who_comes_second_is_told_who_is_at_work(store: Store) -> None:
    second = claimed(store, FOLDER, "train a", **SOON)
    with claimed(store, FOLDER, "train a", **SOON), pytest.raises(Claimed, match=r"train a: .*process \d+ on"), second:
        pytest.fail("two hold it")
    with claimed(store, FOLDER, "train a", **SOON):
        pass
    assert ClaimFiles(store, FOLDER).latest() == 0


def test_what_is_not_renewed_is_taken_over_and_its_holder_is_told(store: Store) -> None:
    with claimed(store, FOLDER, "train a", beat_s=15.0, over_s=60) as first:  # late enough on a slow machine, too
        started = time.monotonic()
        with claimed(store, FOLDER, "train a", **SOON) as second:
            assert time.monotonic() - started >= SOON["over_s"]
            until = time.monotonic() + 60
            while time.monotonic() < until and not lost(first):
                time.sleep(0.1)
            assert lost(first)
            second.check()
        assert ClaimFiles(store, FOLDER).latest() == 0


def test_a_late_holder_leaves_the_claim_of_who_came_after(store: Store) -> None:
    files = ClaimFiles(store, FOLDER)
    with claimed(store, FOLDER, "train a", beat_s=0.5, over_s=60):
        first = files.read(1)
        assert first is not None
        after = first._replace(claim="another")
        files.create(2, after)
        time.sleep(2)
    assert files.read(2) == after


def test_a_store_that_is_unwell_for_a_while_costs_no_claim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(StoreConfig(root=str(tmp_path)))
    files, find, failed = ClaimFiles(store, FOLDER), ClaimFiles.latest, threading.Event()

    def latest(self: ClaimFiles) -> int:
        if threading.current_thread().name == "claim" and not failed.is_set():
            failed.set()
            raise StoreUnwell("it does not answer")
        return find(self)

    monkeypatch.setattr(ClaimFiles, "latest", latest)
    with claimed(store, FOLDER, "train a", beat_s=0.2) as claim:
        assert failed.wait(30)
        until = time.monotonic() + 30
        while (holder := files.read(1)) is not None and not holder.beats and time.monotonic() < until:
            time.sleep(0.1)
        assert holder is not None
        assert holder.beats
        claim.check()


def test_the_claim_of_a_killed_process_of_this_machine_is_free_at_once(tmp_path: Path) -> None:
    store = open_store(StoreConfig(root=str(tmp_path)))
    code = (
        "import os, sys\n"
        "from pipelines.claim import claimed\n"
        "from pipelines.settings import StoreConfig\n"
        "from pipelines.store import open_store\n"
        f"with claimed(open_store(StoreConfig(root=sys.argv[1])), {FOLDER!r}, 'train a'):\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False).returncode == -9
    started = time.monotonic()
    assert ClaimFiles(store, FOLDER).latest() == 1
    with claimed(store, FOLDER, "train a"):
        assert time.monotonic() - started < 30  # not the minute that a claim is given
        assert [path.name for path in (tmp_path / FOLDER).iterdir()] == ["000002.json"]


def test_of_many_that_come_at_once_one_gets_it(store: Store) -> None:
    start, ended = threading.Barrier(6), threading.Event()

    def come(_: int) -> bool:
        start.wait()
        try:
            with claimed(store, FOLDER, "train a", beat_s=0.1, over_s=10):
                return ended.wait(60)
        except Claimed:
            return False

    with ThreadPoolExecutor(6) as pool:
        coming = [pool.submit(come, number) for number in range(6)]
        while sum(each.done() for each in coming) < 5:
            time.sleep(0.1)
        ended.set()
        assert sorted(each.result() for each in coming) == 5 * [False] + [True]


def lost(claim: Claim) -> bool:
    try:
        claim.check()
    except Claimed:
        return True
    return False
