"""Adapters on Ray, whole path: killed in the middle and continued bitwise, then rendered as their base with W + B A."""

import shutil
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from safetensors.torch import load_file

from equivdm.config import LoraConfig, SamplerConfig
from pipelines import preprocess, render, train
from pipelines.audit import audit
from pipelines.checkpoints import read_state
from pipelines.clips import select_clips
from pipelines.config import RenderJob, TrainJob
from pipelines.fit import TrainSummary, run_folder
from pipelines.models import (
    ADAPTER,
    ModelRecord,
    find_model,
    load_weights,
    newest_model,
    register_model,
    save_weights,
)
from pipelines.start import start_of
from pipelines.store import Store, open_store
from tests.pipelines.fit_cases import fit_config
from tests.pipelines.test_lora import WIDE, lora_job
from tests.pipelines.test_train import kill_midway
from tests.pipelines.videos import preprocess_job, write_scene

pytestmark = [
    pytest.mark.slow,
    pytest.mark.ray,
    pytest.mark.timeout(1800),  # preprocess, three trainings and a start of Ray
    pytest.mark.usefixtures("local_ray"),
]

LORA = LoraConfig(rank=32, alpha=64.0)
"""Of `WIDE`, so that ZeRO 3 partitions adapters."""

SCALE = LORA.alpha / LORA.rank
"""A power of two: the order of products changes no bit."""


class Runs(NamedTuple):
    """The same job in two stores with the same clips."""

    job: TrainJob
    saved: list[tuple[int, str, float]]
    """Speeds in the checkpoint that the killed run left."""
    resumed: TrainSummary
    whole: TrainSummary


@pytest.fixture(scope="module")
def runs(local_ray: None, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """Videos to clips on Ray; then two workers with ZeRO 3, once killed and continued, once not."""
    del local_ray
    folder = tmp_path_factory.mktemp("lora")
    for seed in (1, 2):
        write_scene(folder / "videos" / f"{seed}.mp4", seed)
    assert preprocess.run(preprocess_job(folder / "videos", folder / "killed")).counts["done"] == 4
    fit = fit_config(2, steps=12, report_every=1)
    fit = fit.model_copy(update={"parallel": fit.parallel.model_copy(update={"zero_stage": 3})})
    job = lora_job(folder / "killed", LORA, WIDE).model_copy(update={"fit": fit})
    shutil.copytree(folder / "killed", folder / "whole")
    other = job.model_copy(update={"store": job.store.model_copy(update={"root": str(folder / "whole")})})
    store = open_store(job.store)
    key = train.train_key(job, [row["key"] for row in select_clips(store, job.data)], start_of(job, store))
    kill_midway(job, key)
    assert find_model(store, key) is None
    left = min(Path(run_folder(store, key)).glob("checkpoint_2*"))  # named by their time
    saved = read_state(left)["speeds"]
    resumed = train.run(job)
    return Runs(job, saved, resumed, train.run(other))


def test_a_killed_run_goes_on_bitwise(runs: Runs) -> None:
    assert runs.saved
    assert [tuple(figure) for figure in runs.resumed.speeds[: len(runs.saved)]] == runs.saved  # it did not begin anew
    assert runs.resumed.model.steps == 12
    assert runs.resumed.model.history == runs.whole.model.history
    assert runs.resumed.model.weights == runs.whole.model.weights
    assert not train.run(runs.job).fresh
    assert audit(runs.job).ok


def merged_by_hand(store: Store, record: ModelRecord) -> dict[str, torch.Tensor]:
    """The base's weights with alpha / rank * B A added to those that have adapters."""
    weights = load_weights(store, newest_model(store, "base")).state_dict()
    adapters = load_file(store.path(record.folder, ADAPTER))
    layers = {name.removesuffix(".lora_A.weight") for name in adapters if name.endswith(".lora_A.weight")}
    assert len(adapters) == 2 * len(layers) == 4
    for layer in layers:
        added = adapters[f"{layer}.lora_B.weight"] @ adapters[f"{layer}.lora_A.weight"]
        assert added.any()
        weights[f"{layer.removeprefix('base_model.model.')}.weight"] += SCALE * added
    return weights


def test_its_videos_are_those_of_weights_merged_by_hand(runs: Runs) -> None:
    store, model = open_store(runs.job.store), runs.resumed.model
    hand, plain = merged_by_hand(store, model), load_weights(store, newest_model(store, "base"))
    facts = {"weights": save_weights(store, "hand", hand, plain), "history": [], "run": "run"}
    by_hand = runs.job.model_copy(update={"name": "hand", "lora": None, "start": None})
    register_model(store, by_hand, "hand", None, steps=0, seconds=1.0, **facts)
    for name in ("equivdm", "hand", "base"):
        job = RenderJob(store=runs.job.store, ray=runs.job.ray, name=name, model=name, sampler=SamplerConfig(steps=2))
        assert render.run(job).counts["done"] == 4
        assert audit(job).ok
    videos = {(row["name"], row["clip"]): row["sha256"] for row in store.table("videos").rows()}
    for clip in {clip for _, clip in videos}:
        adapted, merged, base = (videos[name, clip] for name in ("equivdm", "hand", "base"))
        assert adapted == merged != base
