"""How a job's throughput grows with workers, and what an item costs the driver: stand-in stages on a real Ray.

`python -m benchmarks.scaling` prints a table; `--quick` takes small sizes, which reach no bar and show that all of it
runs. Workers are fractions of the CPUs here, and sleep: what is measured is the scheduler, not the machine.
"""

import argparse
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.figures import CPUS, Figure, peak_gib, resident_gib, run_python, show
from benchmarks.stand_in import StandIn, run_stand_ins
from pipelines.intake import SESSION
from pipelines.ray_session import ray_session
from pipelines.settings import RayConfig, Resources

RAY = RayConfig(cpus=len(CPUS))


def efficiency(place: Path, workers: tuple[int, int], seconds: float, rounds: int, repeats: int) -> list[Figure]:
    """Measure `rounds` items a worker with few workers and with many, in turn, in one Ray session.

    Efficiency is the throughput of a worker among many, over that of one among few.
    """
    rates: dict[int, list[float]] = {count: [] for count in workers}
    with ray_session(RAY):
        stages = {count: [StandIn(seconds, Resources(cpus=len(CPUS) / count))] for count in workers}
        run_stand_ins(place / "warm", 2 * max(workers), stages[max(workers)], RAY)  # starts the processes
        for repeat in range(repeats):
            for count in workers:
                taken = run_stand_ins(place / f"{count}-{repeat}", rounds * count, stages[count], RAY)
                rates[count].append(rounds / taken)
    few, many = workers
    found = median(large / small for small, large in zip(rates[few], rates[many], strict=True))
    alone = ", ".join(f"{count} workers {median(rates[count]) * seconds:.0%} busy" for count in workers)
    what = f"efficiency of {many} workers, from {few}; a stage of {seconds:g} s, {rounds} items a worker"
    return [Figure("a", what, found, 0.9, least=True, floor=alone)]


_CALL = """
import sys
from pathlib import Path
from pipelines.allocator import lean_memory

lean_memory()  # as `equivdm` does
from benchmarks.scaling import drive

print(*drive(Path(sys.argv[1]), int(sys.argv[2])))
"""


def drive(place: Path, items: int) -> tuple[float, ...]:
    """Run items that take no time on 16 workers.

    Return the seconds of the run, Ray's start left out; the process's peak of memory (GiB) when the first execution of
    Ray Data had ended, and when all had; and what it has then, likewise.
    """
    stages, held = [StandIn(0.0, Resources(cpus=len(CPUS) / 16))], list[tuple[float, float]]()
    with ray_session(RAY):
        run_stand_ins(place / "warm", 32, stages, RAY)
        seconds = run_stand_ins(place / "run", items, stages, RAY, lambda: held.append((peak_gib(), resident_gib())))
    first, last = held[min(1, len(held) - 1)], (peak_gib(), resident_gib())
    return seconds, first[0], last[0], first[1], last[1]


def driver(place: Path, items: int) -> list[Figure]:
    """Measure what one more item costs the driver in memory, after those of one execution, and all of it in time.

    At its peaks, to which Ray Data's statistics of an execution add, which come and go; and what stays.
    """
    seconds, *held = map(float, run_python(_CALL, str(place), str(items)).output.split()[-5:])

    def growth(first: float, last: float) -> dict[str, Any]:
        kib = (last - first) * 2**20 / max(1, items - SESSION)
        return {"measured": kib, "wanted": 1, "floor": f"{first:.3f} GiB, then {last:.3f}"}

    sizes = f"({SESSION:,} to {items:,} items)"
    return [
        Figure("b", f"driver's memory at its peaks, KiB an item {sizes}", **growth(*held[:2])),
        Figure("b", f"driver's memory that stays, KiB an item {sizes}", **growth(*held[2:])),
        Figure("b", "items of no length a second, one step each, 16 workers", items / seconds),
    ]


def measure(only: str, quick: bool) -> list[Figure]:
    """Return the figures of the cases in `only`, such as "a,b"."""
    figures = []
    for case in only.split(","):
        with tempfile.TemporaryDirectory(prefix="equivdm-benchmark-") as folder:
            place = Path(folder)
            if case == "a":
                figures += efficiency(place, (1, 2), 0.05, 4, 1) if quick else efficiency(place, (2, 16), 1.0, 30, 3)
            else:
                figures += driver(place, 60 if quick else 100_000)
    return figures


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="How throughput grows with workers, and what an item costs.")
    parser.add_argument("--only", default="a,b", help="cases, such as a,b")
    parser.add_argument("--quick", action="store_true", help="small sizes: that it runs, no figures")
    options = parser.parse_args()
    show(measure(options.only, options.quick))


if __name__ == "__main__":
    main()
