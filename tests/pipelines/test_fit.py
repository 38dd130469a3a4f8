"""The loop on Ray Train and DeepSpeed: equal to plain torch, bitwise equal after a crash, loud when it diverges."""

import math
from functools import partial
from pathlib import Path

import pytest
import torch

from equivdm.errors import EquivdmError, UsageError
from pipelines.checkpoints import Misfit, must_reshard
from pipelines.engines import make_plain, rate_share
from pipelines.figures import Diverged
from pipelines.fit import train
from pipelines.fit_config import FitConfig, OptimizerConfig, ParallelConfig
from pipelines.loop import is_due, run
from pipelines.models import WEIGHTS, model_folder
from pipelines.session import Session, set_up
from pipelines.settings import StoreConfig
from pipelines.store import Store, open_store
from pipelines.worker import FitTask, Outcome
from tests.pipelines.fit_cases import RAY
from tests.pipelines.toy import Faults, make_toy

CPU = torch.device("cpu")

BETWEEN = [(0, 7), (7, 14), (14, 21), (21, 28), (28, 30)]
"""Steps between the reports."""


def settings(workers: int, zero_stage: int = 1, max_failures: int = 0) -> FitConfig:
    """Thirty steps; neither the reports nor the checkpoints fall on the last one or on each other."""
    parallel = {"workers": workers, "cpus_per_worker": 1, "zero_stage": zero_stage, "max_failures": max_failures}
    return FitConfig(
        steps=30, batch=8, report_every=7, checkpoint_every=4, parallel=ParallelConfig.model_validate(parallel)
    )


def fit(store: Store, key: str, config: FitConfig, faults: Faults = Faults(), hidden: int = 32) -> Outcome:  # noqa: B008
    """Train the toy on Ray."""
    return train(FitTask(key, f"toy {key}", store, config, partial(make_toy, faults, hidden=hidden)), RAY)


def alone(faults: Faults = Faults(), hidden: int = 32, **changes: object) -> Session:  # noqa: B008
    """Train the toy in this process, with plain torch."""
    session = set_up(make_toy(faults, CPU, 0, 1, hidden), settings(1).model_copy(update=changes), CPU, make_plain)
    run(session)
    return session


def weights(store: Store, key: str) -> dict[str, torch.Tensor]:
    """Exported weights of a key."""
    from safetensors.torch import load_file

    with store.local_copy(model_folder(key), WEIGHTS) as local:
        return load_file(local)


def test_reports_are_means_over_the_steps_between_them() -> None:
    session = alone()
    toy = make_toy(Faults(), CPU, 0, 1)
    assert [f.step for f in session.history if f.metric == "size"] == [7, 14, 21, 28, 30]
    assert [f.step for f in session.history if f.metric == "loss"] == [7, 14, 21, 28, 30]
    sizes = [float(toy.batch(step).abs().mean()) for step in range(30)]
    expected = [sum(sizes[a:b]) / (b - a) for a, b in BETWEEN]
    assert [f.value for f in session.history if f.metric == "size"] == pytest.approx(expected, rel=1e-6)


def test_the_loss_falls_and_the_average_lags_behind_the_weights() -> None:
    session = alone()
    losses = [f.value for f in session.history if f.metric == "loss"]
    assert losses == sorted(losses, reverse=True)
    averaged, last = session.ema.state_dict()["0.weight"], session.main.state_dict()["0.weight"]
    start = make_toy(Faults(), CPU, 0, 1).parts["net"].module.state_dict()["0.weight"]
    assert 0 < float((averaged - start).norm()) < float((last - start).norm())


def test_speeds_stand_beside_the_history_and_not_in_it() -> None:
    session = alone()
    assert [f.step for f in session.speeds if f.metric == "clips_per_s"] == [7, 14, 21, 28, 30]
    rates, seconds, shares = (
        [f.value for f in session.speeds if f.metric == name] for name in ("clips_per_s", "s_per_step", "loader_share")
    )
    assert rates == pytest.approx([8 / each for each in seconds])
    assert all(0 < share <= 1 for share in shares)
    assert not {f.metric for f in session.speeds} & {f.metric for f in session.history}
    same, other = (Outcome("a", tuple(session.history), speeds) for speeds in ((), tuple(session.speeds)))
    assert same == other


def test_divergence_names_the_step_and_the_metric() -> None:
    with pytest.raises(Diverged, match="size is nan at step 16"):
        alone(Faults(diverge_at=16))


def test_a_loss_that_is_no_number_ends_the_run_and_says_how_to_go_on() -> None:
    wanted = r"loss is nan at step 16; there is no checkpoint yet: set fit\.on_nan=skip to go on, or begin anew"
    with pytest.raises(Diverged, match=wanted):
        alone(Faults(spoiled=(16,)))


def test_updates_that_are_left_out_are_counted_and_not_averaged() -> None:
    session, whole = alone(Faults(spoiled=(8, 9, 29)), on_nan="skip"), alone(on_nan="skip")
    counts = [(f.step, f.value) for f in session.history if f.metric == "skipped_updates"]
    assert counts == [(7, 0), (14, 2), (21, 0), (28, 0), (30, 1)]
    assert all(math.isfinite(f.value) for f in session.history)
    assert session.history[:5] == whole.history[:5]
    assert session.history != whole.history
    assert "skipped_updates" not in {f.metric for f in alone().history}


