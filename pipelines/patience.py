"""Patience with a store that is unwell: what its client has given up is tried again a few times, for seconds.

Where that does not help the job ends with one clear line: what was committed is kept, and the same command continues.
"""

import errno
import time
from collections.abc import Callable
from typing import TypeVar

from aiohttp import ClientError
from botocore.exceptions import BotoCoreError

from equivdm.errors import StoreUnwell

Result = TypeVar("Result")

CLIENT_FAULTS = (BotoCoreError, ClientError)
"""What clients of S3 raise where a connection, or an answer's body, breaks off, and which is no OSError."""

FAULTS = (OSError, *CLIENT_FAULTS)
"""What an unwell store raises."""

FINAL = (FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError, PermissionError)
"""Of these, what no waiting helps against."""

_PASSING = frozenset(
    [errno.EAGAIN, errno.EBUSY, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ENOSPC]
)
"""Of what the system says no to: what is full or busy, and will not be for ever. `s3fs` gives 503 the number EBUSY."""

PAUSES_S = (0.2, 1.0, 4.0)
"""Seconds between two tries. The clients have tried for longer by then; this is for what they do not try again."""


class Patience:
    """So many pauses in all, for one thing that is to be done at `place`."""

    def __init__(self, place: str) -> None:
        self._place = place
        self._pauses = iter(PAUSES_S)

    def rest(self, fault: Exception) -> None:
        """Wait after a fault. Raises StoreUnwell where it was the last straw, and the fault where waiting is vain."""
        if isinstance(fault, FINAL):
            raise fault
        pause = next(self._pauses, None)
        if pause is None:
            why = " ".join(str(fault).split())[:400] or type(fault).__name__
            raise StoreUnwell(
                f"{self._place}: the store does not answer as it should ({why}); what was committed is kept: "
                "run the same command again when it is well"
            ) from fault
        time.sleep(pause)


def patiently(place: str, call: Callable[[], Result]) -> Result:
    """Return what a call gives that changes nothing, or nothing more the second time, however often it has to be made.

    Raises StoreUnwell as `Patience.rest` does.
    """
    patience = Patience(place)
    while True:
        try:
            return call()
        except FAULTS as fault:
            patience.rest(fault)


def is_passing(fault: BaseException) -> bool:
    """Whether a fault lies in the store, the network or the machine of the hour, and says nothing of the item."""
    if isinstance(fault, OSError):
        return isinstance(fault, (ConnectionError, TimeoutError)) or fault.errno in _PASSING
    return isinstance(fault, (StoreUnwell, *CLIENT_FAULTS))
