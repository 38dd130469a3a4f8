"""Finished models come back as they were written, and are found by key and by name."""

import hashlib
from pathlib import Path

import pytest
import torch

from equivdm.backbones import backbone_of
from equivdm.config import NoiseConfig, SamplerConfig, WanConfig
from equivdm.errors import UsageError
from pipelines.config import TrainJob
from pipelines.models import (
    Figure,
    ModelRecord,
    find_model,
    load_denoiser,
    load_weights,
    model_files,
    model_folder,
    newest_model,
    register_model,
    save_weights,
)
from pipelines.store import Store
from tests.equivdm.backbones.wan import tiny
from tests.pipelines.fit_cases import BACKBONE, distill_job, fit_config, train_job

HISTORY = (Figure(2, "loss", 0.5), Figure(4, "loss", 0.25))


def finish(
    store: Store, key: str, job: object, parent: str | None = None, seed: int = 0, spread: float = 0.0
) -> ModelRecord:
    """Write a model with random weights; with a `spread`, those that a new network has at zero are random too."""
    network = backbone_of(job.backbone if isinstance(job, TrainJob) else BACKBONE).build_denoiser(seed)
    generator = torch.Generator().manual_seed(seed)
    for value in network.state_dict().values():
        value.add_(spread * torch.randn(value.shape, generator=generator))
    weights = save_weights(store, key, network.state_dict(), network)
    return register_model(store, job, key, parent, weights=weights, steps=4, history=HISTORY, run="run", seconds=1.5)


def test_a_model_comes_back_whole(store: Store) -> None:
    job = train_job(store.url, fit_config(), noise=NoiseConfig(beta=0.5))
    record = finish(store, "k1", job)
    assert find_model(store, "k1") == record
    assert find_model(store, "k2") is None
    assert record.history == HISTORY
    assert (record.backbone, record.noise, record.sampler) == (BACKBONE, NoiseConfig(beta=0.5), SamplerConfig())
    assert TrainJob.model_validate_json(record.config) == job
    denoiser, codec, loaded = load_denoiser(store, "equivdm")
    assert loaded == record
    assert not denoiser.training
    assert codec.geometry.grid(16, 16) == (8, 8)
    wanted = backbone_of(BACKBONE).build_denoiser(0).state_dict()
    assert all(torch.equal(value, wanted[name]) for name, value in denoiser.state_dict().items())


def test_the_newest_of_a_name_counts_and_a_student_has_its_teachers_network(tmp_path: Path, store: Store) -> None:
    job = train_job(store.url, fit_config(), noise=NoiseConfig(beta=0.5))
    finish(store, "k1", job)
    teacher = finish(store, "k2", job, seed=1)
    assert newest_model(store, "equivdm") == teacher
    student = finish(store, "k3", distill_job(store.url, fit_config()), parent="k2")
    assert (student.parent, student.backbone, student.noise) == ("k2", BACKBONE, NoiseConfig(beta=0.5))
    assert student.sampler == SamplerConfig(kind="renoise", steps=1)


def test_a_student_predicts_what_its_teacher_does(store: Store) -> None:
    assert finish(store, "k1", train_job(store.url, fit_config())).objective is None
    assert finish(store, "k2", train_job(store.url, fit_config(), objective="v")).objective == "v"
    assert finish(store, "k3", distill_job(store.url, fit_config()), parent="k2").objective == "v"


def test_an_unknown_name_says_what_there_is(store: Store) -> None:
    with pytest.raises(UsageError, match=r"got 'equivdm', but .* holds no model, and "):
        newest_model(store, "equivdm")
    finish(store, "k1", train_job(store.url, fit_config(), name="baseline"))
    with pytest.raises(UsageError, match=r"got 'equivdm', but .* holds baseline, and "):
        newest_model(store, "equivdm")


def test_a_model_of_several_files_is_named_by_their_list(store: Store) -> None:
    network = tiny.denoiser(vace=True)
    named = save_weights(store, "k1", network.state_dict(), network)
    row = {"folder": model_folder("k1"), "weights": named}
    files = dict(model_files(store, row))
    assert set(files) == {
        "weights/k1/SHA256SUMS",
        "weights/k1/transformer/config.json",
        "weights/k1/transformer/diffusion_pytorch_model.safetensors",
    }
    for path, digest in files.items():
        assert hashlib.sha256(store.filesystem.cat_file(store.path(path))).hexdigest() == digest
    job = train_job(store.url, fit_config(), backbone=WanConfig(model="where/it/began"))
    record = register_model(store, job, "k1", None, weights=named, steps=1, history=(), run="run", seconds=1.0)
    found = load_weights(store, record).state_dict()
    assert all(torch.equal(value, found[name]) for name, value in network.state_dict().items())
    store.filesystem.pipe_file(store.path("weights/k1/SHA256SUMS"), b"changed")
    assert model_files(store, row) == [("weights/k1/SHA256SUMS", named)]
