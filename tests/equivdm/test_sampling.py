"""Solvers: their order on an ODE with a known solution, and exactness on straight paths."""

import pytest
import torch
from torch import Tensor

from equivdm.backbones import backbone_of
from equivdm.backbones.base import Conditions, DenoiserModule
from equivdm.config import Parameterisation, SamplerConfig, TinyConfig
from equivdm.errors import UsageError
from equivdm.objective import TARGETS, Diffusion
from equivdm.process import T_MAX, Process, Straight, VideoCrafter2Process
from equivdm.sampling import check_sampler, ddim_step, euler_step, guided, sample, sampling_times
from tests.equivdm.gaussian import FLOW, NOTHING, Gaussian, Posterior

KINDS = ["euler", "ddim", "heun", "unipc"]
NOISE = torch.randn(2, 3, 2, 4, 4, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("kind", "steps", "calls"), [("euler", 8, 8), ("ddim", 8, 8), ("heun", 8, 15), ("unipc", 8, 8), ("heun", 1, 1)]
)
def test_number_of_times_that_the_denoiser_is_asked(kind: str, steps: int, calls: int) -> None:
    asked = []

    def denoiser(x: Tensor, times: Tensor, _: object) -> Tensor:
        asked.append(times[0].item())
        return x

    sample(denoiser, NOISE, NOTHING, SamplerConfig(kind=kind, steps=steps), FLOW)
    assert len(asked) == calls
    assert asked[0] == pytest.approx(1.0, abs=1e-5)
    assert asked == sorted(asked, reverse=True)


def test_euler_step_is_the_equation() -> None:
    x, v = torch.tensor(2.0).expand(1, 1, 1, 1, 1), torch.tensor(3.0).expand(1, 1, 1, 1, 1)
    assert euler_step(x, v, 0.5, 0.25).item() == 2.0 - 0.25 * 3.0


@pytest.mark.parametrize("kind", KINDS)
def test_sampling_is_a_function_of_the_noise(kind: str) -> None:
    law, config = Gaussian(torch.tensor(0.1), torch.tensor(0.5)), SamplerConfig(kind=kind, steps=3)
    assert torch.equal(sample(law, NOISE, NOTHING, config, FLOW), sample(law, NOISE, NOTHING, config, FLOW))


def wiener(latents: Tensor, times: Tensor, _: object) -> Tensor:
    """Velocity of stationary Gaussian pictures with spectrum 1 / (1 + 8 |k|^2), frame by frame: the exact minimiser."""
    y, x = torch.fft.fftfreq(latents.shape[-2])[:, None], torch.fft.fftfreq(latents.shape[-1])
    power = 1 / (1 + 8 * (2 * torch.pi) ** 2 * (x**2 + y**2))
    t = times[:, None, None, None, None]
    slope = (t - (1 - t) * power) / ((1 - t) ** 2 * power + t**2)
    return torch.fft.ifft2(torch.fft.fft2(latents) * slope).real


@pytest.mark.parametrize("kind", KINDS)
def test_motion_of_the_noise_becomes_motion_of_the_video(kind: str) -> None:
    """The paper's claim in miniature: no module couples the frames, yet frame k is T_k of frame 0, as its noise is."""
    first = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(3))
    warped = torch.stack([first.roll((k, 2 * k), (-2, -1)) for k in range(4)], 2)
    video = sample(wiener, warped, NOTHING, SamplerConfig(kind=kind, steps=4), FLOW)
    moved = torch.stack([video[:, :, 0].roll((k, 2 * k), (-2, -1)) for k in range(4)], 2)
    torch.testing.assert_close(video, moved, atol=1e-4, rtol=0)
    independent = sample(wiener, torch.randn(warped.shape), NOTHING, SamplerConfig(kind=kind, steps=4), FLOW)
    assert (independent[:, :, 1] - independent[:, :, 0].roll((1, 2), (-2, -1))).std() > 0.5 * video.std()


@pytest.mark.parametrize("steps", [1, 2, 5, 40])
def test_euler_on_exponential_decay_has_its_closed_form(steps: int) -> None:
    """dx / dt = x from t = 1 down to 0: each step keeps 1 - 1/n, and the limit of many is 1/e."""
    solved = sample(lambda x, times, _: x, NOISE, NOTHING, SamplerConfig(steps=steps), FLOW)
    torch.testing.assert_close(solved, NOISE * (1 - 1 / steps) ** steps)


