"""Every experiment at tiny size, from its specs to its rows."""

from collections.abc import Callable
from math import isfinite
from pathlib import Path

import pytest

from equivdm.metrics import Case, measure
from equivdm.study.clips import build_clips
from equivdm.study.config import TINY, ModelSpec, in_order
from equivdm.study.experiment import Experiment, Measured, Networks
from equivdm.study.experiments import EXPERIMENTS
from equivdm.study.judging import DRIVING, OF_CLIP
from equivdm.study.models import make_model, open_network
from equivdm.study.training import State

Run = Callable[..., Measured]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("study")


@pytest.fixture(scope="module")
def run(folder: Path) -> Run:
    """Runs an experiment; a model that several need is made once, and the first outcome of each is kept."""
    states: dict[str, State] = {}
    outcomes: dict[str, Measured] = {}

    def networks(models: list[ModelSpec]) -> Networks:
        for model in in_order(models):
            if model.key not in states:
                states[model.key] = make_model(model, states[model.base.key] if model.base else None, folder)
        return {model.key: open_network(model, states[model.key]) for model in models}

    def run(experiment: Experiment, again: bool = False) -> Measured:
        if again or experiment.name not in outcomes:
            made = networks(list(experiment.models(TINY, 0)))
            outcomes[experiment.name] = experiment.measure(TINY, 0, made, folder)
        return outcomes[experiment.name]

    return run


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_yields_what_it_promises(name: str, run: Run) -> None:
    experiment = EXPERIMENTS[name]
    found = run(experiment)
    assert experiment.name == name
    assert {row.metric for row in found.rows} == set(experiment.metrics)
    assert all(isfinite(row.value) for row in found.rows)
    assert len({row[:4] for row in found.rows}) == len(found.rows), "each number once"
    axis = {row.x is not None for row in found.rows if row.variant != DRIVING}
    assert axis == {experiment.axis is not None}
    clips = {row.clip for row in found.rows} - {None}
    assert clips <= set(range(3))
    assert all(len(videos) == TINY.videos for videos in found.videos.values())
    assert all(video.shape == (3, 32, 32, 3) for videos in found.videos.values() for video in videos)


def test_the_same_experiment_finds_the_same(run: Run) -> None:
    assert run(EXPERIMENTS["v2v"]).rows == run(EXPERIMENTS["v2v"], again=True).rows


def test_driving_clips_are_judged_as_samples_are(run: Run, folder: Path) -> None:
    rows = run(EXPERIMENTS["v2v"]).rows
    clip = build_clips(TINY.scenes, 0, folder).held_out[1]
    found = {row.metric: row.value for row in rows if row.variant == DRIVING and row.clip == 1}
    assert found == measure(Case(clip.frames, clip.motion), OF_CLIP)


def test_models_are_named_by_all_that_decides_them() -> None:
    models = [model for each in EXPERIMENTS.values() for model in each.models(TINY, 0)]
    again = [model for each in EXPERIMENTS.values() for model in each.models(TINY, 0)]
    assert [model.key for model in models] == [model.key for model in again]
    by_key = {model.key: model for model in models}
    assert all(by_key[model.key] == model for model in models)
    others = {model.key for each in EXPERIMENTS.values() for model in each.models(TINY, 1)}
    assert not others & by_key.keys()
    bases = [model for model in in_order(models) if model.base is None]
    assert len(bases) == 1, "all start from one"
