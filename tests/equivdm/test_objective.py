"""Parameterisations: exact inversions, one optimum, and the loss; times of training."""

import pickle

import pytest
import torch
from torch.autograd.functional import hessian

from equivdm.backbones import backbone_of
from equivdm.config import Parameterisation, TinyConfig
from equivdm.objective import INVERSIONS, TARGETS, Diffusion
from equivdm.process import T_MAX, T_MIN, Process, Straight, VideoCrafter2Process
from tests.equivdm.gaussian import FLOW, NOTHING, Gaussian

SHAPE = (2, 3, 4, 5, 6)

PROCESSES = [Straight(), VideoCrafter2Process()]


def test_the_path_leads_from_data_to_noise() -> None:
    x0, eps = torch.randn(SHAPE), torch.randn(SHAPE)
    assert torch.equal(FLOW.add_noise(x0, eps, torch.zeros(2)), x0)
    assert torch.equal(FLOW.add_noise(x0, eps, torch.ones(2)), eps)


def test_flow_is_the_derivative_of_the_straight_path() -> None:
    x0, eps = torch.randn(SHAPE, dtype=torch.float64), torch.randn(SHAPE, dtype=torch.float64)
    later, sooner = (FLOW.add_noise(x0, eps, torch.full((2,), t)) for t in (0.75, 0.25))
    torch.testing.assert_close((later - sooner) / 0.5, FLOW.target(x0, eps, torch.zeros(2)))


def test_v_is_the_derivative_by_the_angle_where_the_process_keeps_the_variance() -> None:
    """Salimans and Ho 2022: x = cos(phi) x_0 + sin(phi) eps, v = dx / dphi."""
    x0, eps = torch.randn(SHAPE, dtype=torch.float64), torch.randn(SHAPE, dtype=torch.float64)
    sooner, phi, later = (
        torch.tensor([0.6 - 1e-6, 0.6, 0.6 + 1e-6], dtype=torch.float64).expand(2, 1, 1, 1, 1, 3).unbind(-1)
    )
    slope = ((later.cos() - sooner.cos()) * x0 + (later.sin() - sooner.sin()) * eps) / 2e-6
    torch.testing.assert_close(TARGETS["v"](x0, eps, phi.cos(), phi.sin()), slope)


@pytest.mark.parametrize("predicts", TARGETS)
@pytest.mark.parametrize("process", PROCESSES)
def test_what_was_put_in_comes_back(process: Process, predicts: Parameterisation) -> None:
    diffusion, (x0, eps) = Diffusion(process, predicts), torch.randn(2, 5, *SHAPE[1:], dtype=torch.float64)
    times = torch.tensor([0.001, 0.25, 0.5, 0.9, 0.999], dtype=torch.float64)
    x_t = diffusion.add_noise(x0, eps, times)
    found = diffusion.split(diffusion.target(x0, eps, times), x_t, times)
    torch.testing.assert_close(found, (x0, eps), rtol=0, atol=1e-5)  # tables are float32


@pytest.mark.parametrize("predicts", TARGETS)
def test_any_prediction_is_split_into_what_adds_up_to_x_t(predicts: Parameterisation) -> None:
    """Of weights that belong to no process, too, a^2 + b^2 and a + b being anything."""
    prediction, x_t = torch.randn(2, *SHAPE, dtype=torch.float64)
    a, b = torch.tensor([[0.3, 1.2], [0.9, 0.2]], dtype=torch.float64).view(2, 2, 1, 1, 1, 1)
    x0, eps = INVERSIONS[predicts](prediction, x_t, a, b)
    torch.testing.assert_close(a * x0 + b * eps, x_t)
    torch.testing.assert_close(TARGETS[predicts](x0, eps, a, b), prediction)


def test_flow_at_pure_noise_gives_the_clean_video_back() -> None:
    x0, eps, t = torch.randn(SHAPE), torch.randn(SHAPE), torch.tensor([0.3, 1.0])
    x_t = FLOW.add_noise(x0, eps, t)
    torch.testing.assert_close(FLOW.clean(eps - x0, x_t, t), x0)


def test_on_the_straight_path_flow_is_inverted_to_the_bit_of_its_own_equation() -> None:
    """x_0 = x_t - t u: dividing by a + b = 1 rounds nothing, whatever the time."""
    x_t, u, t = torch.randn(4000, 1, 1, 1, 1), torch.randn(4000, 1, 1, 1, 1), torch.rand(4000)
    assert torch.equal(FLOW.clean(u, x_t, t), x_t - t.view(-1, 1, 1, 1, 1) * u)


@pytest.mark.parametrize("predicts", TARGETS)
@pytest.mark.parametrize("process", PROCESSES)
def test_all_objectives_of_a_linear_model_have_the_posterior_mean_as_optimum(
    process: Process, predicts: Parameterisation
) -> None:
    """At one time, prediction = p x_t + q: the loss is quadratic in (p, q), its minimum gives E[x_0 | x_t]."""
    generator = torch.Generator().manual_seed(0)
    x0 = 0.5 + 0.7 * torch.randn(50_000, 1, 1, 1, 1, generator=generator, dtype=torch.float64)
    eps = torch.randn(x0.shape, generator=generator, dtype=torch.float64)
    diffusion, times = Diffusion(process, predicts), torch.full((50_000,), 0.6, dtype=torch.float64)

    def loss(weights: torch.Tensor) -> torch.Tensor:
        return diffusion.loss(lambda x_t, t, c: weights[0] * x_t + weights[1], x0, eps, times, NOTHING)

    start = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(loss(start), start)
    p, q = -torch.linalg.solve(hessian(loss, start), slope)
    x_t = torch.tensor([-1.0, 2.0], dtype=torch.float64).view(2, 1, 1, 1, 1)
    a, b = (weight[:2] for weight in process.weights(times))
    found = diffusion.clean(p * x_t + q, x_t, times[:2])
    torch.testing.assert_close(found, 0.5 + a * 0.49 * (x_t - a * 0.5) / (a**2 * 0.49 + b**2), atol=0.01, rtol=0)