@pytest.mark.parametrize("kind", KINDS)
def test_a_constant_velocity_is_followed_exactly_whatever_the_steps(kind: str) -> None:
    wind = torch.randn(NOISE.shape, generator=torch.Generator().manual_seed(1))
    for steps in (1, 3, 10):
        solved = sample(lambda x, times, _: wind, NOISE, NOTHING, SamplerConfig(kind=kind, steps=steps), FLOW)
        torch.testing.assert_close(solved, NOISE - wind, atol=1e-4, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_samples_of_a_batch_are_solved_alone_and_the_noise_stays_as_it_was(kind: str) -> None:
    law, config, before = (
        Gaussian(torch.tensor(0.1), torch.tensor(0.5)),
        SamplerConfig(kind=kind, steps=4),
        NOISE.clone(),
    )
    whole = sample(law, NOISE, NOTHING, config, FLOW)
    torch.testing.assert_close(whole[1:], sample(law, NOISE[1:], NOTHING, config, FLOW))
    assert torch.equal(before, NOISE)


@pytest.mark.parametrize("kind", KINDS)
def test_sampling_keeps_no_graph(kind: str) -> None:
    law = Gaussian(torch.tensor(0.1, requires_grad=True), torch.tensor(0.5))
    assert not sample(law, NOISE, NOTHING, SamplerConfig(kind=kind, steps=2), FLOW).requires_grad


def test_the_conditions_reach_the_denoiser_as_they_are() -> None:
    seen = []

    def denoiser(x: Tensor, times: Tensor, conditions: object) -> Tensor:
        seen.append((conditions, times.shape, times.device))
        return x

    sample(denoiser, NOISE, NOTHING, SamplerConfig(steps=2), FLOW)
    assert seen == [(NOTHING, (2,), NOISE.device)] * 2


@pytest.mark.parametrize("predicts", TARGETS)
def test_an_euler_step_of_the_straight_path_is_one_of_ddim(predicts: Parameterisation) -> None:
    diffusion = Diffusion(Straight(), predicts)
    prediction, t, t_next = torch.randn(NOISE.shape, generator=torch.Generator().manual_seed(5)), 0.7, 0.4
    velocity = diffusion.velocity(prediction, NOISE, torch.full((2,), t))
    stepped = ddim_step(NOISE, prediction, t, t_next, diffusion)
    torch.testing.assert_close(stepped, euler_step(NOISE, velocity, t, t_next), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("predicts", ["v", "x0"])
def test_solvers_see_the_same_velocity_whatever_is_predicted(kind: str, predicts: Parameterisation) -> None:
    config, ends = SamplerConfig(kind=kind, steps=5), []
    for diffusion in (FLOW, Diffusion(Straight(), predicts)):
        ends.append(sample(Posterior(0.8, 0.4, diffusion), NOISE, NOTHING, config, diffusion))
    torch.testing.assert_close(*ends, atol=1e-4, rtol=0)


def test_times_fall_evenly_from_the_start_and_a_shift_moves_them_to_the_noise() -> None:
    assert sampling_times(SamplerConfig(steps=4), 1.0) == [1.0, 0.75, 0.5, 0.25, 0.0]
    assert sampling_times(SamplerConfig(steps=2), 0.999) == [0.999, 0.4995, 0.0]
    assert sampling_times(SamplerConfig(steps=2, shift=3), 1.0) == [1.0, 0.75, 0.0]  # 3/2 / (1 + 2/2)


@pytest.mark.parametrize("kind", KINDS)
def test_a_shift_holds_for_every_solver_and_still_leads_to_the_data(kind: str) -> None:
    asked = []

    def law(latents: Tensor, times: Tensor, conditions: object) -> Tensor:
        asked.append(times[0].item())
        return Gaussian(torch.tensor(0.8), torch.tensor(0.4))(latents, times, NOTHING)

    solved = sample(law, NOISE, NOTHING, SamplerConfig(kind=kind, steps=64, shift=3), FLOW)
    assert (solved - (0.8 + 0.4 * NOISE)).abs().max() < 0.1
    assert sum(t > 0.75 for t in asked) == pytest.approx(len(asked) / 2, abs=2)


def told(*words: int) -> Conditions:
    """Two samples with the same text."""
    text = torch.zeros(2, 8, dtype=torch.int64)
    text[:, : len(words)] = torch.tensor(words)
    return Conditions(text[:, : max(len(words), 1)], torch.zeros(2, 1, 2, 2), torch.ones(2))


@pytest.mark.parametrize("guidance", [0.0, 0.5, 1.0, 4.0])
def test_guidance_goes_from_the_empty_prompt_to_the_caption_and_beyond(guidance: float) -> None:
    """Two points as data: the guided model's data is the point between or beyond them, by the same share."""
    caption, empty = 2.0, -1.0

    def law(latents: Tensor, times: Tensor, conditions: Conditions) -> Tensor:
        point = torch.where(conditions.text.any(1), caption, empty)
        return (latents - point[:, None, None, None, None]) / times[:, None, None, None, None]

    config = SamplerConfig(steps=3, guidance=guidance)
    solved = sample(law, NOISE, told(1, 1), config, FLOW, told())
    torch.testing.assert_close(solved, torch.full_like(NOISE, empty + guidance * (caption - empty)))
    if guidance in (0, 1):
        alone = sample(law, NOISE, told(1, 1) if guidance else told(), SamplerConfig(steps=3), FLOW)
        assert torch.equal(solved, alone)


def test_guidance_is_the_same_for_every_parameterisation() -> None:
    ends = []
    for diffusion in (Diffusion(VideoCrafter2Process(), predicts) for predicts in TARGETS):
        toward, away = Posterior(0.8, 0.4, diffusion), Posterior(-0.2, 1.1, diffusion)
        t = torch.tensor([0.3, 0.9])
        prediction = guided(toward(NOISE, t, NOTHING), away(NOISE, t, NOTHING), 7.5)
        ends.append(diffusion.clean(prediction, NOISE, t))
    for end in ends[1:]:
        torch.testing.assert_close(end, ends[0], atol=1e-3, rtol=1e-3)


def test_both_prompts_are_one_call_and_no_guidance_needs_no_empty_one() -> None:
    with pytest.raises(ValueError, match=r"^guidance: got 2.0 without conditions of the empty prompt"):
        sample(lambda x, times, _: x, NOISE, told(1), SamplerConfig(guidance=2), FLOW)
    asked = []

    def denoiser(x: Tensor, times: Tensor, conditions: Conditions) -> Tensor:
        assert len(x) == len(times) == len(conditions.text) == len(conditions.control) == len(conditions.fps)
        asked.append(conditions.text.tolist())
        return x

    sample(denoiser, NOISE, told(7, 8), SamplerConfig(steps=1), FLOW, told())
    sample(denoiser, NOISE, told(7, 8), SamplerConfig(steps=2, guidance=2), FLOW, told())
    assert asked == [[[7, 8]] * 2] + [[[7, 8]] * 2 + [[0, 0]] * 2] * 2


@pytest.fixture(scope="module")
def tiny() -> DenoiserModule:
    """A network that looks at all it is told: new ones give the linear guess."""
    denoiser = backbone_of(TinyConfig(width=32, depth=1, heads=2)).build_denoiser(seed=1).eval()
    for name, parameter in denoiser.named_parameters():
        torch.nn.init.normal_(parameter, std=0.05, generator=torch.Generator().manual_seed(1))
        if name == "words.weight":
            torch.nn.init.zeros_(parameter[0])  # what is left of a row behind its end
    return denoiser


def samples(count: int) -> tuple[Tensor, Conditions]:
    """Noise and what is shown, another in each sample."""
    draw = torch.Generator().manual_seed(2)
    noise, control = torch.randn(count, 3, 2, 8, 8, generator=draw), torch.rand(count, 2, 16, 16, generator=draw)
    return noise, Conditions(torch.randint(1, 50, (count, 3), generator=draw), control, torch.full((count,), 8.0))


@pytest.mark.parametrize("kind", KINDS)
def test_a_pair_in_one_call_is_two_calls(kind: str, tiny: DenoiserModule) -> None:
    config = SamplerConfig.model_validate({"kind": kind, "steps": 3})
    noise, given = samples(2)
    empty = Conditions(torch.zeros(2, 1, dtype=torch.int64), given.control, given.fps)

    def twice(x: Tensor, times: Tensor, conditions: Conditions) -> Tensor:
        return guided(tiny(x, times, given), tiny(x, times, empty), 3.0)

    pair = sample(tiny, noise, given, config.model_copy(update={"guidance": 3.0}), FLOW, empty)
    apart = sample(twice, noise, given, config, FLOW)
    torch.testing.assert_close(pair, apart, atol=1e-5, rtol=1e-5)
    assert (apart - sample(tiny, noise, given, config, FLOW)).abs().max() > 0.01


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_neighbours_in_a_batch_change_rounding_only_and_one_alone_is_the_same_twice(
    guidance: float, tiny: DenoiserModule
) -> None:
    """Kernels of other sizes add in another order, which is why render stacks no clips."""
    noise, given = samples(5)
    empty = Conditions(torch.zeros(5, 1, dtype=torch.int64), given.control, given.fps)
    config = SamplerConfig(steps=4, guidance=guidance)

    def alone() -> Tensor:
        parts = zip(noise.chunk(5), given.split(5), empty.split(5), strict=True)
        return torch.cat([sample(tiny, x, shown, config, FLOW, nothing) for x, shown, nothing in parts])

    ends = alone()
    assert torch.equal(ends, alone())
    torch.testing.assert_close(sample(tiny, noise, given, config, FLOW, empty), ends, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("process", "config"),
    [
        (VideoCrafter2Process(), SamplerConfig(shift=3)),
        (VideoCrafter2Process(), SamplerConfig(kind="unipc", steps=1000)),
        (VideoCrafter2Process(), SamplerConfig(kind="heun", steps=2000)),
    ],
)
def test_a_solver_that_does_not_go_with_the_process_is_refused(process: Process, config: SamplerConfig) -> None:
    with pytest.raises(
        UsageError, match=r"^sampler\.(shift|steps): got .* VideoCrafter2Process, wanted (1|at most 999):"
    ):
        sample(lambda x, times, _: x, NOISE, NOTHING, config, Diffusion(process, "epsilon"))
    check_sampler(config.model_copy(update={"shift": 1.0, "steps": 999}), Diffusion(process, "epsilon"))


def test_noise_becomes_video_at_the_noisiest_time_that_says_something() -> None:
    assert [Diffusion(Straight(), predicts).start for predicts in TARGETS] == [T_MAX, 1.0, 1.0, 1.0]
    assert {Diffusion(VideoCrafter2Process(), predicts).start for predicts in TARGETS} == {0.999}
