"""Preprocess on a real local Ray: what the functions give, once each, whatever happens on the way."""

import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pytest
import torch

from equivdm.backbones import backbone_of
from equivdm.config import ClipConfig, FlowConfig
from equivdm.control import control_map
from equivdm.errors import UsageError
from equivdm.flow import estimate_motion, occlusion_of
from equivdm.noise import MotionPlan, plan_motion
from equivdm.video.decode import decode
from equivdm.video.tensors import to_model_range
from pipelines import preprocess
from pipelines.audit import audit
from pipelines.clips import read_clips
from pipelines.config import PreprocessJob
from pipelines.schemas import from_tensor
from pipelines.settings import SourceConfig, StoreConfig
from pipelines.store import open_store
from tests.pipelines.videos import preprocess_job, write_scene

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("local_ray")]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two scenes of two windows each, one video too short, and three files that are no videos."""
    folder = tmp_path_factory.mktemp("source")
    write_scene(folder / "a.mp4", seed=1)
    write_scene(folder / "deep" / "b.mp4", seed=2)
    write_scene(folder / "short.mp4", seed=3, frames=4)
    (folder / "page.mp4").write_text("<html>404</html>")
    (folder / "empty.webm").touch()
    (folder / "notes.pdf").write_text("not looked at")
    return folder


@pytest.fixture(scope="module")
def job(source: Path, tmp_path_factory: pytest.TempPathFactory) -> PreprocessJob:
    """The job over that folder, run once."""
    job = preprocess_job(source, tmp_path_factory.mktemp("store"))
    summary = preprocess.run(job)
    assert summary.counts == {
        "inputs": 7,
        "done": 4,
        "filtered": 1,
        "quarantined": 2,
        "pending": 0,
        "new": 5,
    }
    assert sorted((path, error) for path, error, _ in summary.failures) == [
        ("empty.webm", "EmptyFile"),
        ("page.mp4", "NotAVideo"),
    ]
    assert not summary.ok
    return job


def rows_of(job: PreprocessJob) -> list[dict]:
    return open_store(job.store).table("clips").rows()


def clips_of(job: PreprocessJob) -> list[dict]:
    """The finished clips, with their tensors."""
    store = open_store(job.store)
    keys = [row["key"] for row in rows_of(job) if row["outcome"] == "done"]
    columns = ("path", "window", "indices", "caption", "forward", "occluded_backward", "control", "plan", "latents")
    return read_clips(store, keys, columns)


def test_every_input_has_one_row_with_its_outcome(job: PreprocessJob) -> None:
    found = sorted((row["path"], row["window"], row["outcome"]) for row in rows_of(job))
    assert found == [
        ("a.mp4", 0, "done"),
        ("a.mp4", 1, "done"),
        ("deep/b.mp4", 0, "done"),
        ("deep/b.mp4", 1, "done"),
        ("empty.webm", -1, "quarantined"),
        ("page.mp4", -1, "quarantined"),
        ("short.mp4", -1, "filtered"),
    ]
    (short,) = (row for row in rows_of(job) if row["path"] == "short.mp4")
    assert (short["rule"], short["message"]) == ("too_short", "4 frames, wanted 6")


def test_a_row_holds_what_the_functions_give(job: PreprocessJob, source: Path) -> None:
    (row,) = (row for row in clips_of(job) if (row["path"], row["window"]) == ("deep/b.mp4", 1))
    assert row["indices"] == [6, 7, 8, 9, 10, 11]
    assert row["caption"] == (source / "deep" / "b.txt").read_text()
    frames = decode(str(source / "deep" / "b.mp4"), row["indices"], (32, 32))
    motion = estimate_motion(frames, FlowConfig())
    codec = backbone_of(job.backbone).build_codec()
    # What follows from the flow is computed from what is stored of it.
    flow = [each.astype(np.float16).astype(np.float32) for each in (motion.forward, motion.backward)]
    plan = plan_motion(*flow, grid=(16, 16), per_cell=job.plan.per_cell)
    np.testing.assert_array_equal(from_tensor(row["forward"]), flow[0])
    _, hidden = occlusion_of(*flow, job.flow.occlusion)
    np.testing.assert_array_equal(from_tensor(row["occluded_backward"]), hidden)
    np.testing.assert_array_equal(from_tensor(row["control"]), control_map(frames, job.control))
    assert MotionPlan.from_bytes(row["plan"]) == plan
    latents = codec.encode(to_model_range(frames)[None])[0]
    torch.testing.assert_close(torch.tensor(from_tensor(row["latents"])), latents.half(), rtol=0, atol=2e-3)


def test_the_same_run_again_computes_nothing(job: PreprocessJob) -> None:
    before = {row["key"]: row["run"] for row in rows_of(job)}
    assert preprocess.run(job).counts["new"] == 0
    assert {row["key"]: row["run"] for row in rows_of(job)} == before


def test_a_grown_source_costs_only_what_is_new(job: PreprocessJob, source: Path) -> None:
    write_scene(source / "new.mp4", seed=4, frames=6)
    (source / "copy.mp4").write_bytes((source / "a.mp4").read_bytes())
    (source / "copy.txt").write_bytes((source / "a.txt").read_bytes())
    summary = preprocess.run(job)
    assert summary.counts["new"] == 1  # the copy's clips have the content, and so the keys, of the first
    assert summary.counts["done"] == 5


def test_overlapping_windows_share_what_they_can(job: PreprocessJob) -> None:
    overlapping = job.model_copy(update={"clip": ClipConfig(frames=6, height=32, width=32, stride=3)})
    summary = preprocess.run(overlapping)
    assert summary.counts["done"] == 7  # a and b: starts 0, 3, 6; new: 0
    assert summary.counts["new"] == 2  # of which those at 3 are new


def test_another_flow_setting_is_another_clip(job: PreprocessJob) -> None:
    other = job.model_copy(update={"flow": FlowConfig(preset="ultrafast")})
    assert preprocess.clip_fingerprint(other) != preprocess.clip_fingerprint(job)
    faster = job.model_copy(update={"work": job.work.model_copy(update={"actors": 2})})
    assert preprocess.clip_fingerprint(faster) == preprocess.clip_fingerprint(job)


def test_an_audit_adds_up_and_sees_a_changed_byte(source: Path, tmp_path: Path) -> None:
    own = preprocess_job(source, tmp_path / "store")
    preprocess.run(own)
    assert audit(own).problems == []
    latents = open_store(own.store).table("latents")
    victim = tmp_path / "store" / "latents" / latents.files()[0].name
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 1
    victim.write_bytes(data)
    lost = tmp_path / "store" / "latents" / latents.files()[1].name
    report = audit(own)
    assert [problem.partition(": ")[2] for problem in report.problems] == [
        "its bytes have changed since it was committed"
    ]
    lost.write_bytes(lost.read_bytes()[:-1])
    assert any("the log says" in problem for problem in audit(own).problems)
    assert not report.ok


def test_source_and_store_on_s3(source: Path, s3_endpoint: str) -> None:
    client = boto3.client("s3")
    for name in ("a.mp4", "a.txt", "page.mp4"):
        client.upload_file(str(source / name), "videos", f"in/{name}")
    own = preprocess_job("s3://videos/in", "s3://videos/out/store")
    summary = preprocess.run(own)
    assert (summary.counts["done"], summary.counts["quarantined"]) == (2, 1)
    assert preprocess.run(own).counts["new"] == 0
    assert audit(own).problems == []


def test_a_listed_video_that_is_not_there_fails_alone_until_it_comes(source: Path, tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    (videos / "here.mp4").write_bytes((source / "a.mp4").read_bytes())
    (tmp_path / "list.csv").write_text("path,caption\nhere.mp4,a disc\nlate.mp4,a box\n")
    own = preprocess_job(videos, tmp_path / "store")
    own = own.model_copy(update={"source": SourceConfig(root=str(videos), manifest=str(tmp_path / "list.csv"))})
    summary = preprocess.run(own)
    assert (summary.counts["done"], summary.counts["pending"]) == (2, 1)
    assert [failure[:2] for failure in summary.failures] == [("late.mp4", "AbsentVideo")]
    (videos / "late.mp4").write_bytes((source / "deep" / "b.mp4").read_bytes())
    again = preprocess.run(own)
    assert (again.counts["done"], again.counts["new"], again.ok) == (4, 2, True)
    found = {(row["path"], row["caption"]) for row in rows_of(own) if row["outcome"] == "done"}
    assert found == {("here.mp4", "a disc"), ("late.mp4", "a box")}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"source": {"root": "/no/such/folder"}}, r"source.root: got '/no/such/folder', which does not exist"),
        (
            {"clip": {"frames": 6, "height": 33, "width": 32}},
            r"clip: got a video of 33x32 pixels, wanted multiples of 2",
        ),
        ({"source": {"root": ".", "include": ["*.nothing"]}}, r"holds no video that matches include=\['\*.nothing'\]"),
    ],
)
def test_what_cannot_work_is_refused_before_it_starts(change: dict, message: str, source: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        preprocess.run(preprocess_job(source, tmp_path / "store", **change))


RUN = "import sys; from pipelines import preprocess as p; from pipelines.config import PreprocessJob as J; "
RUN += "p.run(J.model_validate_json(sys.argv[1]))"


def start(job: PreprocessJob) -> subprocess.Popen[bytes]:
    """Run the job in a driver of its own; pytest shows what it prints where the test fails."""
    return subprocess.Popen([sys.executable, "-c", RUN, job.model_dump_json()])


@pytest.mark.slow
def test_a_killed_driver_loses_nothing_that_was_committed(tmp_path: Path) -> None:
    for seed in range(20):
        write_scene(tmp_path / "source" / f"{seed}.mp4", seed)
    job = preprocess_job(tmp_path / "source", tmp_path / "store").model_copy(
        update={"store": StoreConfig(root=str(tmp_path / "store"), commit_every_s=0.01)}
    )
    clips = open_store(job.store).table("clips")
    process = start(job)
    while process.poll() is None and not clips.states():
        time.sleep(0.05)
    process.kill()
    process.wait()
    before = {row["key"]: row["run"] for row in clips.rows(["key", "run"])}
    assert 1 <= len(before) < 40
    summary = preprocess.run(job)
    after = {row["key"]: row["run"] for row in clips.rows(["key", "run"])}
    assert len(clips.rows(["key"])) == len(after) == summary.counts["done"] == 40
    assert {key: after[key] for key in before} == before  # nothing was computed twice
    assert summary.counts["new"] == 40 - len(before)
    assert audit(job).ok


@pytest.mark.slow
def test_two_overlapping_runs_make_each_clip_once(tmp_path: Path) -> None:
    for seed in range(6):
        write_scene(tmp_path / "source" / f"{seed}.mp4", seed)
    job = preprocess_job(tmp_path / "source", tmp_path / "store")
    rival = start(job)
    preprocess.run(job)
    assert rival.wait(timeout=800) == 0
    rows = open_store(job.store).table("clips").rows(["key", "outcome"])
    assert Counter(row["outcome"] for row in rows) == {"done": 12}
    assert len({row["key"] for row in rows}) == 12


def test_a_run_that_another_one_overtakes_has_nothing_left_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other run settles every clip after this one has listed the source, and before it computes any."""
    write_scene(tmp_path / "source" / "a.mp4", seed=1)
    job = preprocess_job(tmp_path / "source", tmp_path / "store")
    update = preprocess.update_manifest
    others = []

    def overtaken(*args: Any) -> None:
        monkeypatch.setattr(preprocess, "update_manifest", update)
        others.append(preprocess.run(job))
        update(*args)

    monkeypatch.setattr(preprocess, "update_manifest", overtaken)
    summary = preprocess.run(job)
    assert (others[0].counts["new"], summary.counts["new"], summary.counts["done"]) == (2, 0, 2)
