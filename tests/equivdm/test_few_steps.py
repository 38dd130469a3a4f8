"""Students of few steps: they are trained where they will be asked, and reach a known law with a trained fake score."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from equivdm.backbones.base import Conditions, DenoiserModule
from equivdm.config import SamplerConfig
from equivdm.distillation.losses import fake_loss, matching_loss, regression_loss
from equivdm.distillation.student import generate
from equivdm.distillation.teacher import Teacher
from equivdm.objective import Diffusion
from equivdm.process import T_MAX, T_MIN, Straight, VideoCrafter2Process, shift_times
from equivdm.sampling import sample, sampling_times
from tests.equivdm.gaussian import FLOW, NOTHING, Gaussian, Posterior

SHAPE = (3, 2, 3, 4, 4)


class Steps(nn.Module):
    """A student whose video is mean + gain * x_t, numbers of each of its steps and channels."""

    def __init__(self, times: Sequence[float]) -> None:
        super().__init__()
        self.times = times
        self.mean = nn.Parameter(torch.zeros(len(times), 2, 1, 1, 1))
        self.gain = nn.Parameter(torch.ones(len(times), 2, 1, 1, 1))

    def forward(self, latents: Tensor, times: Tensor, conditions: object) -> Tensor:
        step = min(range(len(self.times)), key=lambda number: abs(self.times[number] - float(times[0])))
        assert abs(self.times[step] - float(times[0])) < 1e-6  # it is asked nowhere else
        t = times.view(-1, 1, 1, 1, 1)
        return (latents - (self.mean[step] + self.gain[step] * latents)) / t


class Laws(nn.Module):
    """A fake score that may be that of any mixture of so many Gaussians: each video is of one of them.

    One Gaussian for the videos of several steps could not tell their means from their spread.
    """

    def __init__(self, count: int) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(count, 2, 1, 1, 1))
        apart = torch.arange(count, dtype=torch.float32).view(count, 1, 1, 1, 1)  # alike they would stay alike
        self.logarithm = nn.Parameter((-0.3 * apart).expand(count, 2, 1, 1, 1).clone())

    def forward(self, latents: Tensor, times: Tensor, conditions: Conditions) -> Tensor:
        """The components' velocities, each as likely as x_t is under it."""
        t, found = times.view(-1, 1, 1, 1, 1), []
        for mean, logarithm in zip(self.mean, self.logarithm, strict=True):
            deviation = logarithm.exp()
            spread = (1 - t) ** 2 * deviation**2 + t**2
            likely = -0.5 * ((latents - (1 - t) * mean) ** 2 / spread + spread.log())
            found.append((likely.sum((1, 2, 3, 4)), Gaussian(mean, deviation)(latents, times, conditions)))
        likelihoods, velocities = zip(*found, strict=True)
        shares = torch.stack(likelihoods).softmax(0)[..., None, None, None, None]
        return (shares * torch.stack(velocities)).sum(0)


@pytest.mark.parametrize("steps", [1, 2])
def test_a_student_with_a_trained_fake_score_reaches_the_law_of_the_data(steps: int) -> None:
    """DMD2 as it is: the fake score knows nothing but the student's videos, and is trained five times as often."""
    generator, shape, updates = torch.Generator().manual_seed(0), (16, *SHAPE[1:]), 6 * 40 * steps
    mean, deviation = torch.tensor([0.8, -0.5]).view(2, 1, 1, 1), torch.tensor([0.4, 1.5]).view(2, 1, 1, 1)
    times = sampling_times(SamplerConfig(steps=steps), 1.0)[:-1]
    real, fake, student = Gaussian(mean, deviation), Laws(steps), Steps(times)
    optimizers = [torch.optim.Adam(net.parameters(), betas=(0.5, 0.9)) for net in (student, fake)]
    for update in range(updates):
        for optimizer in optimizers:
            optimizer.param_groups[0]["lr"] = 0.08 * (1 - update / updates)
            optimizer.zero_grad()
        start, between, eps = torch.randn(3, *shape, generator=generator)
        t, last = FLOW.draw_times(16, generator), int(torch.randint(steps, (), generator=generator)) + 1
        x = generate(student, [start, between][:last], times[:last], NOTHING, FLOW)
        if update % 6 < 5:
            fake_loss(fake, x, eps, t, NOTHING, FLOW).backward()
            optimizers[1].step()
        else:
            x_t = FLOW.add_noise(x.detach(), eps, t)
            matching_loss(x, x_t, t, real(x_t, t, NOTHING), fake(x_t, t, NOTHING), FLOW).backward()
            optimizers[0].step()
    noises = torch.randn(steps, 256, *SHAPE[1:], generator=generator)
    for count in range(1, steps + 1):  # after each of its steps
        videos = generate(student, list(noises[:count]), times[:count], NOTHING, FLOW).transpose(0, 1).flatten(1)
        torch.testing.assert_close(videos.mean(1), mean.flatten(), atol=0.1, rtol=0)
        torch.testing.assert_close(videos.std(1), deviation.flatten(), atol=0.1, rtol=0)


