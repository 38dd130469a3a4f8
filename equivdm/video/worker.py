"""The decoder process: reads calls from its standard input, writes results to its standard output (see sandbox.py)."""

import importlib
import os
import pickle
import queue
import resource
import signal
import struct
import sys
import threading
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import cv2

from equivdm.errors import DecoderMemory, ItemError

HEADER = struct.Struct("<Q")
"""Length of the pickle that follows."""

PART, RESULT, ERROR = "part", "result", "error"
"""What an answer is: parts come before the result of a generator function, each with the whole time limit."""

PASSED_ON = (ItemError, ValueError, OSError)
"""What a call may raise and the caller gets; anything else is a fault of this program, and ends the process."""


def serve(memory_mib: int, timeout_s: float) -> None:
    """Answer calls until the input ends, which it does when the caller dies, however it dies.

    Args:
        memory_mib: address space that calls may take on top of the idle process.
        timeout_s: seconds that a call may take, or each part of a generator's.
    """
    # What libraries print must not mix with the answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    calls: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(sys.stdin.fileno(), calls), daemon=True).start()
    # What every call needs belongs to the idle process, not to the first call.
    importlib.import_module("equivdm.video.decode")
    _limit_memory(memory_mib)
    while True:
        function, arguments = pickle.loads(calls.get())
        # The caller enforces the time; the alarm ends a process that a dead caller left busy in foreign code.
        signal.setitimer(signal.ITIMER_REAL, 1.5 * timeout_s)
        for answer in _answers(function, arguments, memory_mib):
            data = pickle.dumps(answer)
            signal.setitimer(signal.ITIMER_REAL, 0)
            answers.write(HEADER.pack(len(data)))
            answers.write(data)
            answers.flush()
            signal.setitimer(signal.ITIMER_REAL, 1.5 * timeout_s)
        signal.setitimer(signal.ITIMER_REAL, 0)


def _answers(function: Any, arguments: tuple[Any, ...], memory_mib: int) -> Iterator[tuple[str, Any]]:
    full = DecoderMemory(f"the decoder passed its memory limit of {memory_mib} MiB: raise decode.memory_mib")
    try:
        result = function(*arguments)
        if isinstance(result, Generator):
            for part in result:
                yield PART, part
            result = None
        yield RESULT, result
    except MemoryError:
        yield ERROR, full
    except cv2.error as error:
        if error.code != cv2.Error.StsNoMem:
            raise
        yield ERROR, full
    except PASSED_ON as error:
        yield ERROR, error


def _receive(requests: int, calls: "queue.SimpleQueue[bytes]") -> None:
    """Read calls as they come, also during one, so that the end of the input is never missed."""
    while header := _read(requests, HEADER.size):
        (size,) = HEADER.unpack(header)
        calls.put(_read(requests, size))
    os._exit(0)


def _read(source: int, size: int) -> bytes:
    """Read so many bytes, or none where the input ends before."""
    data = b""
    while len(data) < size:
        part = os.read(source, size - len(data))
        if not part:
            return b""
        data += part
    return data


def _limit_memory(memory_mib: int) -> None:
    pages = Path("/proc/self/statm")
    # Only Linux counts address space so that a limit on it means anything.
    if pages.exists():
        idle = int(pages.read_text().split()[0]) * resource.getpagesize()
        limit = idle + memory_mib * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    serve(int(sys.argv[1]), float(sys.argv[2]))
