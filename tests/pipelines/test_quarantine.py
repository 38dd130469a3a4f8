"""What stands in quarantine, and what a person's word does to it: a job run by hand, in a folder and on S3."""

from pathlib import Path

import pytest

from equivdm.errors import UsageError
from pipelines import preprocess
from pipelines.batch import count
from pipelines.config import PreprocessJob
from pipelines.quarantine import LEFT_OUT, quarantined, take_out
from pipelines.settings import PreprocessWork
from pipelines.status import job_status
from pipelines.store import Store, open_store
from tests.pipelines.fit_cases import fit_config, train_job
from tests.pipelines.hand import clips_of
from tests.pipelines.videos import preprocess_job, write_scene

in_a_folder = pytest.mark.parametrize("store", ["folder"], indirect=True)
"""For what a store on S3 could not change: preprocessing there takes seconds."""


def counts_of(job: PreprocessJob) -> dict[str, int]:
    table, items = preprocess.inputs(job, open_store(job.store))
    return dict(count(items.keys, table.states()))


@pytest.fixture
def job(store: Store, tmp_path: Path) -> PreprocessJob:
    """One clip is done, and two videos that are none stand in quarantine."""
    videos = tmp_path / "videos"
    write_scene(videos / "a.mp4", seed=1, frames=6)
    for name in ("page.mp4", "sub/empty.mp4"):
        (videos / name).parent.mkdir(exist_ok=True)
        (videos / name).write_text(f"<html>{name}</html>")
    own = preprocess_job(videos, store.url)
    clips_of(own)
    assert counts_of(own) == {"inputs": 3, "done": 1, "filtered": 0, "quarantined": 2, "pending": 0}
    return own


@in_a_folder
def test_what_is_in_quarantine_says_why(job: PreprocessJob) -> None:
    assert [(row["path"], row["error"], row["attempt"]) for row in quarantined(job)] == [
        ("page.mp4", "NotAVideo", 1),
        ("sub/empty.mp4", "NotAVideo", 1),
    ]


def test_a_released_item_is_left_out_for_good(job: PreprocessJob) -> None:
    (row,) = take_out(job, ["sub/"], again=False)
    assert (row["path"], row["outcome"], row["rule"]) == ("sub/empty.mp4", "filtered", LEFT_OUT)
    assert [row["path"] for row in quarantined(job)] == ["page.mp4"]
    take_out(job, [], again=False)
    assert counts_of(job) == {"inputs": 3, "done": 1, "filtered": 2, "quarantined": 0, "pending": 0}
    assert clips_of(job) == []
    status = job_status(job)
    assert (status.ok, dict(status.filtered), status.failures) == (True, {LEFT_OUT: 2}, ())


def test_an_item_that_is_tried_again_in_vain_returns(job: PreprocessJob) -> None:
    job = job.model_copy(update={"work": PreprocessWork(max_attempts=5)})
    take_out(job, ["NotAVideo"], again=True)
    assert (quarantined(job), counts_of(job)["pending"]) == ([], 2)
    assert [row["outcome"] for row in clips_of(job) if row["attempt"] == 5] == ["quarantined"] * 2
    assert clips_of(job) == []
    assert [row["path"] for row in quarantined(job)] == ["page.mp4", "sub/empty.mp4"]


@in_a_folder
def test_a_video_is_probed_again_when_its_item_is_tried_again(store: Store, tmp_path: Path) -> None:
    """As after a machine that was too busy: the file has not changed, and is well."""
    write_scene(tmp_path / "videos" / "a.mp4", seed=1, frames=6)
    job = preprocess_job(tmp_path / "videos", store.url)
    broken = job.model_copy(update={"decode": job.decode.model_copy(update={"timeout_s": 1e-3})})
    for _ in range(job.work.max_attempts):
        clips_of(broken)
    assert counts_of(job)["quarantined"] == 1
    assert clips_of(job) == []
    take_out(job, [], again=True)
    assert [row["outcome"] for row in clips_of(job)] == ["done"]
    assert counts_of(job) == {"inputs": 1, "done": 1, "filtered": 0, "quarantined": 0, "pending": 0}


@in_a_folder
def test_a_name_that_fits_nothing_changes_nothing(job: PreprocessJob) -> None:
    with pytest.raises(UsageError, match=r"^got 'b.mp4', which names none of the 2 items in quarantine; wanted"):
        take_out(job, ["page.mp4", "b.mp4"], again=False)
    assert len(quarantined(job)) == 2


@in_a_folder
def test_a_key_names_its_item(job: PreprocessJob) -> None:
    first, _ = quarantined(job)
    (row,) = take_out(job, [first["key"][:12]], again=True)
    assert (row["key"], row["outcome"]) == (first["key"], "retry")


@in_a_folder
def test_a_model_is_never_in_quarantine(job: PreprocessJob) -> None:
    model = train_job(job.store.root, fit_config())
    assert quarantined(model) == []
    assert take_out(model, [], again=True) == []
