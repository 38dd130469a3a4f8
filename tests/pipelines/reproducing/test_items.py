"""Keys of models and measurements: a changed spec makes what it must anew, and nothing else."""

from pathlib import Path
from typing import Any

import pytest

from equivdm.errors import UsageError
from equivdm.study.config import TINY
from pipelines.config import StudyConfig
from pipelines.reproducing.items import measurement_items, model_items


def study(experiment: str = "beta", seeds: int = 2, **changes: Any) -> StudyConfig:
    return StudyConfig(experiment=experiment, seeds=seeds, spec=TINY.model_copy(update=changes))


def models(*studies: StudyConfig) -> list[set[str]]:
    """Keys of the models, wave by wave."""
    return [{item.key for item in wave} for wave in model_items(measurement_items(studies))]


def measurements(*studies: StudyConfig) -> set[str]:
    return {item.key for item in measurement_items(studies)}


def test_a_further_beta_is_a_further_model_of_each_seed() -> None:
    before, after = study(betas=(0.0, 1.0)), study(betas=(0.0, 0.5, 1.0))
    assert models(before)[0] == models(after)[0]
    assert models(before)[1] < models(after)[1]
    assert len(models(after)[1]) - len(models(before)[1]) == 2
    assert not measurements(before) & measurements(after)


def test_another_sampler_measures_again_and_trains_nothing() -> None:
    before, after = study(sampler_steps=2), study(sampler_steps=3)
    assert models(before) == models(after)
    assert not measurements(before) & measurements(after)


def test_another_base_trains_all_again() -> None:
    before, after = models(study("students", base_steps=2)), models(study("students", base_steps=3))
    assert len(before) == len(after) == 3
    assert not set().union(*before) & set().union(*after)


def test_more_seeds_keep_those_that_are_there() -> None:
    assert measurements(study(seeds=2)) < measurements(study(seeds=3))
    assert models(study(seeds=2))[1] < models(study(seeds=3))[1]


def test_where_networks_run_changes_nothing() -> None:
    assert measurements(study(device="cpu")) == measurements(study(device="cuda"))
    assert models(study(device="cpu")) == models(study(device="cuda"))


def test_experiments_share_models() -> None:
    assert models(study("steps")) == models(study("v2v")) == models(study("steps"), study("v2v"))
    assert not measurements(study("steps")) & measurements(study("v2v"))


def test_an_autoencoder_is_known_by_its_bytes(tmp_path: Path) -> None:
    for name, text in (("a", "weights"), ("b", "weights"), ("c", "others")):
        (tmp_path / name).write_text(text)
    of = {name: measurements(study("tracked_points", autoencoder=str(tmp_path / name))) for name in "abc"}
    assert of["a"] == of["b"]
    assert not of["a"] & of["c"]
    assert not of["a"] & measurements(study("tracked_points"))
    with pytest.raises(UsageError, match=r"autoencoder: got '.*/d', which cannot be read"):
        measurements(study("tracked_points", autoencoder=str(tmp_path / "d")))
