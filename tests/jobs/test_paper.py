"""The experiments that come along: they fit together at every size, and share what they can."""

from typing import get_args

import pytest

from equivdm.errors import UsageError
from equivdm.study.experiments import EXPERIMENTS
from jobs import paper
from jobs.paper import Size, experiment_names, paper_studies
from pipelines.reproducing.items import count_models, measurement_items, model_items


def test_every_experiment_has_a_spec_and_a_place_in_the_order() -> None:
    assert experiment_names() == list(paper.ORDER)
    assert set(experiment_names()) == set(EXPERIMENTS)


@pytest.mark.parametrize("size", get_args(Size))
def test_the_whole_matrix_validates_and_is_counted(size: Size) -> None:
    studies = paper_studies(size=size)
    counts = count_models(studies)
    seeds = 1 if size == "tiny" else 3
    assert [study.seeds for study in studies] == [seeds] * len(EXPERIMENTS)
    assert len(measurement_items(studies)) == seeds * len(EXPERIMENTS)
    assert counts[0] == seeds, "all models of a seed start from one base"
    assert counts[1] > counts[2] >= 2 * seeds, "more fine-tunes than students"
    assert counts.total() < sum(count_models([study]).total() for study in studies), "experiments share models"


def test_a_model_comes_behind_what_it_starts_from() -> None:
    made: set[str] = set()
    for wave in model_items(measurement_items(paper_studies())):
        assert {item.base for item in wave} - {None} <= made
        made |= {item.key for item in wave}


@pytest.mark.parametrize("size", get_args(Size))
def test_clips_suit_what_is_measured_on_them(size: Size) -> None:
    """Shifts, turns and flips take turns among the exact clips; an autoencoder has cells of 8 pixels."""
    for study in paper_studies(size=size):
        exact, tracked = study.spec.exact, study.spec.tracked
        assert exact.held_out % 3 == 0
        assert tracked.height % 8 == tracked.width % 8 == 0


def test_a_gpu_is_asked_for_at_its_size_alone() -> None:
    devices = {size: {study.spec.device for study in paper_studies(size=size)} for size in get_args(Size)}
    assert devices == {"tiny": {"cpu"}, "cpu": {"cpu"}, "gpu": {"cuda"}}


def test_experiments_are_chosen_by_name_and_seeds_by_number() -> None:
    chosen = paper_studies(["steps", "beta"], seeds=5)
    assert [(study.experiment, study.seeds) for study in chosen] == [("beta", 5), ("steps", 5)]
    with pytest.raises(UsageError, match="got experiment 'bet', wanted some of theorem41, tracked_points, beta"):
        paper_studies(["bet"])


def test_an_autoencoder_is_told_to_the_one_that_asks_for_it() -> None:
    plain, told = paper_studies(), paper_studies(autoencoder="taef2_encoder.pth")
    changed = [study.experiment for study, other in zip(plain, told, strict=True) if study != other]
    assert changed == ["tracked_points"]
