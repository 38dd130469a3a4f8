"""What validations leave in a store, and where people see it: the report, `equivdm status`."""

import math
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from jobs.look import show_status
from pipelines.clips import select_clips
from pipelines.config import EvaluateJob
from pipelines.models import newest_model
from pipelines.report import build_report
from pipelines.report.material import read_material
from pipelines.report.validation import curves, evenly, validations_of
from pipelines.status import job_status
from pipelines.store import Store, open_store
from pipelines.train import train_key
from pipelines.validated import ValidatedClip, ValidationRecord, read_validations, step_folder, write_validation
from tests.pipelines.fit_cases import fit_config, train_job, write_clips
from tests.pipelines.small_store import fill

Figures = Callable[[int], dict[str, float]]


def validated(store: Store, key: str, clips: list[str], steps: list[int], figures: Figures) -> list[ValidationRecord]:
    """Write validations as a training does; a video says of which step and clip it is."""
    records = []
    for step in steps:
        made = [ValidatedClip(key=clip, file=f"{clip[:8]}.mp4", figures=figures(step)) for clip in clips]
        for clip in made:
            store.filesystem.makedirs(store.path(step_folder(key, step)), exist_ok=True)
            store.filesystem.pipe_file(store.path(step_folder(key, step), clip.file), f"{step} {clip.key}".encode())
        records.append(ValidationRecord(step=step, clips=tuple(made)))
        write_validation(store, key, records[-1])
    return records


def falling(step: int) -> dict[str, float]:
    return {"loss": 1 / step, "epe": 2 / step, "cf_psnr": 20.0 + step}


def test_validations_are_read_by_step_and_without_those_that_were_broken_off(store: Store) -> None:
    assert read_validations(store, "model") == []
    written = validated(store, "model", ["a", "b"], [100, 20, 3], falling)
    store.filesystem.makedirs(store.path(step_folder("model", 200)), exist_ok=True)
    store.filesystem.pipe_file(store.path(step_folder("model", 200), "a.mp4"), b"no figures follow")
    assert read_validations(store, "model") == written[::-1]
    assert read_validations(store, "mode") == []


def test_figures_are_means_over_the_clips_and_may_be_infinite(store: Store) -> None:
    made = [
        ValidatedClip(key=key, file="v.mp4", figures=figures)
        for key, figures in (("a", {"epe": 1.0, "cf_psnr": math.inf}), ("b", {"epe": 2.0, "cf_psnr": 30.0}))
    ]
    write_validation(store, "model", ValidationRecord(step=1, clips=tuple(made)))
    (record,) = read_validations(store, "model")
    assert record.figures == {"epe": 1.5, "cf_psnr": math.inf}
    assert record.clips == tuple(made)


@pytest.mark.parametrize(
    ("count", "most", "shown"), [(1, 6, [0]), (6, 6, [0, 1, 2, 3, 4, 5]), (11, 6, [0, 2, 4, 6, 8, 10]), (9, 2, [0, 8])]
)
def test_steps_shown_hold_the_first_and_the_last(count: int, most: int, shown: list[int]) -> None:
    records = [ValidationRecord(step=step, clips=()) for step in range(count)]
    assert [record.step for record in evenly(records, most)] == shown


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> EvaluateJob:
    """A finished store whose model `equivdm` was validated eight times on both clips."""
    job = fill(tmp_path_factory.mktemp("validated"))
    store = open_store(job.store)
    clips = [row["key"] for row in store.table("clips").rows(("key", "path"))]
    validated(store, newest_model(store, "equivdm").key, clips, list(range(25, 201, 25)), falling)
    return job


def test_the_report_shows_videos_by_step_and_a_curve_a_figure(job: EvaluateJob, tmp_path: Path) -> None:
    page = build_report(job, tmp_path)
    store, text = open_store(job.store), page.read_text()
    key = newest_model(store, "equivdm").key
    part = text[text.index("Validation while training") : text.index("Seconds per stage")]
    assert (
        re.findall(r"<figcaption><b>(Step \d+)</b>", part)
        == [f"Step {step}" for step in (25, 50, 100, 125, 175, 200)] * 2
    )
    shown = iter(re.findall(r'<video src="([^"]+)"', part))
    for clip in read_validations(store, key)[0].clips:
        for step in (25, 50, 100, 125, 175, 200):
            assert (tmp_path / next(shown)).read_text() == f"{step} {clip.key}"
    assert part.count("<svg") == 3
    assert "8 validations, the last after step 200; 2 clips" in part
    assert part.count("<section") == 1  # of the three models one was validated


def test_a_video_that_is_gone_costs_only_its_player(job: EvaluateJob, tmp_path: Path) -> None:
    store = open_store(job.store)
    key = newest_model(store, "equivdm").key
    clip = read_validations(store, key)[0].clips[1]
    gone, kept = Path(store.path(step_folder(key, 25), clip.file)), tmp_path / "kept"
    gone.rename(kept)
    (one,) = validations_of(read_material(job, store), store, tmp_path / "report")
    kept.rename(gone)
    notes = {clip["key"]: [player.note for player in players] for clip, players in one.rows}
    assert notes == {key: ["the video is gone" if key == clip.key else "", *[""] * 5] for key in notes}


def test_curves_are_of_the_means_the_loss_first() -> None:
    records = [ValidationRecord(step=s, clips=(ValidatedClip(key="a", file="a", figures=falling(s)),)) for s in (1, 2)]
    assert [(curve.title, curve.unit, curve.better) for curve in curves(records, None)] == [
        ("Denoising loss", "", "lower"),
        ("Cross-frame PSNR", "dB", "higher"),
        ("Motion alignment (end-point error)", "px", "lower"),
    ]
    xs, ys = zip(*re.findall(r"[ML] ([\d.]+) ([\d.]+) ", curves(records, None)[0].plot)[:2], strict=True)
    assert float(xs[0]) < float(xs[1])


def test_status_names_the_latest_validation_of_a_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = train_job(str(tmp_path), fit_config())
    store = open_store(job.store)
    write_clips(store, count=2)
    assert job_status(job).validation is None
    key = train_key(job, [row["key"] for row in select_clips(store, job.data)])
    validated(store, key, ["a", "b"], [4, 16], falling)
    show_status(job_status(job), as_json=False)
    folder = f"{tmp_path}/weights/{key}/validation/step_16"
    said = f"validated after step 16: loss 0.0625, epe 0.125, cf_psnr 36; 2 videos in {folder}"
    assert said in capsys.readouterr().out.splitlines()
    assert len(list(Path(folder).glob("*.mp4"))) == 2
