"""Probing and decoding in a process of their own, so that no file can crash, hang or swell the caller.

The child is started with `python -m equivdm.video.worker` and spoken to over pipes, not with multiprocessing (or
pebble, which stands on it): its spawn would import the caller's main module again (a Ray worker's, or a user's script
without a guard), and its fork would inherit threads and locks of Ray and torch.
"""

import os
import pickle
import selectors
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from equivdm.arrays import Frames
from equivdm.config import DecodeConfig, ShotsConfig
from equivdm.errors import DecoderCrashed, DecoderStopped, DecoderTimeout
from equivdm.video.decode import decode
from equivdm.video.frame import Shape
from equivdm.video.probe import VideoInfo, probe
from equivdm.video.shots import Shot, find_shots, score_video
from equivdm.video.worker import ERROR, HEADER, PART

Result = TypeVar("Result")

_FAREWELL_S = 5.0
"""Seconds in which a killed process is expected to be gone."""


@dataclass(frozen=True)
class Survey:
    """What decides the windows of a video."""

    info: VideoInfo
    """Size and time stamps."""
    shots: tuple[Shot, ...]
    """Runs of frames without a cut, in order."""


class Sandbox:
    """A decoder process that is kept between calls and renewed after a crash.

    Calls of several threads run one after another. The process ends with `close`, or with the process that made it,
    even if that one is killed.
    """

    def __init__(self, limits: DecodeConfig) -> None:
        self._limits = limits
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None

    def probe(self, path: str) -> VideoInfo:
        """Run `equivdm.video.probe.probe`; raises what it raises, and DecoderStopped."""
        return self.call(probe, path)

    def decode(self, path: str, indices: Sequence[int], size: Shape) -> Frames:
        """Run `equivdm.video.decode.decode`; raises what it raises, and DecoderStopped."""
        return self.call(decode, path, list(indices), size)

    def survey(self, path: str, config: ShotsConfig) -> Survey:
        """Probe a video and find its shots. The time limit holds for each block of frames, not for the whole video.

        Raises what `equivdm.video.probe.probe` raises, and DecoderStopped.
        """
        info = self.probe(path)
        scores = [] if config.kind == "none" else list(self.stream(score_video, path))
        return Survey(info, find_shots(scores, len(info.timestamps), config))

    def call(self, function: Callable[..., Result], *arguments: object) -> Result:
        """Run a function of an importable module in the child.

        Raises:
            DecoderStopped: DecoderCrashed, DecoderTimeout, DecoderMemory where the child ends, runs past `timeout_s` or
                passes `memory_mib`. The next call gets a new child.
            ItemError, ValueError, OSError: where the function raises them.
        """
        with self._turn(function, arguments) as child:
            kind, result = self._answer(child)
        if kind == ERROR:
            raise result
        return result

    def stream(self, function: Callable[..., Iterator[Result]], *arguments: object) -> Generator[Result]:
        """Run a generator function in the child and yield what it yields, as it comes.

        `timeout_s` limits each part, so that work may be long and a hang is stopped all the same. No other call gets
        its turn until the last part is taken; a caller that takes no more parts ends the child.

        Raises:
            DecoderStopped, ItemError, ValueError, OSError: as `call` does.
        """
        with self._turn(function, arguments) as child:
            while (answer := self._answer(child))[0] == PART:
                yield answer[1]
        if answer[0] == ERROR:
            raise answer[1]

    def close(self) -> None:
        """End the child. The sandbox can be used again."""
        with self._lock:
            self._stop()

    @contextmanager
    def _turn(self, function: Callable[..., Any], arguments: tuple[object, ...]) -> Iterator[subprocess.Popen[bytes]]:
        with self._lock, ExitStack() as interrupted:
            # A child that was interrupted would answer the next call with this one's result.
            interrupted.callback(self._stop)
            request = pickle.dumps((function, arguments))
            yield self._send(HEADER.pack(len(request)) + request)
            interrupted.pop_all()

    def _answer(self, child: subprocess.Popen[bytes]) -> tuple[str, Any]:
        deadline = time.monotonic() + self._limits.timeout_s
        (size,) = HEADER.unpack(self._read(child, HEADER.size, deadline))
        return pickle.loads(self._read(child, size, deadline))

    def _send(self, request: bytes) -> subprocess.Popen[bytes]:
        if self._child is not None and self._child.poll() is None and self._child.stdin is not None:
            # A child that ended between two calls is no fault of this one: it gets another.
            with suppress(BrokenPipeError):
                self._child.stdin.write(request)
                return self._child
        self._stop()
        child = self._start()
        assert child.stdin is not None
        child.stdin.write(request)
        return child

    def _read(self, child: subprocess.Popen[bytes], size: int, deadline: float) -> bytearray:
        assert child.stdout is not None
        data = bytearray()
        with selectors.DefaultSelector() as selector:
            selector.register(child.stdout, selectors.EVENT_READ)
            while len(data) < size:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    raise self._late()
                part = os.read(child.stdout.fileno(), min(size - len(data), 1 << 20))
                if not part:
                    raise self._ended(child, deadline)
                data += part
        return data

    def _late(self) -> DecoderTimeout:
        return DecoderTimeout(
            f"the decoder took more than {self._limits.timeout_s:g} s and was stopped: raise decode.timeout_s if it may"
        )

    def _ended(self, child: subprocess.Popen[bytes], deadline: float) -> DecoderStopped:
        try:
            code = child.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            return self._late()
        how = f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
        return DecoderCrashed(f"the decoder {how} (its memory limit is {self._limits.memory_mib} MiB)")

    def _start(self) -> subprocess.Popen[bytes]:
        environment = {
            **os.environ,
            # A Ray worker's path may come from its job, not from the environment.
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        }
        limits = [str(self._limits.memory_mib), str(self._limits.timeout_s)]
        command = [sys.executable, "-m", "equivdm.video.worker", *limits]
        self._child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, bufsize=0
        )
        return self._child

    def _stop(self) -> None:
        if self._child is None:
            return
        self._child.kill()
        # A process that waits in the kernel (a dead network drive) ends later, and nobody waits for it.
        with suppress(subprocess.TimeoutExpired):
            self._child.wait(_FAREWELL_S)
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe is not None:
                pipe.close()
        self._child = None
