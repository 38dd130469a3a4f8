"""What a run costs that has nothing to do, and a plan of a very large source: time and memory of the driver."""

import time
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import write_deltalake

from benchmarks.figures import Figure, run_python
from pipelines.batch import count
from pipelines.config import PreprocessJob
from pipelines.manifest import layout_of, manifest_keys, unknown_videos
from pipelines.preprocess import inputs, run
from pipelines.schemas import MANIFEST
from pipelines.settings import SourceConfig, StoreConfig
from pipelines.sources import list_videos
from pipelines.store import Store, open_store

PER_FOLDER = 1000

_CALL = """
import sys
from pathlib import Path
from {module} import {name} as call
from pipelines.config import PreprocessJob

print(*call(PreprocessJob.model_validate_json(Path(sys.argv[1]).read_text())).values())
"""


def run_counts(job: PreprocessJob) -> Mapping[str, int]:
    """Run a job and return what it counted."""
    return run(job).counts


def plan_counts(job: PreprocessJob) -> Mapping[str, int]:
    """Count as a plan does: list the source, find the videos that were never probed, and add up the windows."""
    store, videos = open_store(job.store), list_videos(job.source)
    unknown = unknown_videos(store, job, videos)
    table, items = inputs(job, store, videos)
    return {**count(items.keys, table.states()), "unknown": len(unknown)}


def no_op_run(place: Path, items: int, files: int) -> list[Figure]:
    """Measure `preprocess.run` over items that are all finished, in tables of so many data files each."""
    make_files(place / "videos", items)
    job = _job(place, SourceConfig(root=str(place / "videos")))
    store = open_store(job.store)
    started = time.monotonic()
    finish_all(store, job, -(-items // files))
    commit_ms = 1000 * (time.monotonic() - started) / (2 * files)
    start = run_python("import pipelines.preprocess")
    ran = run_python(_CALL.format(module=__name__, name="run_counts"), _spec(place, job))
    _check(ran.output, [items, items, 0, 0, 0, 0])
    sizes = f"{items:,} items, {len(store.table('clips').files())} data files a table"
    return [
        Figure("b", f"no-op run, s ({sizes})", ran.seconds, 60, floor=f"imports {start.seconds:.1f} s"),
        Figure("b", "no-op run, peak GiB", ran.peak_gib, 2, floor=f"imports {start.peak_gib:.2f} GiB"),
        Figure("b", "a commit into these tables, ms", commit_ms),
    ]


def plan_of_many(place: Path, videos: int, windows: int) -> list[Figure]:
    """Measure the counting of a plan, of a Parquet list of videos, each with so many windows, of which none is done."""
    make_files(place / "videos", videos)
    names = [_name(number) for number in range(videos)]
    listed = {"path": names, "caption": [f"a caption of {name}" for name in names], "licence": ["cc0"] * videos}
    pq.write_table(pa.table(listed), place / "videos.parquet")
    source = SourceConfig(root=str(place / "videos"), manifest=str(place / "videos.parquet"))
    job = _job(place, source)
    write_windows(open_store(job.store), job, windows)
    start = run_python("import pipelines.preprocess")
    ran = run_python(_CALL.format(module=__name__, name="plan_counts"), _spec(place, job))
    items = videos * windows
    _check(ran.output, [items, 0, 0, 0, items, 0])
    floor = f"{_hash_seconds() * items:.0f} s for the keys' sha256"
    return [
        Figure("c", f"plan of {items:,} windows of {videos:,} videos, s", ran.seconds, 300, floor=floor),
        Figure("c", "its peak GiB", ran.peak_gib, 6, floor=f"imports {start.peak_gib:.2f} GiB"),
    ]


def make_files(folder: Path, count: int) -> None:
    """Make empty files that are named like videos."""
    for number in range(count):
        path = folder / _name(number)
        if number % PER_FOLDER == 0:
            path.parent.mkdir(parents=True)
        path.touch()


def finish_all(store: Store, job: PreprocessJob, rows: int) -> None:
    """Settle the source's items as a run would, one window a video: `rows` of them a commit."""
    videos = list_videos(job.source)
    videos = videos.append_column("key", manifest_keys(videos, layout_of(job)))
    manifest = store.table("manifest")
    for start in range(0, len(videos), rows):
        manifest.append(_windows(videos.slice(start, rows), 1, layout_of(job)).to_pylist())
    clips, items = inputs(job, store)
    for batch in items.batches():
        for start in range(0, len(batch), rows):
            clips.append([{**row, "outcome": "done", "attempt": 1} for row in batch.slice(start, rows).to_pylist()])


def write_windows(store: Store, job: PreprocessJob, windows: int, videos_a_file: int = 5000) -> None:
    """Write the manifest of the source's videos, each with so many windows."""
    videos = list_videos(job.source)
    videos = videos.append_column("key", manifest_keys(videos, layout_of(job)))
    for start in range(0, len(videos), videos_a_file):
        rows = _windows(videos.slice(start, videos_a_file), windows, layout_of(job))
        write_deltalake(store.table("manifest").url, rows, mode="append")


def _windows(videos: pa.Table, windows: int, layout: str) -> pa.Table:
    """Return the manifest's rows of sound videos, as `probe_video` would give them."""
    count = len(videos) * windows
    taken = videos.take(pa.array(np.repeat(np.arange(len(videos)), windows)))
    numbers = np.tile(np.arange(windows), len(videos))
    pairs = zip(taken["key"].to_pylist(), numbers, strict=True)
    contents = [sha256(f"{key} {number}".encode()).hexdigest() for key, number in pairs]
    said = {name: taken[name] for name in ("key", "source", "path", "caption", "metadata")}
    said |= {"video": taken["key"], "content": pa.array(contents), "window": pa.array(numbers)}
    frames = (17 * numbers[:, None] + np.arange(17)).astype(np.int32)
    said["indices"] = pa.FixedSizeListArray.from_arrays(pa.array(frames.ravel()), 17)
    same = {"shot": 0, "fps": 25.0, "source_frames": 17 * windows, "frames": 17, "height": 480, "width": 832}
    same |= {"outcome": "done", "attempt": 1, "layout": layout, "run": "20261123T000000Z-00000000"}
    said |= {name: pa.repeat(value, count) for name, value in same.items()}
    columns = [said.get(field.name, pa.nulls(count)).cast(field.type) for field in MANIFEST]
    return pa.table(columns, schema=MANIFEST)


def _name(number: int) -> str:
    return f"{number // PER_FOLDER:06d}/{number:09d}.mp4"


def _job(place: Path, source: SourceConfig) -> PreprocessJob:
    return PreprocessJob(source=source, store=StoreConfig(root=str(place / "store")))


def _spec(place: Path, job: PreprocessJob) -> str:
    path = place / "job.json"
    path.write_text(job.model_dump_json())
    return str(path)


def _check(output: str, wanted: list[int]) -> None:
    """Raise RuntimeError where a job counted other items than there are."""
    got = [int(word) for word in output.split()]
    if got != wanted:
        raise RuntimeError(f"got the counts {got}, wanted {wanted}: the job did something else than was to be measured")


def _hash_seconds(times: int = 100_000) -> float:
    """Return the seconds of one sha256 of as many bytes as name a clip."""
    text = b"x" * 200
    started = time.perf_counter()
    for _ in range(times):
        sha256(text).hexdigest()
    return (time.perf_counter() - started) / times
