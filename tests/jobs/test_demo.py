"""The demo: which videos it takes, and that its jobs are the project's own specs."""

from pathlib import Path

import pytest

from equivdm.video.synthetic import render_scene
from equivdm.video.write import write_video
from jobs import demo
from jobs.specs import load_spec
from pipelines.config import DistillJob, EvaluateJob, Job, PreprocessJob, RenderJob, TrainJob
from pipelines.sources import matches


def folder_of(root: Path, count: int) -> str:
    """A folder of `count` files that are named like videos; nothing here opens them."""
    for number in range(count):
        (root / f"clip[{number}].mp4").touch()
    return str(root)


@pytest.mark.parametrize(
    ("count", "limit", "trained", "held"),
    [(8, 16, [0, 1, 2, 4, 5, 6], [3, 7]), (2, 16, [0], [1]), (9, 3, [0, 3], [6]), (1, 16, [0], [0])],
)
def test_every_fourth_video_is_held_out(
    tmp_path: Path, count: int, limit: int, trained: list[int], held: list[int]
) -> None:
    source = demo.own_videos(folder_of(tmp_path, count), limit)
    assert source.train == [f"clip[{number}].mp4" for number in trained]
    assert source.render == [f"clip[{number}].mp4" for number in held]


def test_one_video_is_said_to_be_rendered_by_models_that_know_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    demo.own_videos(folder_of(tmp_path, 1), 16)
    assert capsys.readouterr().out == ("One video only: clip[0].mp4 is rendered by models that were trained on it.\n")


def test_the_jobs_are_the_specs_pointed_elsewhere(tmp_path: Path) -> None:
    source = demo.own_videos(folder_of(tmp_path, 8), 16)
    jobs = [stage.job for stage in demo.stages_of(source, tmp_path / "out")]
    preprocess, equivdm, independent, student, *renders, evaluate = jobs
    assert isinstance(preprocess, PreprocessJob)
    assert isinstance(equivdm, TrainJob)
    assert isinstance(independent, TrainJob)
    assert isinstance(student, DistillJob)
    assert isinstance(evaluate, EvaluateJob)
    spec = load_spec("tiny_train")
    assert isinstance(spec, TrainJob)
    assert equivdm.fit == independent.fit == spec.fit
    assert (equivdm.noise.kind, independent.noise.kind) == ("warped", "independent")
    assert {job.store.root for job in jobs} == {str(tmp_path / "out" / "store")}
    assert [job.name for job in renders if isinstance(job, RenderJob)] == list(evaluate.renders)
    for name in (*source.train, *source.render):
        assert matches(name, equivdm.data.include, equivdm.data.exclude) == (name in source.train)
        assert matches(name, preprocess.source.include, preprocess.source.exclude)


def test_scenes_are_rendered_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "TRAIN_SCENES", 2)
    monkeypatch.setattr(demo, "HOLDOUT_SCENES", 1)
    source = demo.scenes(tmp_path)
    assert (source.train, source.render) == (["train_00.mp4", "train_01.mp4"], ["holdout_00.mp4"])
    names = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert sorted(names) == sorted(
        f"{stem}.{suffix}" for stem in ("train_00", "train_01", "holdout_00") for suffix in ("mp4", "txt")
    )
    demo.scenes(tmp_path)
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == names


TINY = {"steps": 2, "batch": 2, "checkpoint_every": 2, "report_every": 1, "parallel": {"workers": 1}}


def shorter(job: Job) -> Job:
    """The same job with fewer steps, and with one process where the demo has two: each takes seconds to start."""
    if isinstance(job, TrainJob | DistillJob):
        return demo.variant(job, fit=TINY)
    if isinstance(job, EvaluateJob):
        return demo.variant(job, renders=["equivdm", "student"])
    return demo.variant(job, work={"model": {"actors": 1}}) if isinstance(job, RenderJob) else job


@pytest.mark.ray
@pytest.mark.timeout(1800)
@pytest.mark.usefixtures("local_ray")
def test_the_demo_runs_all_five_jobs_and_then_has_nothing_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "videos").mkdir()
    for number in range(2):
        frames = render_scene(number, frames=16, height=64, width=64).frames
        write_video(str(tmp_path / "videos" / f"{number}.mp4"), frames, 12.0)
    whole = demo.stages_of

    def shortened(source: demo.Source, out: Path) -> list[demo.Stage]:
        """All but the baseline and the videos from motion only, which are the same jobs once more."""
        more = ("independent", "motion-only")
        stages = [stage for stage in whole(source, out) if getattr(stage.job, "name", "") not in more]
        return [demo.Stage(stage.label, shorter(stage.job)) for stage in stages]

    monkeypatch.setattr(demo, "stages_of", shortened)
    monkeypatch.setenv("COLUMNS", "200")
    assert demo.run(str(tmp_path / "videos"), tmp_path / "out", 16) == 0
    first = capsys.readouterr().out
    assert "Held out of training: 1.mp4." in first
    assert "One-step student" in first
    assert (tmp_path / "out" / "report" / "index.html").read_text().count("<video") == 4
    assert demo.run(str(tmp_path / "videos"), tmp_path / "out", 16) == 0
    second = capsys.readouterr().out
    assert second.count("was there already") == 2
    assert second.count("; 0 new") == 4
