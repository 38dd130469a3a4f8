"""The report's words and figures, from values that are made up here: which is best, how sure, and what is missing."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from equivdm.config import NoiseConfig, SamplerConfig
from equivdm.metrics import METRICS
from pipelines.evaluation.comparison import compare
from pipelines.models import Figure, ModelRecord
from pipelines.report.material import Material, Method
from pipelines.report.plots import curves_of
from pipelines.report.words import Cell, notes, summary_table
from tests.pipelines.fit_cases import fit_config, train_job
from tests.pipelines.score_cases import Given, scores


def model(name: str, seed: int = 0, exclude: tuple[str, ...] = ("*",)) -> ModelRecord:
    """A model of a name; `independent` has independent noise. It was trained on all but `exclude`."""
    noise = NoiseConfig(kind="independent" if name == "independent" else "warped")
    job = train_job("store", fit_config(seed=seed), name=name, noise=noise, data={"exclude": exclude})
    made = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=seed)
    config = job.model_dump_json()
    return ModelRecord(name, name, "train", "w", config, None, 8, (), 1.0, made, job.backbone, noise, SamplerConfig())


def material(values: Given, clips: int = 4, **changes: object) -> Material:
    """Material of sets of videos; values[set][metric] has a number a clip, None where it was not measured."""
    found = compare(scores(values, clips=clips))
    pairs = found.scores.pairs
    methods = [Method(name, name.title(), "", i, model(name), pairs[name], {}) for i, name in enumerate(values)]
    facts = {"models": [method.model for method in methods], "seconds": {}, "outcomes": {"done": clips, "failed": 1}}
    shown = next(iter(pairs.values()))
    return Material(**{"found": found, "methods": methods, "clips": shown, **facts, **changes})  # type: ignore[arg-type]


def cells(made: Material, title: str) -> list[Cell | None]:
    (line,) = (line for line in summary_table(made.found) if line.metric.title == title)
    return list(line.cells)


BOTH = {
    "independent": {"epe": [2.0, 2.1, 1.9, 2.0], "cf_psnr": [17.0, 18.0, 17.5, 17.5], "contrast": [40.0] * 4},
    "equivdm": {"epe": [1.0, 1.2, 0.9, 0.9], "cf_psnr": [22.0, 23.0, 22.5, 22.5], "contrast": [50.0] * 4},
}


@pytest.mark.parametrize(
    ("title", "best"),
    [
        ("Cross-frame PSNR", [False, True]),
        ("Motion alignment (end-point error)", [False, True]),
        ("Contrast", [False, False]),  # neither more nor less is better
    ],
)
def test_the_better_mean_is_marked(title: str, best: list[bool]) -> None:
    assert [cell and cell.best for cell in cells(material(BOTH), title)] == best
    swapped = material({"independent": BOTH["equivdm"], "equivdm": BOTH["independent"]})
    assert [cell and cell.best for cell in cells(swapped, title)] == best[::-1]


def test_a_set_alone_is_not_the_best_and_differs_from_nothing() -> None:
    for name, values in BOTH.items():
        (cell,) = cells(material({name: values}), "Cross-frame PSNR")
        assert cell is not None
        assert (cell.best, cell.difference) == (False, "")


def test_differences_are_of_the_clips_that_both_sets_have() -> None:
    """The second set has another clip less: unpaired means would differ by more."""
    values = {"independent": {"epe": [1.0, 2.0, 9.0, None]}, "equivdm": {"epe": [0.5, 1.5, None, 7.0]}}
    _, cell = cells(material(values), "Motion alignment (end-point error)")
    assert cell is not None
    assert cell.mean == "3.0"
    assert cell.difference == "−0.5"  # both clips are of one driving video: no interval


def test_sets_without_a_clip_in_common_have_no_difference_and_one_without_values_no_cell() -> None:
    values = {"independent": {"epe": [1.0, None]}, "equivdm": {"epe": [None, 1.0]}, "student": {"flicker": [1.0, 2.0]}}
    first, second, third = cells(material(values, clips=2), "Motion alignment (end-point error)")
    assert first is not None
    assert second is not None
    assert (second.difference, third) == ("", None)


@pytest.mark.parametrize(
    ("values", "mean"),
    [([1000.0, 3000.0] * 2, "2000"), ([0.001] * 4, "0.00100"), ([-3.0] * 4, "−3.000"), ([0.0] * 4, "0.0")],
)
def test_a_mean_has_the_digits_that_its_interval_bears(values: list[float], mean: str) -> None:
    (cell,) = cells(material({"equivdm": {"epe": values}}), "Motion alignment (end-point error)")
    assert cell is not None
    assert cell.mean == mean


def test_clips_that_are_all_alike_have_no_spread() -> None:
    (cell,) = cells(material({"equivdm": {"epe": [0.5] * 4}}), "Motion alignment (end-point error)")
    assert cell is not None
    assert cell.interval == f"{cell.mean} to {cell.mean}"


def test_lines_come_in_the_order_of_the_metrics_and_only_those_that_were_measured() -> None:
    lines = summary_table(material(BOTH).found)
    assert [line.metric for line in lines] == [METRICS[name] for name in ("cf_psnr", "epe", "contrast")]
    assert summary_table(material({"equivdm": {}}).found) == []


def test_notes_count_clips_videos_and_outcomes() -> None:
    words = notes(material(BOTH))
    assert words[0] == "Measured on 4 clips of 2 driving videos, 6 frames of 32×48."
    assert any("a bootstrap of 200 resamplings over driving videos" in note and "(seed 0)" in note for note in words)
    assert any(note.startswith("Clips in the store: 4 done, 1 failed.") for note in words)


@pytest.mark.parametrize(
    ("exclude", "said"),
    [
        (("*",), "No model was trained on any of these videos."),
        (("v0*",), "2 of these 4 clips were in the training set of at least one model"),
        ((), "4 of these 4 clips were in the training set of at least one model"),
    ],
)
def test_clips_that_a_model_was_trained_on_are_owned_up_to(exclude: tuple[str, ...], said: str) -> None:
    words = notes(material(BOTH, models=[model("equivdm", exclude=exclude)]))
    assert words[1].startswith(said)


def test_of_videos_from_elsewhere_it_is_not_known_whether_a_model_was_trained_on_them() -> None:
    made = material(BOTH, models=[model("equivdm", exclude=())])
    foreign = {clip: replace(pair, motion={}) for clip, pair in made.clips.items() if clip != "c0"}
    words = notes(replace(made, clips={**made.clips, **foreign}))
    assert words[1].startswith("1 of these 1 clip was in the training set")
    assert words[2] == "Whether a model was trained on 3 videos of these is not known."


def test_clips_that_a_set_lacks_are_counted() -> None:
    values = {"independent": {"epe": [1.0] * 4}, "equivdm": {"epe": [1.0, None, None, 1.0]}}
    assert "4 clips, of which 2 measured of both." in notes(material(values))


def test_models_of_several_seeds_are_told_by_all_of_them() -> None:
    words = notes(material(BOTH, models=[model("equivdm", 3), model("independent", 1)]))
    assert any("each model was trained once (seed 1, 3)." in note for note in words)


def test_a_model_without_a_history_has_no_curve() -> None:
    assert curves_of(material(BOTH)) == []


HISTORY = tuple(Figure(step, "loss", 1 / step) for step in range(10, 60, 10))
