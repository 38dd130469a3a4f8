"""Whatever dies or fills up: the same command again finishes, and its rows are those of an undisturbed run."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3
import pytest

from equivdm.errors import EquivdmError
from pipelines import preprocess
from pipelines.config import PreprocessJob
from pipelines.manifest import manifest_keys, probe_video
from pipelines.settings import StoreConfig
from pipelines.sources import list_videos
from pipelines.store import open_store
from tests.faulty_s3 import Weather, faulty_s3
from tests.pipelines.disturbed import (
    Rows,
    contents,
    finish,
    struck,
    wait_for,
    write_source,
)
from tests.pipelines.videos import CLIP, preprocess_job

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.usefixtures("local_ray")]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The videos of every job here."""
    folder = tmp_path_factory.mktemp("source")
    write_source(folder)
    return folder


@pytest.fixture(scope="module")
def undisturbed(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Rows:
    """What a job leaves that nothing disturbs."""
    job = preprocess_job(source, tmp_path_factory.mktemp("undisturbed"))
    assert preprocess.run(job).ok
    rows = contents(job)
    assert [len(rows[name]) for name in ("clips", "looks", "motion", "plans", "controls", "latents")] == [7, *[6] * 5]
    return rows


@pytest.mark.parametrize(
    ("named", "seed"),
    [("ray::MapWorker", 1), ("ray::Map(", 2), ("equivdm.video.worker", 3), ("equivdm.video.worker", 4)],
    ids=["actor", "task", "decoder", "decoder later"],
)
def test_a_process_is_killed(named: str, seed: int, source: Path, tmp_path: Path, undisturbed: Rows) -> None:
    work = {"latents": {"cpus": 0.2, "actors": 1}} if "Worker" in named else {}
    job = preprocess_job(source, tmp_path, work=work)
    with struck(job, seed, named) as killed:
        summary = preprocess.run(job)
    assert killed
    assert summary.counts["inputs"] == 7
    assert finish(job) == undisturbed


def command(job: PreprocessJob, folder: Path, **environment: str) -> "subprocess.Popen[str]":
    """Run the job as `equivdm preprocess` does, in a driver with a Ray of its own."""
    spec = folder / "spec.yaml"
    spec.write_text(json.dumps(job.model_dump(mode="json")))
    argv = [sys.executable, "-m", "jobs.cli", "preprocess", str(spec)]
    own = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"} | environment
    return subprocess.Popen(argv, env=own, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_job_that_is_told_to_stop_commits_what_arrived(source: Path, tmp_path: Path) -> None:
    """No commit is due within an hour, so that what is committed is so because of the signal."""
    root = tmp_path / "store"
    job = preprocess_job(
        source,
        root,
        store=StoreConfig(root=str(root), commit_every_s=3600.0),
        clip=CLIP.model_copy(update={"stride": 1}),
    )
    driver = command(job, tmp_path)
    wait_for(lambda: len(list(root.glob("latents/*.parquet"))) > 3 or driver.poll() is not None)
    driver.terminate()
    _, said = driver.communicate(timeout=120)
    assert driver.returncode == 143, said
    assert "interrupted: what was committed is kept" in said
    (record,) = (root / "runs").glob("*.json")
    assert json.loads(record.read_text())["status"] == "interrupted"
    clips = open_store(job.store).table("clips")
    before = {row["key"]: row["run"] for row in clips.rows(["key", "run"])}
    assert 1 <= len(before) < 25, said  # three videos of 13 frames with a window from each frame on, and the short one
    finish(job)
    after = {row["key"]: row["run"] for row in clips.rows(["key", "run"])}
    assert len(after) == 25
    assert before.items() <= after.items()


def test_a_store_and_a_source_in_bad_weather(source: Path, tmp_path: Path, s3_endpoint: str, undisturbed: Rows) -> None:
    client = boto3.client("s3")
    for file in source.iterdir():
        client.upload_file(str(file), "videos", f"weather/{file.name}")
    job = preprocess_job("s3://videos/weather", f"s3://videos/store/{tmp_path.name}")
    weather = Weather(0.1, stall_s=0.5, seed=5)
    with faulty_s3(s3_endpoint, weather) as endpoint:
        driver = command(job, tmp_path, AWS_ENDPOINT_URL=endpoint)
        _, said = driver.communicate(timeout=400)
    assert weather.faults > 20
    assert len(weather.seen) > 5
    assert driver.returncode in (0, 1, 2), said
    assert driver.returncode == 0 or said.strip().splitlines()[-1].startswith("equivdm: "), said
    assert "Traceback" not in said
    assert finish(job) == undisturbed


@contextmanager
def small_disk(folder: Path, kib: int) -> Iterator[Path]:
    """A disk of its own on a folder."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kib}k", "none", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a disk")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path, leave_kib: int) -> Path:
    """Fill a disk but for so much, with one file that can be taken away again."""
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    filler = disk / "filler"
    filler.write_bytes(bytes(max(0, free - leave_kib * 1024)))
    return filler


def test_a_store_whose_disk_is_full(source: Path, tmp_path: Path, undisturbed: Rows) -> None:
    with small_disk(tmp_path / "disk", kib=8192) as disk:
        job = preprocess_job(source, disk / "store")
        filler = fill(disk, leave_kib=160)
        with pytest.raises(EquivdmError, match=r"store/.*No space left on device.*run the same command again"):
            preprocess.run(job)
        filler.unlink()
        assert finish(job) == undisturbed


def test_a_temporary_folder_that_is_full_is_a_failed_item(
    source: Path, tmp_path: Path, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    boto3.client("s3").upload_file(str(source / "0.mp4"), "videos", "full/0.mp4")
    job = preprocess_job("s3://videos/full", tmp_path / "store")
    listed = list_videos(job.source)
    keyed = listed.append_column("key", manifest_keys(listed, "layout")).to_pylist()[0]
    video = keyed | {"attempt": 1, "run": "now", "caption_file": None}
    table = open_store(job.store).table("manifest")
    with small_disk(tmp_path / "disk", kib=64) as disk:
        filler = fill(disk, 4)
        monkeypatch.setattr("tempfile.tempdir", str(disk))
        (row,) = probe_video(video, job, table)["rows"]
        assert (row["outcome"], row["error"], row["window"]) == ("failed", "OSError", -1)
        assert "No space left on device" in row["message"]
        filler.unlink()
        rows = probe_video(video, job, table)["rows"]
        assert [row["window"] for row in rows] == [0, 1]


def test_a_node_is_lost_with_the_items_that_are_on_it(source: Path, tmp_path: Path, undisturbed: Rows) -> None:
    job = preprocess_job(source, tmp_path / "store")
    program = [sys.executable, "-m", "tests.pipelines.two_nodes", job.model_dump_json()]
    done = subprocess.run(program, capture_output=True, text=True, timeout=400, check=False)
    assert "node killed with items on it" in done.stdout, (done.stdout, done.stderr[-3000:])
    assert done.returncode == 0, done.stderr[-3000:]
    assert finish(job) == undisturbed
