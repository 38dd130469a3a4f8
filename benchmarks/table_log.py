"""What a writer keeps of a table's log, and what a commit takes: this project's way beside deltalake's.

`python -m benchmarks.table_log` prints a table; `--quick` takes small sizes, which show that all of it runs.
"""

import argparse
import hashlib
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from benchmarks.figures import Figure, run_python, show
from pipelines.delta_actions import add_action
from pipelines.delta_log import Receipt
from pipelines.schemas import SCHEMAS
from pipelines.store import open_folder
from pipelines.tables import Table

TABLE, AT_ONCE, COMMITS = "looks", 400, 10


def build(place: Path, files: int) -> None:
    """Make a table whose log names so many data files, a row each. They are not there themselves."""
    table = open_folder(str(place)).table(TABLE)
    for first in range(0, files, 5_000):
        table.commit(_receipts(first, min(files, first + 5_000)))


def ours(place: Path) -> float:
    """Commit to the table as a run does; return the seconds of a commit, the first, which reads the log, left out."""
    table: Table = open_folder(str(place)).table(TABLE)
    return _commits(table.commit)


def deltalake(place: Path) -> float:
    """The same by the library: its table is brought up to date before each commit. It looks for no key."""
    from deltalake import CommitProperties, DeltaTable
    from deltalake.transaction import AddAction

    table = DeltaTable(str(place / TABLE))

    def commit(receipts: list[Receipt]) -> None:
        lines = [add_action(receipt.file, receipt.bytes, 1, receipt.key)["add"] for receipt in receipts]
        actions = [
            AddAction(add["path"], add["size"], {}, add["modificationTime"], True, add["stats"]) for add in lines
        ]
        table.update_incremental()
        table.create_write_transaction(
            actions,  # type: ignore[arg-type]
            mode="append",
            schema=SCHEMAS[TABLE],
            commit_properties=CommitProperties(max_commit_retries=0),
        )

    return _commits(commit)


def _commits(commit: Callable[[list[Receipt]], object]) -> float:
    seconds = list[float]()
    for number in range(1, COMMITS + 2):
        receipts = _receipts(-AT_ONCE * (number + 1), -AT_ONCE * number)
        started = time.perf_counter()
        commit(receipts)
        seconds.append(time.perf_counter() - started)
    return median(seconds[1:])


def _receipts(first: int, last: int) -> list[Receipt]:
    keys = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(first, last)]
    return [Receipt(TABLE, key, f"{key[:16]}-{key[::-1]}.parquet", 5_000) for key in keys]


_CALL = """
import sys
from pathlib import Path
from pipelines.allocator import lean_memory

lean_memory()  # as `equivdm` does
from benchmarks import table_log

print(getattr(table_log, sys.argv[2])(Path(sys.argv[1])))
"""


def measure(files: int) -> list[Figure]:
    """Return the figures for a log of so many data files, each way with a copy of the same table."""
    ran = {}
    for way in ("ours", "deltalake"):
        for size in (100, files):
            with tempfile.TemporaryDirectory(prefix="equivdm-benchmark-") as folder:
                build(Path(folder), size)
                ran[way, size] = run_python(_CALL, folder, way)
    seconds = {way: float(ran[way, files].output.split()[-1]) for way in ("ours", "deltalake")}
    bytes_each = {way: (ran[way, files].peak_gib - ran[way, 100].peak_gib) * 2**30 / files for way in seconds}
    beside = {way: f"{bytes_each[way]:.0f} bytes, {seconds[way]:.3f} s" for way in seconds}
    return [
        Figure(
            "a",
            f"memory a data file, over deltalake's ({files:,} files)",
            bytes_each["ours"] / bytes_each["deltalake"],
            floor=beside["ours"],
        ),
        Figure(
            "b",
            f"seconds of a commit of {AT_ONCE}, over deltalake's",
            seconds["ours"] / seconds["deltalake"],
            floor=beside["deltalake"],
        ),
    ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="What a writer keeps of a table's log, and what a commit takes.")
    parser.add_argument("--files", type=int, default=300_000, help="data files that the log names")
    parser.add_argument("--quick", action="store_true", help="small sizes: that it runs, no figures")
    options = parser.parse_args()
    show(measure(1_000 if options.quick else options.files))


if __name__ == "__main__":
    main()