def test_an_average_does_not_see_updates_that_are_left_out() -> None:
    one = alone(Faults(spoiled=(0, 1)), on_nan="skip", steps=2)
    start = make_toy(Faults(), CPU, 0, 1).parts["net"].module.state_dict()
    assert all(torch.equal(value, start[name]) for name, value in one.ema.state_dict().items())
    # A window without any number has no mean.
    assert {f.metric for f in one.history} == {"size", "lr", "skipped_updates"}


def test_too_many_updates_left_out_end_the_run() -> None:
    every = Faults(spoiled=tuple(range(3, 30)))
    with pytest.raises(Diverged, match=r"3 updates were left out until step 5, fit\.max_skipped is 2; .* raise that"):
        alone(every, on_nan="skip", max_skipped=2)
    assert alone(Faults(spoiled=(3, 20)), on_nan="skip", max_skipped=2).step == 30


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(1800)  # three starts of workers
@pytest.mark.usefixtures("local_ray")
@pytest.mark.parametrize("stage", [0, 3])
def test_one_worker_without_a_number_leaves_the_update_out_on_all(tmp_path: Path, stage: int) -> None:
    here, other = (open_store(StoreConfig(root=str(tmp_path / name))) for name in ("here", "other"))
    config = settings(2, stage, max_failures=1).model_copy(update={"on_nan": "skip"})
    whole = fit(here, "toy", config, Faults(spoiled=(8, 22)), hidden=8192)
    faults = Faults(crash_at=18, marker=str(tmp_path / "crashed"), spoiled=(8, 22))
    assert fit(other, "toy", config, faults, hidden=8192) == whole
    plain = alone(Faults(spoiled=(8, 22)), hidden=8192, on_nan="skip")
    assert [f[:2] for f in whole.history] == [f[:2] for f in plain.history]
    assert [f.value for f in whole.history] == pytest.approx([f.value for f in plain.history], rel=1e-3)


def moves(optimizer: OptimizerConfig, steps: int, updates: int = 1) -> list[float]:
    """How far each step moves a weight: without moments AdamW moves by its learning rate, whatever the gradient."""
    parameter = torch.nn.Linear(1, 1, bias=False)
    fit = FitConfig(steps=steps, optimizer=optimizer.model_copy(update={"weight_decay": 0, "betas": (0.0, 0.0)}))
    engine, found = make_plain(parameter, fit, 0.1, updates), []
    for _ in range(steps * updates):
        before = parameter.weight.item()
        engine.backward(parameter(torch.ones(1, 1)).sum() * 0.5)
        rate = engine.rate
        engine.step()
        found.append(before - parameter.weight.item())
        assert found[-1] == pytest.approx(rate, rel=1e-4)
    return found


@pytest.mark.parametrize("warmup", [0, 1, 4])
def test_the_learning_rate_warms_up_linearly(warmup: int) -> None:
    wanted = [0.1 * min(1, (n + 1) / max(1, warmup)) for n in range(6)]
    assert moves(OptimizerConfig(warmup=warmup), 6) == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize("updates", [1, 3])
