"""Whole videos that were rendered here, measured beside their driving videos, without Ray."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from equivdm.metrics import METRICS
from equivdm.metrics.coherence import CEILING
from equivdm.video.decode import decode
from pipelines.evaluation.items import evaluation_of
from pipelines.evaluation.pairs import Film
from pipelines.evaluation.scores import read_scores
from pipelines.evaluation.subject import Subject
from pipelines.store import open_store
from tests.pipelines.film_cases import film_job, with_model
from tests.pipelines.film_hand import rendered
from tests.pipelines.systems import evaluate_job, evaluated, write
from tests.pipelines.videos import write_scene


@pytest.mark.parametrize(
    "frame",
    [
        {"height": 32, "width": 48},
        {"height": 32, "width": 48, "rule": "pad"},
        {"height": 32, "output": "source"},
    ],
)
def test_a_rendered_video_is_held_against_what_the_model_was_shown(frame: dict, tmp_path: Path) -> None:
    """A file that shows just that has no error."""
    write_scene(tmp_path / "videos" / "a.mp4", 0, 7)
    made = rendered(with_model(film_job(tmp_path / "videos", tmp_path / "store", frame=frame)))["a.mp4"]
    job = evaluate_job(tmp_path, renders=["render"], driving=None, metrics=("psnr", "epe"))
    store = open_store(job.store)
    (pair,) = evaluation_of(job, store).pairs
    assert (pair.frames, pair.laid.size) == (7, (made["height"], made["width"]))
    shown = decode(str(tmp_path / "videos" / "a.mp4"), range(7), pair.laid.shape())
    assert np.array_equal(Subject(pair, job, store).reference, shown)
    write(tmp_path / "store" / "shown.mkv", shown)
    subject = Subject(replace(pair, generated=Film("shown.mkv", "not checked")), job, store)
    values = {name: METRICS[name].function(subject.case(name)) for name in job.metrics}
    assert values == {"psnr": CEILING, "epe": 0.0}
    found, rows = evaluated(job)
    assert {row["outcome"] for row in rows} == {"done"}
    # A system of the same driving video is compared with it.
    write(tmp_path / "copy" / "a.mkv", shown)
    both = evaluate_job(
        tmp_path, "copy", renders=["render"], driving={"root": str(tmp_path / "videos")}, metrics=("psnr",)
    )
    scores = read_scores(evaluated(both)[0])
    assert scores.common == set(read_scores(found).values["render"]["psnr"])
    assert evaluated(both)[1] == []


def test_a_rendered_file_that_changed_since_is_refused(tmp_path: Path) -> None:
    write_scene(tmp_path / "videos" / "a.mp4", 0, 7)
    made = rendered(with_model(film_job(tmp_path / "videos", tmp_path / "store")))["a.mp4"]
    (tmp_path / "store" / made["file"]).write_bytes((tmp_path / "videos" / "a.mp4").read_bytes())
    (row,) = evaluated(evaluate_job(tmp_path, renders=["render"], driving=None, metrics=("contrast",)))[1]
    assert (row["outcome"], row["error"]) == ("quarantined", "DamagedVideo")


def test_a_driving_video_that_changed_since_is_refused(tmp_path: Path) -> None:
    write_scene(tmp_path / "videos" / "a.mp4", 0, 7)
    rendered(with_model(film_job(tmp_path / "videos", tmp_path / "store")))
    write_scene(tmp_path / "videos" / "a.mp4", 1, 7)
    job = evaluate_job(tmp_path, renders=["render"], driving=None, metrics=("psnr", "contrast"))
    rows = {row["metric"]: row for row in evaluated(job)[1]}
    assert rows["contrast"]["outcome"] == "done"
    assert (rows["psnr"]["outcome"], rows["psnr"]["error"]) == ("quarantined", "DamagedVideo")
    assert "has changed since it was read first" in rows["psnr"]["message"]
