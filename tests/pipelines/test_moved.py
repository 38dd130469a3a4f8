"""A store is moved by copying it, and so are its videos: what is done stays done."""

import shutil
from pathlib import Path

from pipelines.clips import read_parts, select_clips
from pipelines.settings import SelectConfig
from pipelines.store import open_store
from tests.pipelines.hand import clips_of, items_of
from tests.pipelines.videos import preprocess_job, write_scene


def test_what_is_done_stays_done_where_store_and_videos_are_moved(tmp_path: Path) -> None:
    write_scene(tmp_path / "old" / "videos" / "a.mp4", 1)
    before = clips_of(preprocess_job(tmp_path / "old" / "videos", tmp_path / "old" / "store"))
    assert {clip["outcome"] for clip in before} == {"done"}
    shutil.copytree(tmp_path / "old", tmp_path / "new", copy_function=shutil.copyfile)  # times are of now
    shutil.rmtree(tmp_path / "old")
    job = preprocess_job(tmp_path / "new" / "videos", tmp_path / "new" / "store")
    assert items_of(job) == []
    store = open_store(job.store)
    clips = select_clips(store, SelectConfig())
    assert [clip["key"] for clip in clips] == sorted(clip["key"] for clip in before)
    have = store.table("latents").files_of([clips[0]["latents"]])
    assert read_parts(store, {"latents": have[0] or ""}, ["latents"])["latents"]["shape"]
    assert all(store.table(name).misfits() == [] for name in ("manifest", "clips", "latents", "motion"))