def test_the_posterior_mean_minimises_the_loss() -> None:
    """No other mean or deviation has a lower loss than the data's own: the loss is a proper one."""
    generator = torch.Generator().manual_seed(0)
    x0 = 0.5 + 0.7 * torch.randn(4000, 1, 1, 2, 2, generator=generator)
    eps, t = torch.randn(x0.shape, generator=generator), FLOW.draw_times(4000, generator)

    def loss(mean: float, deviation: float) -> float:
        denoiser = Gaussian(torch.tensor(mean), torch.tensor(deviation))
        return FLOW.loss(denoiser, x0, eps, t, NOTHING).item()

    best = loss(0.5, 0.7)
    assert all(best < loss(0.5 + a, 0.7 + b) for a, b in [(0.2, 0), (-0.2, 0), (0, 0.2), (0, -0.2)])


def test_times_are_uniform_and_belong_to_the_generator() -> None:
    times = FLOW.draw_times(20_000, torch.Generator().manual_seed(1))
    assert times.min() >= T_MIN
    assert times.max() <= T_MAX
    assert times.mean().item() == pytest.approx(0.5, abs=0.01)
    assert times.var().item() == pytest.approx(1 / 12, abs=0.002)
    assert torch.equal(times, FLOW.draw_times(20_000, torch.Generator().manual_seed(1)))


def test_times_of_a_process_in_levels_are_its_levels_all_alike() -> None:
    times = VideoCrafter2Process().draw_times(100_000, torch.Generator().manual_seed(1))
    counts = torch.bincount((1000 * times).round().long(), minlength=1000)
    assert len(counts) == 1000
    torch.testing.assert_close(1000 * times, (1000 * times).round())
    assert ((counts - 100) ** 2 / 100).sum().item() == pytest.approx(999, abs=5 * (2 * 999) ** 0.5)


def test_the_loss_of_a_network_that_says_nothing_is_the_power_of_the_velocity() -> None:
    """For white data and noise that is the sum of their variances: what a trained network is better than."""
    x0, eps, t = 2 * torch.randn(400, 1, 2, 4, 4), torch.randn(400, 1, 2, 4, 4), torch.rand(400)
    loss = FLOW.loss(lambda x, times, conditions: torch.zeros_like(x), x0, eps, t, NOTHING)
    torch.testing.assert_close(loss, (eps - x0).square().mean())
    assert loss.item() == pytest.approx(5, rel=0.1)


@pytest.mark.parametrize("predicts", TARGETS)
@pytest.mark.parametrize("process", PROCESSES)
def test_the_loss_is_zero_for_the_truth_and_asks_at_the_right_place(
    process: Process, predicts: Parameterisation
) -> None:
    x0, eps, t = torch.randn(SHAPE), torch.randn(SHAPE), torch.tensor([0.2, 0.7])
    a, b = process.weights(t)
    truth = {"epsilon": eps, "v": a * eps - b * x0, "x0": x0, "flow": eps - x0}

    def knowing(x_t: torch.Tensor, times: torch.Tensor, conditions: object) -> torch.Tensor:
        assert torch.equal(times, t)
        torch.testing.assert_close(x_t, a * x0 + b * eps)
        return truth[predicts]

    assert Diffusion(process, predicts).loss(knowing, x0, eps, t, NOTHING) == 0


def test_each_sample_has_its_own_time() -> None:
    x0, eps = torch.randn(SHAPE), torch.randn(SHAPE)
    together = FLOW.add_noise(x0, eps, torch.tensor([0.25, 0.75]))
    for row, time in enumerate((0.25, 0.75)):
        torch.testing.assert_close(together[row], (1 - time) * x0[row] + time * eps[row])


def test_a_prediction_in_half_precision_is_judged_in_full() -> None:
    x0, eps, t = torch.zeros(SHAPE), torch.full(SHAPE, 300.0), torch.full((2,), 0.5)
    loss = FLOW.loss(lambda x, times, conditions: torch.zeros_like(x).half(), x0, eps, t, NOTHING)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(90_000)  # beyond the largest number of float16


def test_a_diffusion_is_a_small_value_that_travels() -> None:
    for diffusion in (FLOW, Diffusion(VideoCrafter2Process(), "v")):
        data = pickle.dumps(diffusion)
        assert len(data) < 300
        assert pickle.loads(data) == diffusion
        assert hash(pickle.loads(data)) == hash(diffusion)
    backbone = backbone_of(TinyConfig())
    assert backbone.diffusion() == backbone.diffusion("flow") == FLOW
    assert backbone.diffusion("v") == Diffusion(Straight(), "v")
