"""The report: a page that stands alone, with the figures of the tables and a player for every video."""

import re
from pathlib import Path

import av
import pytest

from equivdm.errors import UsageError
from pipelines.config import EvaluateJob
from pipelines.models import newest_model
from pipelines.report import build_report
from pipelines.report.material import read_material
from pipelines.report.validation import validations_of
from pipelines.report.words import notes, summary_table
from pipelines.store import open_folder, open_store
from pipelines.validated import read_validations, step_folder
from tests.pipelines.small_store import NAMES, fill, validated

VALIDATION = "Validation while training"
"""Heading before which the sets stand side by side."""

SHOWN = (25, 50, 100, 125, 175, 200)
"""Steps of six of eight validations, evenly spread."""


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> EvaluateJob:
    """Three sets of videos of two clips; the model `equivdm` was validated eight times on both."""
    job = fill(tmp_path_factory.mktemp("report"))
    store = open_store(job.store)
    clips = [row["key"] for row in store.table("clips").rows(("key",))]
    validated(store, newest_model(store, "equivdm").key, clips, range(25, 201, 25))
    return job


@pytest.fixture(scope="module")
def page(job: EvaluateJob) -> Path:
    return Path(build_report(job, str(Path(job.store.root).parent / "report")))


def test_the_page_needs_nothing_from_elsewhere(page: Path) -> None:
    text = page.read_text()
    links = re.findall(r'(?:src|href)="([^"]*)"', text)
    files = [link for link in links if not link.startswith("#")]
    assert len(files) == 2 * 5 + 2 * len(SHOWN) + 3
    assert all((page.parent / link).is_file() for link in files)
    remote = {found for found in re.findall(r"https?://[^\s\"']+", text) if "www.w3.org" not in found}
    assert not remote


def test_every_player_decodes_and_those_of_a_row_have_the_same_length(page: Path) -> None:
    for row in re.findall(
        r'<div class="players".*?</section>', page.read_text().partition(VALIDATION)[0], flags=re.DOTALL
    ):
        lengths = set()
        for source in re.findall(r'<video src="([^"]+)"', row):
            with av.open(str(page.parent / source)) as container:
                lengths.add(sum(1 for _ in container.decode(video=0)))
        assert lengths == {8}


def test_rows_and_columns_stand_in_the_agreed_order(page: Path) -> None:
    titles = re.findall(r"<figcaption>.*?<b>(.*?)</b>", page.read_text().partition(VALIDATION)[0])
    assert titles == ["Driving video", "Warped noise", "Independent noise", "EquiVDM", "One-step student"] * 2


def test_the_table_holds_the_means_and_marks_the_best(job: EvaluateJob) -> None:
    store = open_store(job.store)
    lines = {line.metric.title: line for line in summary_table(read_material(job, store).found)}
    rows = store.table("metrics").rows(("name", "metric", "value"))
    for column, name in enumerate(NAMES):
        values = [row["value"] for row in rows if (row["name"], row["metric"]) == (name, "cf_psnr")]
        cell = lines["Cross-frame PSNR"].cells[column]
        assert cell is not None
        assert abs(float(cell.mean) - sum(values) / len(values)) < 0.06
    best = {title: [cell.best for cell in line.cells if cell] for title, line in lines.items()}
    assert best["Cross-frame PSNR"] == [False, True, False]
    assert best["Motion alignment (end-point error)"] == [False, True, False]
    assert not any(best["Contrast"])


def test_differences_are_paired_with_the_baseline(job: EvaluateJob) -> None:
    lines = summary_table(read_material(job, open_store(job.store)).found)
    cells = next(line.cells for line in lines if line.metric.unit == "px")
    assert cells[0] is not None
    assert cells[0].difference == ""
    assert all(cell and cell.difference.startswith("−") for cell in cells[1:])


def test_the_notes_say_whether_the_clips_were_trained_on(job: EvaluateJob) -> None:
    material = read_material(job, open_store(job.store))
    words = notes(material)
    assert words[0] == "Measured on 2 clips of 2 driving videos, 8 frames of 64×64."
    assert "No model was trained on any of these videos." in words


def test_a_second_report_keeps_the_files_that_are_there(job: EvaluateJob, page: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (page.parent / "media").iterdir()}
    build_report(job, str(page.parent))
    assert {path: path.stat().st_mtime_ns for path in (page.parent / "media").iterdir()} == before


def test_validations_are_videos_by_step_and_a_curve_a_figure(job: EvaluateJob, page: Path) -> None:
    store, part = open_store(job.store), page.read_text().partition(VALIDATION)[2].partition("Seconds per stage")[0]
    titles = re.findall(r"<figcaption><b>(Step \d+)</b>", part)
    assert titles == [f"Step {step}" for step in SHOWN] * 2
    videos = [(page.parent / file).read_text() for file in re.findall(r'<video src="([^"]+)"', part)]
    clips = read_material(job, store).clips  # by path
    assert videos == [f"{step} {clip}" for clip in clips for step in SHOWN]
    assert part.count("<svg") == 3
    assert "Means of 2 clips over the steps; 8 validations, the last after step 200." in part
    assert part.count("<section") == 1  # of the three models one was validated


def test_a_validation_video_that_is_gone_costs_only_its_player(job: EvaluateJob, tmp_path: Path) -> None:
    store = open_store(job.store)
    key = newest_model(store, "equivdm").key
    clip = read_validations(store, key)[0].clips[1]
    gone, kept = Path(store.path(step_folder(key, 25), clip.file)), tmp_path / "kept"
    gone.rename(kept)
    (one,) = validations_of(read_material(job, store), store, open_folder(str(tmp_path / "report")))
    kept.rename(gone)
    notes = {clip["key"]: [player.note for player in players] for clip, players in one.rows}
    assert notes == {key: ["the video is gone" if key == clip.key else "", *[""] * 5] for key in notes}


def test_a_source_that_is_gone_costs_only_its_player(tmp_path: Path) -> None:
    job = fill(tmp_path, clips=1)
    (tmp_path / "videos" / "holdout_00.mp4").unlink()
    page = Path(build_report(job, str(tmp_path / "report")))
    assert "the source is no longer where it was" in page.read_text()
    assert page.read_text().count("<video") == 4


def test_a_set_that_was_not_rendered_is_named(job: EvaluateJob, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="got 'other', wanted one of"):
        build_report(job.model_copy(update={"renders": ("other",)}), str(tmp_path))
