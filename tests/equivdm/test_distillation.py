"""Distribution matching: its fixed point, its derivative, and a student that reaches a known law."""

import pytest
import torch
from torch import Tensor, nn

from equivdm.backbones.base import Conditions, Denoiser
from equivdm.config import Parameterisation, SamplerConfig
from equivdm.distillation.losses import (
    dm_gradient,
    fake_loss,
    matching_loss,
    student_loss,
)
from equivdm.distillation.student import generate
from equivdm.objective import TARGETS, Diffusion
from equivdm.process import Process, Straight, VideoCrafter2Process
from equivdm.sampling import sample
from tests.equivdm.gaussian import FLOW, NOTHING, Gaussian, Posterior

SHAPE = (4, 2, 3, 4, 4)
REAL = Gaussian(torch.tensor(0.8), torch.tensor(0.4))


def judged(
    x: Tensor, eps: Tensor, times: Tensor, teacher: Denoiser, fake: Denoiser, diffusion: Diffusion = FLOW
) -> Tensor:
    """The student's loss, by what two scores say of its videos re-noised."""
    x_t = diffusion.add_noise(x.detach(), eps, times)
    return matching_loss(x, x_t, times, teacher(x_t, times, NOTHING), fake(x_t, times, NOTHING), diffusion)


def once(student: Denoiser, noise: Tensor, diffusion: Diffusion = FLOW) -> Tensor:
    """The video of a one-step student."""
    return generate(student, [noise], [diffusion.start], NOTHING, diffusion)


class Affine(nn.Module):
    """A student whose video is mean + deviation * noise, a pair of numbers per channel."""

    def __init__(self, mean: float, deviation: float) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.full((2, 1, 1, 1), mean))
        self.deviation = nn.Parameter(torch.full((2, 1, 1, 1), deviation))

    def forward(self, latents: Tensor, times: Tensor, conditions: object) -> Tensor:
        assert (times == 1).all()
        return latents - (self.mean + self.deviation * latents)


def test_one_step_of_the_student_is_one_euler_step_of_the_sampler() -> None:
    noise = torch.randn(SHAPE)
    torch.testing.assert_close(once(REAL, noise), sample(REAL, noise, NOTHING, SamplerConfig(steps=1), FLOW))


@pytest.mark.parametrize("predicts", TARGETS)
@pytest.mark.parametrize("process", [Straight(), VideoCrafter2Process()])
def test_every_student_is_told_its_start_and_gives_what_one_step_of_the_sampler_gives(
    process: Process, predicts: Parameterisation
) -> None:
    diffusion, noise = Diffusion(process, predicts), torch.randn(SHAPE)
    teacher, asked = Posterior(0.8, 0.4, diffusion), []

    def student(latents: Tensor, times: Tensor, conditions: Conditions) -> Tensor:
        asked.append(times)
        return teacher(latents, times, conditions)

    video = once(student, noise, diffusion)
    assert torch.equal(asked[0], torch.full((4,), diffusion.start))
    # epsilon at t = 0.999 of the straight path is multiplied by a thousand, and its rounding too
    torch.testing.assert_close(
        video, sample(teacher, noise, NOTHING, SamplerConfig(steps=1), diffusion), rtol=0, atol=1e-3
    )
    a, b = process.weights(asked[0])
    wanted = 0.8 + a * 0.16 * (noise - a * 0.8) / (a**2 * 0.16 + b**2)
    torch.testing.assert_close(video, wanted, rtol=0, atol=1e-3)


@pytest.mark.parametrize("predicts", TARGETS)
def test_the_gradient_knows_no_parameterisation(predicts: Parameterisation) -> None:
    """The same two laws give the student the same gradient, whatever its scores predict."""
    gradients = []
    for each in (FLOW, Diffusion(Straight(), predicts)):
        x = torch.full(SHAPE, 0.3).requires_grad_(True)
        eps, t = torch.linspace(-2, 2, x.numel()).view(SHAPE), torch.tensor([0.1, 0.4, 0.7, 0.9])
        scores = Posterior(0.8, 0.4, each), Posterior(-0.5, 1.0, each)
        judged(x, eps, t, *scores, each).backward()
        gradients.append(x.grad)
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-6)


def test_gradient_is_zero_where_fake_is_real() -> None:
    x, eps, t = torch.randn(SHAPE, requires_grad=True), torch.randn(SHAPE), torch.rand(4)
    assert not dm_gradient(x.detach(), eps, eps).any()
    loss = judged(x, eps, t, REAL, REAL)
    loss.backward()
    assert loss == 0
    assert not x.grad.any()


