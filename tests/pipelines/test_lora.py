"""Training of adapters: alike in every ZeRO stage, bitwise continued, without the frozen weights in what is written."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from equivdm.backbones import backbone_of
from equivdm.backbones.deferred import materialise
from equivdm.config import LoraConfig, TinyConfig
from equivdm.errors import UsageError
from pipelines import distill_recipe
from pipelines.audit import _objects
from pipelines.checkpoints import resume
from pipelines.config import TrainJob
from pipelines.engines import MakeEngine, make_plain
from pipelines.loop import run
from pipelines.models import ModelRecord, load_weights, newest_model, register_model, save_weights
from pipelines.partition import whole
from pipelines.reshard import universal
from pipelines.session import Session, set_up
from pipelines.start import start_of
from pipelines.store import Store, open_store
from pipelines.train import make_recipe, train_key
from tests.pipelines.fit_cases import BACKBONE, distill_job, fit_config, train_job, write_clips
from tests.pipelines.test_engines import with_stage

CPU = torch.device("cpu")

pytestmark = pytest.mark.usefixtures("group")

LORA = LoraConfig(rank=32, alpha=32.0)

WIDE = TinyConfig(width=512, depth=1, heads=2, patch=4)
"""A network with adapters, too, of which some are too large for ZeRO 3 to keep whole."""

TRAINED = 32 * ((512 + 3584) + (2560 + 512))


def lora_job(root: Path, lora: LoraConfig = LORA, backbone: TinyConfig = WIDE) -> TrainJob:
    """Write a model whose layers all say something, and return a job of four steps on adapters for it."""
    job = train_job(str(root), fit_config(steps=4, report_every=1)).model_copy(update={"backbone": backbone})
    denoiser, generator = backbone_of(backbone).build_denoiser(0), torch.Generator().manual_seed(1)
    for parameter in denoiser.parameters():
        if not parameter.any():
            parameter.data = 0.1 * torch.randn(parameter.shape, generator=generator)
    store, base = open_store(job.store), job.model_copy(update={"name": "base"})
    facts = {"weights": save_weights(store, "base", denoiser.state_dict(), denoiser), "history": [], "run": "run"}
    register_model(store, base, "base", None, steps=0, seconds=1.0, **facts)
    return job.model_copy(update={"lora": lora, "start": "base"})


def begun(job: TrainJob, keys: list[str], make: MakeEngine) -> Session:
    """Return a session at step 0."""
    store = open_store(job.store)
    recipe = make_recipe(job, store, keys, CPU, 0, 1, newest_model(store, "base"))
    return set_up(recipe, job.fit, CPU, make)


def stop_after(session: Session, steps: int) -> Session:
    """Do so many steps."""
    session.fit = session.fit.model_copy(update={"steps": steps})
    run(session)
    return session


def losses(session: Session) -> list[float]:
    return [figure.value for figure in session.history if figure.is_loss]


def state_of(session: Session) -> dict[str, Any]:
    """What all workers have alike, as in a checkpoint."""
    figures = {name: [tuple(f) for f in getattr(session, name)] for name in ("history", "speeds")}
    average = whole(session.main, session.ema.state_dict())
    return {"ema": average, "step": session.step, "pending": session.pending, **figures}


def finished(store: Store, job: TrainJob, session: Session) -> ModelRecord:
    """Export a session's average as a worker does, and record it."""
    average = whole(session.main, session.ema.state_dict())
    weights = save_weights(store, "adapted", average, session.main)
    facts = {"weights": weights, "steps": session.step, "history": session.history, "run": "run", "seconds": 1.0}
    return register_model(store, job, "adapted", "base", **facts)


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_adapters_are_trained_alike_in_every_stage_and_go_on_bitwise(stage: int, tmp_path: Path) -> None:
    job, make = lora_job(tmp_path), partial(with_stage, stage)
    keys = write_clips(open_store(job.store))
    plain = stop_after(begun(job, keys, make_plain), 4)
    through, first, second = (begun(job, keys, make) for _ in range(3))
    assert losses(stop_after(through, 4)) == pytest.approx(losses(plain), rel=1e-4)

    state = state_of(stop_after(first, 2))
    first.engines["denoiser"].save(tmp_path / "saved" / "denoiser")
    resume(second, state, tmp_path / "saved")
    assert losses(stop_after(second, 4)) == losses(through)
    for name, value in through.ema.state_dict().items():
        assert torch.equal(value, second.ema.state_dict()[name])
    # Weights, two moments and a master copy of what is trained, as DeepSpeed has it; the base is 3.4 million weights.
    written = sum(path.stat().st_size for path in (tmp_path / "saved").rglob("*") if path.is_file())
    assert 3 * 4 * TRAINED < written < 5 * 4 * TRAINED


