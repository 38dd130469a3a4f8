"""What validations leave in a store, and where people see it."""

import math
import os
import re
import socket
import subprocess
from pathlib import Path

import pytest

from jobs.look import show_status
from pipelines.claim import ClaimFiles, claimed, training
from pipelines.clips import select_clips
from pipelines.report.validation import curves, evenly
from pipelines.status import job_status
from pipelines.store import Store, open_store
from pipelines.train import train_key
from pipelines.validated import ValidatedClip, ValidationRecord, read_validations, step_folder, write_validation
from tests.pipelines.fit_cases import fit_config, train_job, write_clips
from tests.pipelines.small_store import falling, validated


def test_validations_are_read_by_step_and_without_those_that_were_broken_off(store: Store) -> None:
    assert read_validations(store, "model") == []
    written = validated(store, "model", ["a", "b"], [100, 20, 3])
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


def test_curves_are_of_the_means_the_loss_first() -> None:
    records = [ValidationRecord(step=s, clips=(ValidatedClip(key="a", file="a", figures=falling(s)),)) for s in (1, 2)]
    found = curves("equivdm", records, None)
    assert [(curve.title, curve.unit, curve.better) for curve in found] == [
        ("Denoising loss", "", "lower"),
        ("Cross-frame PSNR", "dB", "higher"),
        ("Motion alignment (end-point error)", "px", "lower"),
    ]
    # What falls goes down the page: y of SVG grows.
    (line,) = re.findall(r'd="M [\d.]+ ([\d.]+) \nL [\d.]+ ([\d.]+) \n"[^>]*stroke-width: 1.7', found[0].plot)
    assert float(line[0]) < float(line[1])


def test_status_names_the_latest_validation_of_a_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = train_job(str(tmp_path), fit_config())
    store = open_store(job.store)
    write_clips(store, count=2)
    assert job_status(job).validation is None
    key = train_key(job, [row["key"] for row in select_clips(store, job.data)])
    validated(store, key, ["a", "b"], [4, 16])
    show_status(job_status(job), as_json=False)
    folder = f"{tmp_path}/weights/{key}/validation/step_16"
    said = f"validated after step 16: loss 0.0625, epe 0.125, cf_psnr 36; 2 videos in {folder}"
    assert said in capsys.readouterr().out.splitlines()
    assert len(list(Path(folder).glob("*.mp4"))) == 2


def test_status_names_who_is_at_work_on_a_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = train_job(str(tmp_path), fit_config())
    store = open_store(job.store)
    key = train_key(job, write_clips(store, count=2))
    assert job_status(job).claim is None
    with claimed(store, training(key), "train"):
        show_status(job_status(job), as_json=False)
    assert f"at work: process {os.getpid()} on {socket.gethostname()}, since " in capsys.readouterr().out
    assert job_status(job).claim is None
    gone = subprocess.Popen(["true"])
    gone.wait()
    with claimed(store, training(key), "train"):
        holder = ClaimFiles(store, training(key)).read(1)
        assert holder is not None
        ClaimFiles(store, training(key)).write(1, holder._replace(pid=gone.pid))
        assert (job_status(job).claim or "").endswith(", which is gone")