def test_gradient_is_the_equation_per_sample() -> None:
    x, real, fake = torch.randn(SHAPE), torch.randn(SHAPE), torch.randn(SHAPE)
    gradient = dm_gradient(x, real, fake)
    for row in range(SHAPE[0]):
        torch.testing.assert_close(gradient[row], (fake[row] - real[row]) / (x[row] - real[row]).abs().mean())
    # Scaling the whole problem does not scale the gradient: that is what the division is for.
    torch.testing.assert_close(dm_gradient(7 * x, 7 * real, 7 * fake), gradient)


def test_gradient_is_finite_where_the_teacher_agrees_with_the_student() -> None:
    x = torch.randn(SHAPE)
    assert dm_gradient(x, x, x).isfinite().all()


def test_derivative_of_the_students_loss_is_the_gradient() -> None:
    x, gradient = torch.randn(SHAPE, requires_grad=True), torch.randn(SHAPE)
    student_loss(x, gradient).backward()
    torch.testing.assert_close(x.grad * x.numel(), gradient)


def test_fake_loss_teaches_the_fake_score_only() -> None:
    student, mean = Affine(0.0, 1.0), torch.zeros((), requires_grad=True)
    x = once(student, torch.randn(SHAPE))
    fake_loss(Gaussian(mean, torch.tensor(1.0)), x, torch.randn(SHAPE), torch.rand(4), NOTHING, FLOW).backward()
    assert mean.grad is not None
    assert student.mean.grad is None


def test_student_moves_to_the_teachers_law() -> None:
    """With the true scores of both laws the one-step student ends at the mean and deviation of the data."""
    generator = torch.Generator().manual_seed(0)
    real = Gaussian(torch.tensor([0.8, -0.5]).view(2, 1, 1, 1), torch.tensor([0.4, 1.5]).view(2, 1, 1, 1))
    student = Affine(0.0, 1.0)
    optimizer = torch.optim.Adam(student.parameters(), lr=0.04)
    for _ in range(150):
        noise, eps = torch.randn(2, 16, 2, 3, 4, 4, generator=generator)
        fake = Gaussian(student.mean.detach(), student.deviation.detach())
        x, t = once(student, noise), FLOW.draw_times(16, generator)
        optimizer.zero_grad()
        judged(x, eps, t, real, fake).backward()
        optimizer.step()
    torch.testing.assert_close(student.mean.data, real.mean, atol=0.05, rtol=0)
    torch.testing.assert_close(student.deviation.data, real.deviation, atol=0.05, rtol=0)


def test_the_students_loss_is_half_the_power_of_the_gradient() -> None:
    x, gradient = torch.randn(SHAPE), torch.randn(SHAPE)
    torch.testing.assert_close(student_loss(x, gradient), 0.5 * gradient.square().mean())


def test_the_posterior_mean_of_a_gaussian_has_its_closed_form() -> None:
    """E[x_0 | x_t] = m + (1 - t) s^2 / r_t^2 (x_t - (1 - t) m): at t = 1 it is the mean, at t = 0 x_t itself."""
    x_t, t = torch.randn(SHAPE), torch.tensor([0.0, 0.3, 0.7, 1.0])
    time = t.view(4, 1, 1, 1, 1)
    spread = (1 - time) ** 2 * 0.16 + time**2
    wanted = 0.8 + (1 - time) * 0.16 / spread * (x_t - (1 - time) * 0.8)
    mean = FLOW.clean(REAL(x_t, t, NOTHING), x_t, t)
    torch.testing.assert_close(mean, wanted, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(mean[0], x_t[0])
    torch.testing.assert_close(mean[3], torch.full(SHAPE[1:], 0.8), atol=1e-5, rtol=0)


def test_neither_score_is_taught_by_the_students_loss() -> None:
    mean, x = torch.tensor(0.8, requires_grad=True), torch.randn(SHAPE, requires_grad=True)
    fake = Gaussian(torch.tensor(-0.5, requires_grad=True), torch.tensor(1.0))
    teacher = Gaussian(mean, torch.tensor(0.4))
    judged(x, torch.randn(SHAPE), torch.rand(4), teacher, fake).backward()
    assert x.grad is not None
    assert mean.grad is fake.mean.grad is None
