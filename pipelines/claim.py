"""A claim on a folder of the store, such as a training's checkpoints: one run at a time works there.

Items need none, as each is settled once. A training writes one thing after the other under names that do not say whose
they are: two would take each other's checkpoints, and the second to end would put its weights in the place of those
that the first has recorded.

A claim is a small file which its holder writes again every few seconds. One that stays as it is for a minute is over,
and so is one of a process of this machine that is gone: who comes then makes the file of the next number, which one of
several can. No clock is compared with another one's.
"""

import json
import logging
import os
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, cast
from uuid import uuid4

import psutil

from equivdm.errors import Claimed, StoreUnwell
from pipelines.exclusive import create
from pipelines.patience import FAULTS, patiently
from pipelines.store import Store

BEAT_S = 10.0
"""Seconds after which a holder writes its claim again."""

OVER_S = 60.0
"""Seconds after which a claim that was not written again is over."""

logger = logging.getLogger(__name__)


class Holder(NamedTuple):
    """Who has a claim, as its file says."""

    claim: str
    """No two have the same."""
    host: str
    machine: str | None
    """The machine since it was started, and the processes that can be seen there."""
    pid: int
    born: float
    since: str
    heard: str
    """When the claim was last written, for people: by this machine's clock."""
    beats: int = 0
    """How often it was written again."""

    def __str__(self) -> str:
        """Say who it is."""
        return f"process {self.pid} on {self.host}, since {self.since}, last heard of {self.heard}"

    @property
    def is_gone(self) -> bool:
        """Whether it was a process of this machine, and is no more."""
        if self.machine is None or self.machine != _machine():
            return False
        try:
            process = psutil.Process(self.pid)
            return process.create_time() != self.born or process.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True


@dataclass(frozen=True)
class ClaimFiles:
    """The files of the claims on a folder: the one with the highest number counts."""

    store: Store
    folder: str
    """Below the store's root."""

    def latest(self) -> int:
        """Return the highest number, 0 where there is no claim."""
        return patiently(self.store.url, lambda: max(self._numbers(), default=0))

    def read(self, number: int) -> Holder | None:
        """Return who has a claim; None where it was released."""
        try:
            text = patiently(self.store.url, lambda: self.store.filesystem.cat_file(self._path(number)))
        except FileNotFoundError:
            return None
        return Holder(**json.loads(cast(bytes, text)))

    def create(self, number: int, holder: Holder) -> bool:
        """Make a claim, and say whether it is this holder's."""
        path, text = self._path(number), json.dumps(holder._asdict()).encode()
        try:
            patiently(self.store.url, lambda: create(self.store.filesystem, path, text))
        except FileExistsError:  # another run was faster; or the answer to this one was lost
            found = self.read(number)
            return found is not None and found.claim == holder.claim
        return True

    def write(self, number: int, holder: Holder) -> None:
        """Write a claim again."""
        with tempfile.TemporaryDirectory(prefix="equivdm-") as local:
            Path(local, "claim").write_text(json.dumps(holder._asdict()), encoding="utf-8")
            self.store.put(f"{local}/claim", self.folder, self._name(number))

    def remove(self, number: int) -> None:
        """Remove a claim."""
        with suppress(FileNotFoundError):
            self.store.filesystem.rm_file(self._path(number))

    def _numbers(self) -> list[int]:
        with suppress(FileNotFoundError):
            listed = self.store.filesystem.ls(self.store.path(self.folder), detail=False)
            names = [path.rpartition("/")[2].removesuffix(".json") for path in listed]
            return [int(name) for name in names if name.isdigit()]
        return []

    def _path(self, number: int) -> str:
        return self.store.path(self.folder, self._name(number))

    @staticmethod
    def _name(number: int) -> str:
        return f"{number:06d}.json"


class Claim:
    """A claim that this process holds."""

    def __init__(self, files: ClaimFiles, what: str, number: int, holder: Holder, beat_s: float) -> None:
        """Renew it from now on. `what` says what is claimed, for people."""
        self._files, self._what, self._number, self._holder, self._beat_s = files, what, number, holder, beat_s
        self._taker: str | None = None
        self._released = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="claim", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raise Claimed where another run has taken the claim over, since this one was not heard of."""
        if self._taker is not None:
            raise Claimed(
                f"{self._what}: this run was not heard of for a while, and another one went on in its place "
                f"({self._taker}): run the same command when that one has ended"
            )

    def release(self) -> None:
        """Let others have it."""
        self._released.set()
        self._thread.join()
        if self._taker is None:
            with suppress(*FAULTS, StoreUnwell):  # then it is over in a while
                self._files.remove(self._number)

    def _renew(self) -> None:
        while not self._released.wait(self._beat_s):
            with suppress(*FAULTS, StoreUnwell):  # the next time will tell
                latest = self._files.latest()
                if latest != self._number:
                    self._taker = str(self._files.read(latest) or "it has ended")
                    return
                self._holder = self._holder._replace(beats=self._holder.beats + 1, heard=_now())
                self._files.write(self._number, self._holder)


def training(key: str) -> str:
    """Return the folder of claims on the training of a model, below the store's root."""
    return f"runs/{key}/claim"


@contextmanager
def claimed(store: Store, folder: str, what: str, beat_s: float = BEAT_S, over_s: float = OVER_S) -> Iterator[Claim]:
    """Hold the claim on a folder of the store while the block runs, and renew it every `beat_s` seconds.

    Raises Claimed where another run has it; that takes a while. One that was not renewed for `over_s` is taken over.
    """
    files, holder = ClaimFiles(store, folder), _this_process()
    claim = Claim(files, what, _take(files, what, holder, over_s), holder, beat_s)
    try:
        yield claim
    finally:
        claim.release()


def _take(files: ClaimFiles, what: str, holder: Holder, over_s: float) -> int:
    """Make a claim and return its number."""
    while True:
        latest = files.latest()
        if latest:
            _wait_for_end(files, what, latest, over_s)
        if files.create(latest + 1, holder):
            if latest:
                files.remove(latest)
            return latest + 1


def _wait_for_end(files: ClaimFiles, what: str, number: int, over_s: float) -> None:
    """Return when a claim is over. Raises Claimed where its holder still renews it."""
    first = files.read(number)
    if first is None or first.is_gone:
        return
    logger.warning("%s: %s, was at work on it; looking for %.0f s whether it still is", what, first, over_s)
    until = time.monotonic() + over_s
    while time.monotonic() < until:
        time.sleep(over_s / 60)
        now = files.read(number)
        if now is None:
            return
        if now != first:
            raise Claimed(
                f"{what}: got another run that is at work on it ({now}), wanted one at a time: follow that one, or "
                "stop it and run the same command"
            )


def _this_process() -> Holder:
    process, now = psutil.Process(), _now()
    return Holder(uuid4().hex, socket.gethostname(), _machine(), process.pid, process.create_time(), now, now)


def _now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _machine() -> str | None:
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip() + os.readlink("/proc/self/ns/pid")
    return None
