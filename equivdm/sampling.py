"""From noise to video, from the noisiest time of a process to t = 0 (data): by its ODE, or by a student's steps."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch

from equivdm.backbones.base import Conditions, Denoiser
from equivdm.config import SamplerConfig
from equivdm.errors import UsageError
from equivdm.objective import Diffusion
from equivdm.process import Straight
from equivdm.types import Latents, Times

Field = Callable[[Latents, float], Latents]
"""From x_t and t to the prediction, or the velocity."""

Draw = Callable[[int], Latents]
"""Draw k >= 1 of the noise, independent of the others and of the same motion."""


@torch.no_grad()
def sample(
    denoiser: Denoiser,
    noise: Latents,
    conditions: Conditions,
    config: SamplerConfig,
    diffusion: Diffusion,
    empty: Conditions | None = None,
    fresh: Draw | None = None,
) -> Latents:
    """Return the latents at t = 0 of the path that starts in `noise` at `diffusion.start`.

    `euler` and `unipc` ask the denoiser once a step; `heun` twice, and once in its last step; with guidance each
    time for both prompts. None of them adds randomness: the result is a function of the noise, which is how its motion
    reaches the video. `renoise` asks once a step, and takes a fresh draw between two steps, of the same motion.

    Args:
        denoiser: what `diffusion` interprets.
        noise: white in each frame.
        conditions: what the video should be.
        config: the solver.
        diffusion: of the denoiser.
        empty: `conditions` with the empty prompt; only guidance needs them.
        fresh: gives the noise of the re-noising; only `renoise` with more than one step needs it.

    Raises:
        UsageError: where the solver does not go with the diffusion.
        ValueError: for guidance without `empty`, and where there is no `fresh` to take noise from.
    """
    check_sampler(config, diffusion)
    predict = _predictor(denoiser, conditions, config.guidance, empty)
    if config.kind == "renoise":
        return _few_steps(predict, noise, config, diffusion, fresh)
    if not isinstance(diffusion.process, Straight):
        return _ddim(predict, noise, config, diffusion)

    def velocity(x: Latents, t: float) -> Latents:
        return diffusion.velocity(predict(x, t), x, _times(x, t))

    return _euler(velocity, noise, config, diffusion) if config.kind == "euler" else _diffusers(velocity, noise, config)


def check_sampler(config: SamplerConfig, diffusion: Diffusion) -> None:
    """Raise UsageError where a solver does not go with a diffusion.

    Those of diffusers start at t = 1 of the straight path, where noise alone cannot be told from epsilon.
    """
    straight = isinstance(diffusion.process, Straight)
    if config.kind not in ("euler", "renoise") and not (straight and diffusion.start == 1):
        raise UsageError(
            f"sampler.kind: got {config.kind} for a model that predicts {diffusion.predicts} on "
            f"{type(diffusion.process).__name__}, wanted euler: set sampler.kind=euler"
        )
    if config.shift != 1 and not straight:
        raise UsageError(
            f"sampler.shift: got {config.shift} for {type(diffusion.process).__name__}, wanted 1: "
            "only times of the straight path are shifted; leave it out"
        )


def sampling_times(config: SamplerConfig, start: float) -> list[float]:
    """Return steps + 1 falling times from `start` to 0: start * shift s / (1 + (shift - 1) s) for evenly spaced s."""
    even = (1 - step / config.steps for step in range(config.steps + 1))
    return [start * (config.shift * s / (1 + (config.shift - 1) * s)) for s in even]


def guided(toward: Latents, away: Latents, guidance: float) -> Latents:
    """D = D(empty) + w (D(prompt) - D(empty)), classifier-free guidance (Ho and Salimans 2022, arXiv 2207.12598).

    The same for every parameterisation: at one x_t each is an affine map of any other.
    """
    return away + guidance * (toward - away)


def euler_step(x: Latents, v: Latents, t: float, t_next: float) -> Latents:
    """x_{t'} = x_t + (t' - t) v(x_t, t)."""
    return x + (t_next - t) * v


def ddim_step(x: Latents, prediction: Latents, t: float, t_next: float, diffusion: Diffusion) -> Latents:
    """x_{t'} = a' x_0 + b' eps, DDIM with eta = 0 (Song et al. 2021, eq. 12). On the straight path `euler_step`."""
    x0, eps = diffusion.split(prediction, x, _times(x, t))
    return diffusion.add_noise(x0, eps, _times(x, t_next))


def renoised(predict: Field, noise: Latents, times: Sequence[float], diffusion: Diffusion, fresh: Draw) -> Latents:
    """Return x_t at the last of `times`, from `noise` at the first: x_{t_k} = a(t_k) x_0 + b(t_k) eps_k.

    x_0 is what is predicted at t_{k-1}, and eps_k = `fresh`(k): consistency models' and DMD2's way to sample in few
    steps (Song et al. 2023, algorithm 1; Yin et al. 2024, arXiv 2405.14867, section 4.4).
    """
    x = noise
    for k, (t, t_next) in enumerate(pairwise(times), 1):
        x0 = diffusion.clean(predict(x, t), x, _times(x, t))
        x = diffusion.add_noise(x0, fresh(k), _times(x, t_next))
    return x


def _few_steps(
    predict: Field, noise: Latents, config: SamplerConfig, diffusion: Diffusion, fresh: Draw | None
) -> Latents:
    *times, _ = sampling_times(config, diffusion.start)
    x = renoised(predict, noise, times, diffusion, fresh or _absent)
    return diffusion.clean(predict(x, times[-1]), x, _times(x, times[-1]))


def _absent(k: int) -> Latents:
    raise ValueError(f"fresh: got none, wanted draw {k} of the noise for `renoise`: give what draws it")


def _predictor(denoiser: Denoiser, conditions: Conditions, guidance: float, empty: Conditions | None) -> Field:
    def plain(x: Latents, t: float) -> Latents:
        return denoiser(x, _times(x, t), conditions)

    if guidance == 1:
        return plain
    if empty is None:
        raise ValueError(f"guidance: got {guidance} without conditions of the empty prompt: give them as `empty`")
    return lambda x, t: guided(plain(x, t), denoiser(x, _times(x, t), empty), guidance)


def _euler(velocity: Field, noise: Latents, config: SamplerConfig, diffusion: Diffusion) -> Latents:
    x = noise
    for t, t_next in pairwise(sampling_times(config, diffusion.start)):
        x = euler_step(x, velocity(x, t), t, t_next)
    return x


def _ddim(predict: Field, noise: Latents, config: SamplerConfig, diffusion: Diffusion) -> Latents:
    *times, last, _ = sampling_times(config, diffusion.start)
    x = noise
    for t, t_next in pairwise([*times, last]):
        x = ddim_step(x, predict(x, t), t, t_next, diffusion)
    # A process may have noise at its last level: the video is x_0.
    return diffusion.clean(predict(x, last), x, _times(x, last))


def _diffusers(velocity: Field, noise: Latents, config: SamplerConfig) -> Latents:
    scheduler = _scheduler(config)
    scheduler.set_timesteps(config.steps, device=noise.device)
    scheduler.set_begin_index(0)
    x = noise
    # UniPC rounds its time steps to integers of 1000: the exact time is the scheduler's sigma.
    for timestep, sigma in zip(scheduler.timesteps, scheduler.sigmas.tolist(), strict=False):
        x = scheduler.step(velocity(x, sigma), timestep, x, return_dict=False)[0]
    return x


def _scheduler(config: SamplerConfig) -> Any:
    if config.kind == "heun":
        from diffusers.schedulers.scheduling_flow_match_heun_discrete import FlowMatchHeunDiscreteScheduler

        return FlowMatchHeunDiscreteScheduler(shift=config.shift)
    from diffusers.schedulers.scheduling_unipc_multistep import UniPCMultistepScheduler

    return UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=config.shift, solver_order=2
    )


def _times(x: Latents, t: float) -> Times:
    return torch.full((x.shape[0],), t, device=x.device)
