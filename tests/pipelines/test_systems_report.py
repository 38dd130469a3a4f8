"""The report of systems from elsewhere: it opens from a disk and from a bucket, and its players play in step."""

import json
import re
import urllib.request
from pathlib import Path

import av
import boto3
import numpy as np
import pytest

from pipelines.evaluation.comparison import compare
from pipelines.evaluation.scores import read_scores
from pipelines.report import build_report, write_report
from pipelines.report.material import read_material
from pipelines.report.score_plots import score_plots
from pipelines.store import open_folder, open_store
from tests.pipelines.systems import evaluate_job, evaluated, noisy, write, write_driving, write_system
from tests.pipelines.test_plots import texts

METRICS = ("epe", "contrast")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two systems of two clips; the second has one of them, and a file that is no video."""
    root = tmp_path_factory.mktemp("systems")
    driving = write_driving(root / "driving", ("a", "b"), size=(48, 64))
    write_system(root / "same", driving, lambda frames: frames)
    write(root / "noisy" / "a.mkv", noisy(driving["a"], 20))
    (root / "noisy" / "b.mkv").write_bytes(b"no video")
    return root


@pytest.fixture(scope="module")
def page(root: Path) -> Path:
    found, _ = evaluated(evaluate_job(root, "same", "noisy", metrics=METRICS))
    return Path(write_report(compare(read_scores(found)), found.store))


def links(text: str) -> list[str]:
    return [link for link in re.findall(r'(?:src|href)="([^"]*)"', text) if not link.startswith("#")]


def test_it_lies_in_the_store_and_needs_nothing_from_elsewhere(root: Path, page: Path) -> None:
    assert page == root / "store" / "reports" / "evaluation" / "index.html"
    found = links(page.read_text())
    assert len(found) == 2 + 2 + 1 + 3  # driving videos, systems, other programs
    assert all((page.parent / link).is_file() for link in found)


def test_players_of_a_clip_have_the_same_frames_at_the_same_rate(page: Path) -> None:
    rows = re.findall(r'<div class="players".*?</section>', page.read_text(), flags=re.DOTALL)
    assert [len(re.findall("<video ", row)) for row in rows] == [3, 2]
    for row in rows:
        assert 'type="range"' in row
        shapes = set()
        for source in re.findall(r'<video src="([^"]+)"', row):
            with av.open(str(page.parent / source)) as container:
                stream = container.streams.video[0]
                shapes.add((sum(1 for _ in container.decode(stream)), stream.average_rate, stream.height, stream.width))
        assert shapes == {(6, 12, 48, 64)}


def test_what_was_not_measured_stands_on_the_page_and_in_the_summary(page: Path) -> None:
    text = page.read_text()
    assert "noisy/b.mkv" in text
    assert "the whole video" in text
    assert "NotAVideo: " in text
    assert "2 clips, of which 1 measured of both." in text
    assert "Of noisy: 1 video, 1 failed." in text
    summary = json.loads((page.parent / "summary.json").read_text())
    assert [failure["path"] for failure in summary["failures"]] == ["b.mkv"]


def test_each_metric_is_drawn_by_system_and_clip_by_clip(root: Path) -> None:
    job = evaluate_job(root, "same", "noisy", metrics=METRICS)
    plots = score_plots(read_material(job, open_store(job.store)))
    assert [plot.metric.title for plot in plots] == ["Motion alignment (end-point error)", "Contrast"]
    for plot in plots:
        assert {"same", "noisy"} <= set(texts(plot.intervals))
        assert "var(--series-0)" in plot.intervals
        assert {"same", "noisy"} <= set(texts(plot.against))
    assert score_plots(read_material(job, open_store(job.store)))[0] == plots[0]


def test_a_report_in_a_bucket_opens_by_itself_and_a_second_keeps_its_videos(
    root: Path, page: Path, s3_endpoint: str
) -> None:
    job = evaluate_job(root, "same", "noisy", metrics=METRICS)
    url = build_report(job, "s3://videos/some/report")
    assert url == "s3://videos/some/report/index.html"
    client = boto3.client("s3")
    objects = client.list_objects_v2(Bucket="videos", Prefix="some/report/")["Contents"]
    for each in objects:  # as a bucket that is served to browsers has them
        client.put_object_acl(Bucket="videos", Key=each["Key"], ACL="public-read")
    names = {each["Key"].removeprefix("some/report/") for each in objects}
    local = {str(path.relative_to(page.parent)) for path in page.parent.rglob("*") if path.is_file()}
    assert names == local
    with urllib.request.urlopen(f"{s3_endpoint}/videos/some/report/index.html") as answer:
        assert answer.headers["Content-Type"].startswith("text/html")
        text = answer.read().decode()
    for link in links(text):
        with urllib.request.urlopen(f"{s3_endpoint}/videos/some/report/{link}") as answer:
            kind = answer.headers["Content-Type"]
            assert answer.read()
        assert kind.startswith("video/mp4") == link.endswith(".mp4")
    before = {each["Key"]: each["LastModified"] for each in objects if each["Key"].endswith(".mp4")}
    out = open_folder("s3://videos/some/report")
    for key in before:
        out.filesystem.pipe_file(f"videos/{key}", b"kept")
    build_report(job, "s3://videos/some/report")
    assert all(out.filesystem.cat_file(f"videos/{key}") == b"kept" for key in before)


def test_systems_and_store_may_lie_in_a_bucket(root: Path, s3_endpoint: str) -> None:
    del s3_endpoint
    place = open_folder("s3://videos/remote")
    for folder in ("driving", "same", "noisy"):
        for path in (root / folder).iterdir():
            place.put(str(path), folder, path.name)
    job = evaluate_job(root, "same", "noisy", metrics=METRICS, store={"root": "s3://videos/remote/store"})
    systems = [each.model_copy(update={"root": f"s3://videos/remote/{each.name}"}) for each in job.systems]
    assert job.driving
    driving = job.driving.model_copy(update={"root": "s3://videos/remote/driving"})
    far = job.model_copy(update={"systems": tuple(systems), "driving": driving})
    found, rows = evaluated(far)
    near = read_scores(evaluated(job.model_copy(update={"store": evaluate_job(root, "same").store}))[0])
    scores = read_scores(found)
    assert len(rows) == 3 * 2 + 1
    for name, by_metric in near.values.items():
        for metric, values in by_metric.items():
            assert scores.values[name][metric] == {clip: pytest.approx(value) for clip, value in values.items()}
    assert np.isfinite([row["value"] for row in rows if row["value"] is not None]).all()