@pytest.mark.parametrize("make", [make_plain, partial(with_stage, 3)])
def test_only_adapters_are_averaged_and_the_base_stays_bitwise(make: MakeEngine, tmp_path: Path) -> None:
    job = lora_job(tmp_path)
    session = stop_after(begun(job, write_clips(open_store(job.store)), make), 4)
    average = whole(session.main, session.ema.state_dict())
    assert sum(value.numel() for value in average.values()) == TRAINED
    assert all(value.any() for value in average.values())  # B has left zero
    base = load_weights(open_store(job.store), newest_model(open_store(job.store), "base")).state_dict()
    left = {name.replace(".base_layer", "") for name, p in session.main.named_parameters() if not p.requires_grad}
    assert left == set(base)
    for name, parameter in session.main.named_parameters():
        if not parameter.requires_grad:
            part = getattr(parameter, "ds_tensor", parameter)
            assert torch.equal(part.flatten(), base[name.replace(".base_layer", "")].flatten()[: part.numel()])


@pytest.mark.parametrize(("before", "now"), [(1, 3)])
def test_adapters_go_on_in_another_stage(before: int, now: int, tmp_path: Path) -> None:
    job = lora_job(tmp_path)
    store = open_store(job.store)
    keys = write_clips(store)
    plain = losses(stop_after(begun(job, keys, make_plain), 4))
    first = stop_after(begun(job, keys, partial(with_stage, before)), 2)
    state = state_of(first)
    first.engines["denoiser"].save(tmp_path / "saved" / "denoiser")
    second = begun(job, keys, partial(with_stage, now, universal=True))
    with universal(store, "converted", tmp_path / "saved", ["denoiser"]) as folder:
        resume(second, state, folder)
    assert losses(stop_after(second, 4)) == pytest.approx(plain, rel=1e-4)


def test_a_model_of_adapters_is_recorded_loaded_and_distilled(tmp_path: Path) -> None:
    job = lora_job(tmp_path, LoraConfig(rank=2), BACKBONE)
    store = open_store(job.store)
    keys = write_clips(store)
    session = stop_after(begun(job, keys, make_plain), 4)
    record = finished(store, job, session)
    assert newest_model(store, "equivdm") == record
    named = dict(_objects(store, store.table("models"), [{"folder": record.folder, "weights": record.weights}]))
    files = ("SHA256SUMS", "adapter_config.json", "adapter_model.safetensors", "base.json")
    assert set(named) == {f"{record.folder}/{file}" for file in files}
    session.main.load_state_dict(session.ema.state_dict(), strict=False)
    merged, batch = load_weights(store, record), session.recipe.batch(0)
    with torch.no_grad():
        wanted = session.main(batch.latents, batch.times, batch.conditions)
        found = merged(batch.latents, batch.times, batch.conditions)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)

    student = distill_job(str(tmp_path), fit_config(steps=1, report_every=1))
    recipe = distill_recipe.make_recipe(student, store, record, keys, CPU, 0, 1)
    assert set(recipe.parts["student"].module.state_dict()) == set(merged.state_dict())
    assert stop_after(set_up(recipe, student.fit, CPU, make_plain), 1).history


def test_the_key_has_adapters_only_where_there_are_some() -> None:
    jobs = [train_job("here", fit_config(), lora=lora) for lora in (None, LORA, LoraConfig(rank=4))]
    keys = [train_key(job, ["a", "b"]) for job in jobs]
    assert keys[0] == train_key(train_job("here", fit_config()), ["a", "b"])
    assert len(set(keys)) == 3


def test_a_model_goes_on_from_another_of_its_backbone(tmp_path: Path) -> None:
    job = lora_job(tmp_path).model_copy(update={"lora": None})
    store = open_store(job.store)
    keys, start = write_clips(store), newest_model(store, "base")
    assert start_of(job, store) == start
    assert train_key(job, keys, start) != train_key(job, keys)
    recipe = make_recipe(job, store, keys, CPU, 0, 1, start)
    wanted = load_weights(store, start).state_dict()
    found = materialise(recipe.parts["denoiser"].module, CPU)
    assert all(torch.equal(p, wanted[n]) for n, p in found.state_dict().items())
    assert all(parameter.requires_grad for parameter in found.parameters())
    with pytest.raises(UsageError, match=r"start: got base, which is of backbone .*width=512.*, wanted .*width=16"):
        start_of(job.model_copy(update={"backbone": BACKBONE}), store)
    with pytest.raises(UsageError, match="start: got base, which predicts flow, wanted epsilon: set objective=flow"):
        start_of(job.model_copy(update={"objective": "epsilon"}), store)
    with pytest.raises(ValueError, match="start: got 'base', which is the model's own name"):
        train_job("here", fit_config(), name="base", start="base")


def test_frozen_weights_have_no_gradient_to_count(tmp_path: Path) -> None:
    job = lora_job(tmp_path)
    store = open_store(job.store)
    keys, start = write_clips(store), newest_model(store, "base")
    for lora, passes in ((None, 3), (LORA, 2)):
        recipe = make_recipe(job.model_copy(update={"lora": lora}), store, keys, CPU, 0, 1, start)
        assert recipe.flops(batch := recipe.batch(0)) == passes * recipe.forward_flops(batch)


def test_a_wrong_target_is_refused_before_any_worker_starts(tmp_path: Path) -> None:
    from pipelines.train import run as run_job

    job = train_job(str(tmp_path), fit_config(), lora=LoraConfig(targets=("to_q",)))
    write_clips(open_store(job.store))
    with pytest.raises(UsageError, match=r"lora.targets: got 'to_q', .* take of embed, film, mix_in, mix_out,"):
        run_job(job)
