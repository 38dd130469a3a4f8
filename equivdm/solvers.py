"""Solvers of second order: diffusers' own, on any noise process.

A process x_t = a x_0 + b eps is the straight path in other coordinates: with y = x_t / (a + b) and s = b / (a + b),
y = (1 - s) x_0 + s eps. Its ODE is dy / ds = E[eps - x_0 | x_t], whatever the denoiser predicts, so that solvers made
for the straight path solve every process; what differs are the levels s that they step over.
"""

from collections.abc import Callable
from typing import Any

import torch

from equivdm.config import SamplerConfig
from equivdm.objective import Diffusion
from equivdm.process import Process, Straight
from equivdm.types import Latents, Times

Field = Callable[[Latents, float], Latents]
"""From x_t and t to the prediction."""

SECOND_ORDER = ("heun", "unipc")
"""Kinds of samplers that are solved here."""


def second_order(
    predict: Field, noise: Latents, config: SamplerConfig, diffusion: Diffusion, times: list[float]
) -> Latents:
    """Return the latents at t = 0 of the path that starts in `noise` at `times[0]`.

    The levels are those of `times`; from t = 1 of the straight path they are diffusers' own, which published models are
    sampled with. These are f(s) = shift s / (1 + (shift - 1) s) too, of other evenly spaced s. `unipc` has steps + 1 of
    them from 1 to 0.001 and leaves the last one out. `heun` has as many as steps, from 1 to f(0.001): its lowest level
    is shifted twice, 0.001 at shift 1 and 0.024 at shift 5. The last step goes from the lowest level to 0.
    """
    if isinstance(diffusion.process, Straight) and diffusion.start == 1:
        scheduler, asked = _published(config)
    else:
        scheduler, asked = _at_times(config.kind, times[:-1], diffusion.process)
    scheduler.set_begin_index(0)
    y = noise / _scale(diffusion.process, noise, asked[0])
    for timestep, t in zip(scheduler.timesteps, asked, strict=True):
        x = _scale(diffusion.process, y, t) * y
        velocity = diffusion.velocity(predict(x, t), x, times_of(x, t))
        y = scheduler.step(velocity, timestep, y, return_dict=False)[0]
    return y


def times_of(x: Latents, t: float) -> Times:
    """Return the time t for each sample of a batch."""
    return torch.full((x.shape[0],), t, device=x.device)


def _scale(process: Process, like: Latents, t: float) -> torch.Tensor:
    """a + b, which on the straight path is exactly 1."""
    a, b = process.weights(times_of(like, t))
    return a + b


def _published(config: SamplerConfig) -> tuple[Any, list[float]]:
    scheduler = _scheduler(config.kind, config.shift)
    scheduler.set_timesteps(config.steps)
    # UniPC rounds its time steps to integers of 1000: the exact time is the scheduler's sigma.
    return scheduler, scheduler.sigmas.tolist()[: len(scheduler.timesteps)]


def _at_times(kind: str, times: list[float], process: Process) -> tuple[Any, list[float]]:
    # In single precision, as the denoiser is told: a time between two levels must be rounded to the same one.
    a, b = (weight.double() for weight in process.weights(torch.tensor(times)))
    levels = (b / (a + b)).flatten()
    scheduler = _scheduler(kind, shift=1.0)
    if kind == "unipc":
        scheduler.set_timesteps(sigmas=levels.numpy())
        return scheduler, times
    scheduler.set_timesteps(len(times))
    # It takes no levels of one's own, and has each inner one twice: where a step ends, and where the next begins.
    inner = levels[1:].repeat_interleave(2)
    scheduler.sigmas = torch.cat([levels[:1], inner, levels.new_zeros(1)]).float()
    return scheduler, [times[0], *(t for t in times[1:] for _ in range(2))]


def _scheduler(kind: str, shift: float) -> Any:
    if kind == "heun":
        from diffusers.schedulers.scheduling_flow_match_heun_discrete import FlowMatchHeunDiscreteScheduler

        return FlowMatchHeunDiscreteScheduler(shift=shift)
    from diffusers.schedulers.scheduling_unipc_multistep import UniPCMultistepScheduler

    return UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=shift, solver_order=2
    )