class Silent(DenoiserModule):
    """A network that is asked in another way, and not listened to."""


@pytest.mark.parametrize("diffusion", [FLOW, Diffusion(VideoCrafter2Process(), "epsilon")])
def test_what_is_trained_is_what_is_sampled(diffusion: Diffusion) -> None:
    """Cut short at each step, and at the last one the sampler's own video; only the last step has a gradient."""
    config, noises = SamplerConfig(kind="renoise", steps=3), torch.randn(3, *SHAPE)
    posterior, scale = Posterior(0.8, 0.4, diffusion), torch.ones((), requires_grad=True)
    asked = []

    def student(latents: Tensor, times: Tensor, conditions: Conditions) -> Tensor:
        asked.append((float(times[0]), torch.is_grad_enabled()))
        return scale * posterior(latents, times, conditions)

    times = sampling_times(config, diffusion.start)[:-1]
    video = generate(student, list(noises), times, NOTHING, diffusion)
    assert asked == [(pytest.approx(t), t == times[-1]) for t in times]
    assert video.requires_grad
    whole = sample(student, noises[0], NOTHING, config, diffusion, fresh=lambda k: noises[k])
    assert torch.equal(whole, video.detach())


@pytest.mark.parametrize("steps", [1, 3])
def test_a_step_adds_fresh_noise_to_the_video(steps: int) -> None:
    """x' = a(t') x_0 + b(t') eps_k: by hand, from the posterior's own x_0."""
    config, noises = SamplerConfig(kind="renoise", steps=steps, shift=3.0), torch.randn(3, *SHAPE)
    teacher = Posterior(0.8, 0.4, FLOW)
    times, x = sampling_times(config, 1.0), noises[0]
    for k in range(steps):
        t = torch.full((SHAPE[0],), times[k])
        x0 = FLOW.clean(teacher(x, t, NOTHING), x, t)
        x = (1 - times[k + 1]) * x0 + times[k + 1] * noises[k + 1] if k + 1 < steps else x0
    found = sample(teacher, noises[0], NOTHING, config, FLOW, fresh=(lambda k: noises[k]) if steps > 1 else None)
    torch.testing.assert_close(found, x, rtol=1e-5, atol=1e-5)


def test_a_student_of_several_steps_needs_draws() -> None:
    config = SamplerConfig(kind="renoise", steps=2)
    with pytest.raises(ValueError, match=r"fresh: got none, wanted draw 1 of the noise for `renoise`"):
        sample(Posterior(0.8, 0.4, FLOW), torch.randn(SHAPE), NOTHING, config, FLOW)


def test_one_step_by_re_noising_is_one_of_euler_to_the_bit() -> None:
    noise, teacher = torch.randn(SHAPE), Posterior(0.8, 0.4, FLOW)
    videos = [sample(teacher, noise, NOTHING, SamplerConfig(kind=k, steps=1), FLOW) for k in ("renoise", "euler")]
    assert torch.equal(*videos)


@pytest.mark.parametrize("diffusion", [FLOW, Diffusion(VideoCrafter2Process(), "epsilon")])
def test_the_regression_is_zero_for_what_equals_the_teacher(diffusion: Diffusion) -> None:
    noise, posterior = torch.randn(SHAPE), Posterior(0.8, 0.4, diffusion)
    teacher = Teacher(posterior, Silent(), diffusion)
    student = generate(posterior, [noise], [diffusion.start], NOTHING, diffusion)
    solved = {steps: teacher.solve(noise, NOTHING, SamplerConfig(steps=steps), None) for steps in (1, 200)}
    assert regression_loss(student, solved[1]) == 0
    assert regression_loss(posterior.end(noise), solved[200]) < 1e-3 < regression_loss(student, solved[200])


def test_the_target_of_a_regression_is_not_taught() -> None:
    x, target = torch.randn(SHAPE, requires_grad=True), torch.randn(SHAPE, requires_grad=True)
    regression_loss(x, target).backward()
    torch.testing.assert_close(x.grad, 2 * (x - target).detach() / x.numel())
    assert target.grad is None


def test_shifted_times_lie_near_the_noise_and_within_their_range() -> None:
    times = Straight().draw_times(4096, torch.Generator().manual_seed(0))
    assert torch.equal(shift_times(times, 1.0), times)
    shifted = shift_times(times, 5.0)
    assert ((shifted >= T_MIN - 1e-7) & (shifted <= T_MAX + 1e-7)).all()
    # u = F(t) is uniform where t is shifted: P(t < 5/6) = P(u < 1/2)
    assert abs((shifted < 5 / 6).float().mean() - 0.5) < 0.03
    wanted = sampling_times(SamplerConfig(steps=4, shift=5.0), 1.0)[1:4]
    torch.testing.assert_close(shift_times(torch.tensor([0.75, 0.5, 0.25]), 5.0), torch.tensor(wanted))
