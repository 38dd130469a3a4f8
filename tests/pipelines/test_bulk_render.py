"""Bulk rendering whose driver is killed: what was committed stays, the rest is rendered once, and nothing is lost."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from equivdm.video.synthetic import render_scene
from equivdm.video.write import write_video
from pipelines import render
from pipelines.audit import audit
from pipelines.config import RenderJob
from pipelines.store import open_store
from tests.pipelines.disturbed import wait_for
from tests.pipelines.film_cases import film_job, pixels, with_model

pytestmark = [pytest.mark.slow, pytest.mark.ray]

VIDEOS, BROKEN = 195, 5


def write_many(folder: Path) -> None:
    """Write 195 short videos of three scenes' frames, each its own, and five that are broken in five ways."""
    scenes = [render_scene(seed, frames=70, height=32, width=32).frames for seed in range(3)]
    folder.mkdir()
    for number in range(VIDEOS):
        first = number // 3
        write_video(str(folder / f"{number:03d}.mp4"), scenes[number % 3][first : first + 4], 25.0)
    whole = (folder / "000.mp4").read_bytes()
    for name, data in {
        "empty": b"",
        "text": b"not a video",
        "cut": whole[: len(whole) // 2],
        "head": whole[:40],
        "holes": whole[:200] + bytes(len(whole) - 200),
    }.items():
        (folder / f"broken_{name}.mp4").write_bytes(data)


def start(job: RenderJob, folder: Path) -> subprocess.Popen[str]:
    """Run the job as `equivdm render` does, in a driver with a Ray of its own."""
    folder.mkdir(exist_ok=True)
    spec = folder / "spec.yaml"
    spec.write_text(json.dumps(job.model_dump(mode="json", exclude_unset=True)))
    own = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    argv = [sys.executable, "-m", "jobs.cli", "render", str(spec)]
    return subprocess.Popen(
        argv, env=own, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def done(job: RenderJob) -> list[dict[str, Any]]:
    return [row for row in open_store(job.store).table("videos").rows() if row["outcome"] == "done"]


def kill(driver: subprocess.Popen[str]) -> None:
    os.killpg(driver.pid, signal.SIGKILL)
    driver.communicate()


def test_two_hundred_videos_five_of_them_broken_and_two_kills(tmp_path: Path) -> None:
    write_many(tmp_path / "videos")
    job = film_job(tmp_path / "videos", tmp_path / "store", frame={}, sampler={"steps": 1})
    with_model(job)
    seen = 0
    for wanted in (20, 90):
        driver = start(job, tmp_path)
        wait_for(lambda: len(done(job)) >= wanted or driver.poll() is not None)  # noqa: B023
        assert driver.poll() is None, driver.communicate()
        kill(driver)
        assert seen < len(done(job)) < VIDEOS
        seen = len(done(job))
    driver = start(job, tmp_path)
    said, errors = driver.communicate(timeout=400)
    assert driver.returncode == 1, errors  # five are in quarantine
    assert f"200 inputs = {VIDEOS} done + 0 filtered + {BROKEN} quarantined + 0 pending" in said
    rows = open_store(job.store).table("videos").rows()
    assert len({row["key"] for row in rows}) == len({row["path"] for row in rows}) == len(rows) == VIDEOS + BROKEN
    broken = {row["path"]: row["error"] for row in rows if row["outcome"] == "quarantined"}
    assert set(broken) == {f"broken_{name}.mp4" for name in ("empty", "text", "cut", "head", "holes")}
    assert all(row["message"] for row in rows if row["path"] in broken)
    files = {
        str(path.relative_to(job.store.root)) for path in Path(job.store.root, "renders").rglob("*") if path.is_file()
    }
    assert files == {row["file"] for row in done(job)}
    assert not audit(job).problems
    alone = film_job(
        tmp_path / "videos",
        tmp_path / "alone",
        frame={},
        sampler={"steps": 1},
        source={"root": str(tmp_path / "videos"), "include": ["*7.mp4"]},
    )
    assert render.run(with_model(alone)).ok
    undisturbed = {row["path"]: row["sha256"] for row in done(alone)}
    assert undisturbed.items() <= {row["path"]: row["sha256"] for row in done(job)}.items()
    assert len(undisturbed) == 19
    assert all(len(pixels(open_store(alone.store), row)) == 4 for row in done(alone))


def test_a_long_video_goes_on_within_itself(tmp_path: Path) -> None:
    """A driver that is killed among the windows leaves those that were committed, and the next one samples the rest."""
    scene = render_scene(5, frames=120, height=32, width=32)
    (tmp_path / "videos").mkdir()
    write_video(str(tmp_path / "videos" / "long.mp4"), scene.frames, 25.0)
    job = film_job(tmp_path / "videos", tmp_path / "store", frame={}, sampler={"steps": 8})
    store = open_store(job.store)
    with_model(job)
    driver = start(job, tmp_path)
    wait_for(lambda: len(store.table("samples").files()) >= 5 or driver.poll() is not None)
    assert driver.poll() is None, driver.communicate()
    kill(driver)
    before = {file.name for file in store.table("samples").files()}
    strands = {file.name for file in store.table("strands").files()}
    assert 5 <= len(before) < 20
    driver = start(job, tmp_path)
    _, errors = driver.communicate(timeout=300)
    assert driver.returncode == 0, errors
    after = {file.name for file in store.table("samples").files()}
    assert before < after
    assert len(after) == 20
    assert {file.name for file in store.table("strands").files()} == strands
    (row,) = done(job)
    assert (row["frames"], row["windows"]) == (120, 20)


def test_two_runs_at_once_render_each_video_once(tmp_path: Path) -> None:
    folder = tmp_path / "videos"
    folder.mkdir()
    scene = render_scene(2, frames=60, height=32, width=32).frames
    for number in range(12):
        write_video(str(folder / f"{number:02d}.mp4"), scene[number : number + (30 if number % 4 == 0 else 5)], 25.0)
    job = with_model(film_job(folder, tmp_path / "store", frame={}))
    drivers = [start(job, tmp_path / name) for name in ("first", "second")]
    for driver in drivers:
        _, errors = driver.communicate(timeout=400)
        assert driver.returncode == 0, errors
    rows = open_store(job.store).table("videos").rows()
    assert len(rows) == len({row["path"] for row in rows}) == len(done(job)) == 12
    summed = audit(job)
    assert summed.ok, summed.problems
