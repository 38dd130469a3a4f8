"""From noise to video: the probability-flow ODE dx / dt = v(x, t) from t = 1 (noise) to t = 0 (data)."""

from typing import Any

import torch

from equivdm.backbones.base import Conditions, Denoiser
from equivdm.config import SamplerConfig
from equivdm.types import Latents


@torch.no_grad()
def sample(denoiser: Denoiser, noise: Latents, conditions: Conditions, config: SamplerConfig) -> Latents:
    """Return the latents at t = 0 of the path that starts in `noise` at t = 1.

    `euler` and `unipc` ask the denoiser once a step; `heun` twice, and once in its last step. None of them
    adds randomness: the result is a function of the noise, which is how its motion reaches the video.
    """
    solve = _euler if config.kind == "euler" else _diffusers
    return solve(denoiser, noise, conditions, config)


def euler_step(x: Latents, v: Latents, t: float, t_next: float) -> Latents:
    """x_{t'} = x_t + (t' - t) v(x_t, t)."""
    return x + (t_next - t) * v


def _euler(denoiser: Denoiser, noise: Latents, conditions: Conditions, config: SamplerConfig) -> Latents:
    x = noise
    for step in range(config.steps):
        t, t_next = 1 - step / config.steps, 1 - (step + 1) / config.steps
        x = euler_step(x, _velocity(denoiser, x, t, conditions), t, t_next)
    return x


def _diffusers(denoiser: Denoiser, noise: Latents, conditions: Conditions, config: SamplerConfig) -> Latents:
    scheduler = _scheduler(config.kind)
    scheduler.set_timesteps(config.steps, device=noise.device)
    scheduler.set_begin_index(0)
    x = noise
    # UniPC rounds its time steps to integers of 1000: the exact time is the scheduler's sigma.
    for timestep, sigma in zip(scheduler.timesteps, scheduler.sigmas.tolist(), strict=False):
        x = scheduler.step(_velocity(denoiser, x, sigma, conditions), timestep, x, return_dict=False)[0]
    return x


def _scheduler(kind: str) -> Any:
    if kind == "heun":
        from diffusers.schedulers.scheduling_flow_match_heun_discrete import FlowMatchHeunDiscreteScheduler

        return FlowMatchHeunDiscreteScheduler()
    from diffusers.schedulers.scheduling_unipc_multistep import UniPCMultistepScheduler

    return UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=1.0, solver_order=2
    )


def _velocity(denoiser: Denoiser, x: Latents, t: float, conditions: Conditions) -> Latents:
    return denoiser(x, torch.full((x.shape[0],), t, device=x.device), conditions)