def test_a_cosine_falls_from_the_rate_to_its_floor(updates: int) -> None:
    config = OptimizerConfig(warmup=2, schedule="cosine", lr_floor=0.25)
    found = moves(config, 12 // updates, updates)  # an optimizer of several steps a step falls over them all
    assert found[:2] == pytest.approx([0.05, 0.1], rel=1e-4)
    wanted = [0.1 * (0.25 + 0.75 * (1 + math.cos(math.pi * n / 10)) / 2) for n in range(11)]
    assert found[1:] == pytest.approx(wanted, rel=1e-4)
    assert found[6] == pytest.approx(0.1 * (1 + 0.25) / 2, rel=1e-4)
    assert found[-1] == pytest.approx(0.1 * 0.25, rel=1e-4)


def test_a_cosine_shorter_than_its_warm_up_never_falls() -> None:
    config = OptimizerConfig(warmup=8, schedule="cosine")
    assert [rate_share(config, step, last=3) for step in range(4)] == [0.125, 0.25, 0.375, 0.5]
    assert rate_share(config.model_copy(update={"warmup": 1}), 0, last=0) == 1.0


def test_a_floor_without_a_cosine_is_refused() -> None:
    with pytest.raises(ValueError, match=r"lr_floor: got 0.1 with schedule=constant, wanted schedule=cosine"):
        OptimizerConfig(lr_floor=0.1)


def test_rate_and_gradient_norm_stand_beside_the_loss() -> None:
    session = alone()
    rates = [f.value for f in session.history if f.metric == "lr"]
    wanted = [1e-2 * min(1, (step + 1) / 20) for step in range(30)]
    assert rates == pytest.approx([sum(wanted[a:b]) / (b - a) for a, b in BETWEEN], rel=1e-6)
    toy = make_toy(Faults(), CPU, 0, 1)
    net, batch = toy.parts["net"].module, toy.batch(0)
    (net(batch) - batch.sin()).square().mean().backward()
    norm = torch.cat([parameter.grad.flatten() for parameter in net.parameters() if parameter.grad is not None]).norm()
    one = set_up(make_toy(Faults(), CPU, 0, 1), settings(1).model_copy(update={"steps": 1}), CPU, make_plain)
    run(one)
    assert next(f.value for f in one.history if f.metric == "gradient_norm") == pytest.approx(norm.item(), rel=1e-5)


@pytest.mark.parametrize(
    ("done", "every", "steps", "due"), [(4, 4, 9, True), (5, 4, 9, False), (9, 4, 9, True), (3, 100, 3, True)]
)
def test_things_are_due_on_their_count_and_at_the_end(done: int, every: int, steps: int, due: bool) -> None:
    assert is_due(done, every, steps) == due


@pytest.mark.parametrize(
    ("before", "now", "converted"),
    [((2, 1), (2, 1), False), ((2, 1), (1, 1), True), ((2, 3), (2, 1), True), ((2, 0), (1, 0), False)],
)
def test_a_checkpoint_is_converted_where_its_parts_do_not_fit(
    before: tuple[int, int], now: tuple[int, int], converted: bool
) -> None:
    assert must_reshard({"workers": before[0], "zero_stage": before[1]}, *now) == converted


@pytest.mark.parametrize(("before", "now"), [(0, 1), (3, 0)])
def test_what_zero_has_never_sharded_is_not_sharded_later(before: int, now: int) -> None:
    with pytest.raises(Misfit, match=f"got {now}, but the run was begun with {before}, .* continue with {before}"):
        must_reshard({"workers": 2, "zero_stage": before}, 2, now)


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(1800)  # two starts of workers each
@pytest.mark.usefixtures("local_ray")
@pytest.mark.parametrize(
    ("root", "before", "now", "hidden"),
    [("folder", (2, 1), (1, 1), 32), ("s3", (2, 3), (1, 2), 8192), ("folder", (1, 2), (2, 3), 8192)],
)
def test_a_run_continues_with_other_workers(
    tmp_path: Path, root: str, before: tuple[int, int], now: tuple[int, int], hidden: int
) -> None:
    store = open_store(StoreConfig(root=str(tmp_path / "store") if root == "folder" else "s3://videos/others"))
    with pytest.raises(EquivdmError, match="the same command continues"):
        fit(store, "toy", settings(*before), Faults(crash_at=18, marker=str(tmp_path / "crashed")), hidden)
    continued = fit(store, "toy", settings(*now), hidden=hidden)
    assert store.filesystem.exists(store.path("runs", "toy", "universal"))  # it did continue, and from a conversion
    plain = alone(hidden=hidden)
    assert [f[:2] for f in continued.history] == [f[:2] for f in plain.history]
    assert [f.value for f in continued.history] == pytest.approx([f.value for f in plain.history], rel=1e-3)
    for name, value in weights(store, "toy").items():
        torch.testing.assert_close(value, plain.ema.state_dict()[name], rtol=1e-3, atol=1e-5)


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(1800)  # three starts of workers
@pytest.mark.usefixtures("local_ray")
@pytest.mark.parametrize(("stage", "hidden"), [(1, 32), (2, 32), (3, 32), (3, 8192)])
def test_a_worker_that_dies_costs_nothing_but_time(tmp_path: Path, stage: int, hidden: int) -> None:
    # The broken run keeps its checkpoints on S3, the other in a folder: that changes nothing either.
    here, s3 = (open_store(StoreConfig(root=root)) for root in (str(tmp_path), f"s3://videos/fit{stage}-{hidden}"))
    faults = Faults(crash_at=18, marker=str(tmp_path / "crashed"))
    whole = fit(here, "toy", settings(2, stage), hidden=hidden)
    broken = fit(s3, "toy", settings(2, stage, max_failures=1), faults, hidden)
    assert (tmp_path / "crashed").exists()
    assert broken == whole  # figures and the sha256 of the weights
    plain = alone(hidden=hidden)
    assert [f.value for f in whole.history] == pytest.approx([f.value for f in plain.history], rel=1e-3)
    for name, value in weights(here, "toy").items():
        torch.testing.assert_close(value, plain.ema.state_dict()[name], rtol=1e-3, atol=1e-5)


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_divergence_is_not_tried_again(tmp_path: Path) -> None:
    store = open_store(StoreConfig(root=str(tmp_path)))
    diverged = fit(store, "nan", settings(1, zero_stage=0, max_failures=2), Faults(diverge_at=18))
    assert diverged.weights is None
    assert "size is nan at step 18" in str(diverged.problem)


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_workers_that_an_embedded_ray_has_no_room_for_are_refused(tmp_path: Path) -> None:
    store = open_store(StoreConfig(root=str(tmp_path)))
    with pytest.raises(UsageError, match=r"need 4 CPUs at once \(fit.parallel 4 x 1\), but Ray has 2: lower"):
        fit(store, "large", settings(4))
