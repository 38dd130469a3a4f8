"""From `equivdm submit` to the first stage, and a scheduled run with nothing to do, on a Ray cluster that is there.

`RAY_API_SERVER_ADDRESS=http://HEAD:8265 python -m benchmarks.submission` prints a table; the cluster must see the
folder that `--at` names. `--items` is the size of the run with nothing to do.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.figures import Figure, show
from benchmarks.scale import finish_all, make_files
from equivdm.video.synthetic import render_scene
from equivdm.video.write import write_video
from jobs.specs import load_spec
from pipelines.config import PreprocessJob
from pipelines.store import open_store

RUNS = 3

FILES = 1000
"""Data files of a table, in the run with nothing to do."""


def first_stage(place: Path) -> list[Figure]:
    """Measure from the command to the first stage and to its first item; the first run warms the cluster up."""
    times = []
    for run in range(RUNS + 1):
        folder = place / f"videos{run}"
        folder.mkdir(parents=True)
        write_video(str(folder / "a.mp4"), render_scene(run, frames=13, height=48, width=64).frames, 25.0)
        settings = _settings(place, f"videos{run}", f"store{run}", "clip.frames=6")
        times.append(_submit(settings, (r"probe: \d+ of 1", r"probe: 1 of 1")))
    begun, done = (sorted(column)[RUNS // 2] for column in list(zip(*times[1:], strict=True))[:2])
    return [
        Figure("a", f"submit to the first stage, s (median of {RUNS})", begun, 20),
        Figure("a", "submit to the first item of the first stage, s", done),
    ]


def no_op(place: Path, items: int) -> list[Figure]:
    """Measure a submitted run over so many finished items, from the command to its end."""
    make_files(place / "videos", items)
    settings = _settings(place, "videos", "store")
    job = load_spec("tiny_preprocess", settings)
    assert isinstance(job, PreprocessJob)
    finish_all(open_store(job.store), job, -(-items // FILES))
    *_, whole = _submit(settings, (rf"{items} inputs = {items} done .*; 0 new",))
    return [Figure("b", f"a submitted run with nothing to do, s ({items:,} items)", whole, 90)]


def _settings(place: Path, videos: str, store: str, *more: str) -> list[str]:
    return [f"source.root={place / videos}", f"store.root={place / store}", *more]


def _submit(settings: Sequence[str], patterns: Sequence[str]) -> list[float]:
    """Submit a preprocess job, and return the seconds to a line of each pattern, and to the end.

    Raises RuntimeError where it fails, or a line did not come.
    """
    command = [sys.executable, "-m", "jobs.cli", "submit", "preprocess", "tiny_preprocess"]
    command += [part for setting in settings for part in ("--set", setting)]
    started, seen, lines = time.monotonic(), dict[str, float](), list[str]()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            for pattern in patterns:
                if re.search(pattern, line):
                    seen.setdefault(pattern, time.monotonic() - started)
    if process.returncode or len(seen) < len(patterns):
        raise RuntimeError(f"got exit code {process.returncode} and {lines[-5:]}, wanted lines of {patterns}")
    return [*(seen[pattern] for pattern in patterns), time.monotonic() - started]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="From submit to the first stage, and a run with nothing to do.")
    parser.add_argument("--items", type=int, default=100_000, help="of the run with nothing to do (default: 100,000)")
    parser.add_argument("--at", help="folder to write below, which the cluster sees")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="equivdm-benchmark-", dir=options.at) as place:
        show([*first_stage(Path(place, "a")), *no_op(Path(place, "b"), options.items)])


if __name__ == "__main__":
    main()
