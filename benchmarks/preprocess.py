"""What preprocess must reach, and what it does: throughput, the cost of a run with nothing to do, plans, memory.

`python -m benchmarks.preprocess` prints a table; `--quick` takes small sizes, which reach no bar and show that all of
it runs. Compare ratios: both sides of each are measured in turn, in one run. `--at` names the folder to write below.
"""

import argparse
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks.figures import Figure, show
from benchmarks.memory import long_video
from benchmarks.scale import no_op_run, plan_of_many
from benchmarks.throughput import end_to_end, noise_beside_a_peer

FULL: Mapping[str, Callable[[Path, int, int], list[Figure]]] = {
    "a": lambda place, clips, rounds: end_to_end(place, clips, (480, 832), rounds),
    "b": lambda place, *_: no_op_run(place, items=100_000, files=1000),
    "c": lambda place, *_: plan_of_many(place, videos=1_000_000, windows=10),
    "d": lambda place, *_: long_video(place, 30 * 60, (1080, 1920), clip=(17, (480, 832))),
    "e": lambda *_: noise_beside_a_peer((480, 832), rounds=3),
}

QUICK: Mapping[str, Callable[[Path, int, int], list[Figure]]] = {
    "a": lambda place, *_: end_to_end(place, 2, (64, 96), rounds=1),
    "b": lambda place, *_: no_op_run(place, items=40, files=4),
    "c": lambda place, *_: plan_of_many(place, videos=30, windows=3),
    "d": lambda place, *_: long_video(place, 20, (96, 128), clip=(6, (32, 48))),
    "e": lambda *_: noise_beside_a_peer((64, 96), rounds=1),
}


def measure(only: str, quick: bool, clips: int = 96, rounds: int = 3, at: str | None = None) -> list[Figure]:
    """Return the figures of the cases in `only`, such as "b,c"."""
    figures = []
    for case in only.split(","):
        with tempfile.TemporaryDirectory(prefix="equivdm-benchmark-", dir=at) as place:
            figures += (QUICK if quick else FULL)[case](Path(place), clips, rounds)
    return figures


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="What preprocess must reach, and what it does.")
    parser.add_argument("--only", default="a,b,c,d,e", help="cases, such as b,c")
    parser.add_argument("--quick", action="store_true", help="small sizes: that it runs, no figures")
    parser.add_argument("--clips", type=int, default=96, help="clips of case a; with few, Ray's start weighs more")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of case a, whose medians are shown")
    parser.add_argument("--at", help="folder to write below; the system's own for temporary files where none is given")
    options = parser.parse_args()
    show(measure(options.only, options.quick, options.clips, options.rounds, options.at))


if __name__ == "__main__":
    main()
