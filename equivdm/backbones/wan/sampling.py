"""From noise to latents as Wan is published: UniPC on shifted times, with classifier-free guidance."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from equivdm.backbones.wan.denoiser import TIME_SCALE, Scale, WanDenoiser
from equivdm.backbones.wan.shapes import TextEmbeddings, VaceControl
from equivdm.types import Latents, Times


@dataclass(frozen=True)
class WanConditions:
    """What the network is told beside the noisy latents."""

    text: TextEmbeddings
    """Of the prompts."""
    control: VaceControl | None = None
    """Of VACE."""
    control_scale: Scale = 1.0
    """Strength of the control."""


@dataclass(frozen=True)
class Guidance:
    """Classifier-free guidance (Ho and Salimans 2022, arXiv 2207.12598); the control is kept on both sides."""

    negative: TextEmbeddings
    """Of the prompts that are led away from; those of "" lead away from nothing."""
    scale: float = 5.0
    """w; 1 is no guidance. Wan's is 5."""
    batched: bool = False
    """One call for both prompts, which needs twice the memory, and not two."""


def guided_velocity(
    denoiser: WanDenoiser, latents: Latents, times: Times, conditions: WanConditions, guidance: Guidance | None
) -> Latents:
    """v = v(negative) + w (v(prompt) - v(negative)); without guidance v(prompt)."""
    control, scale = conditions.control, conditions.control_scale
    if guidance is None:
        return denoiser(latents, times, conditions.text, control, scale)
    if guidance.batched:
        text = torch.cat([conditions.text, guidance.negative])
        twice = None if control is None else torch.cat([control, control])
        both = denoiser(torch.cat([latents, latents]), torch.cat([times, times]), text, twice, scale)
        toward, away = both.chunk(2)
    else:
        toward = denoiser(latents, times, conditions.text, control, scale)
        away = denoiser(latents, times, guidance.negative, control, scale)
    return away + guidance.scale * (toward - away)


def sample_steps(
    denoiser: WanDenoiser,
    noise: Latents,
    conditions: WanConditions,
    *,
    steps: int,
    shift: float,
    guidance: Guidance | None = None,
) -> Iterator[Latents]:
    """Return the latents after each step, one after another; the last are those at t = 0.

    Args:
        denoiser: of the model.
        noise: the latents at t = 1, white in each frame; float32, whatever the network's precision.
        conditions: prompts, and VACE's control.
        steps: number of solver steps; Wan's is 50.
        shift: times are shift * s / (1 + (shift - 1) * s) for evenly spaced s: 3 for 480 rows, 5 for 720.
        guidance: the negative prompts and how strong.

    Raises:
        ValueError: for no step, or a shift that is not positive.
    """
    if steps < 1 or shift <= 0:
        raise ValueError(
            f"got steps={steps}, shift={shift}, wanted at least 1 and above 0: give 50 and 3, as published"
        )
    return _steps(denoiser, noise, conditions, steps, shift, guidance)


def published_scheduler(shift: float) -> Any:
    """Return diffusers' UniPC (Zhao et al. 2023, arXiv 2302.04867) with the settings of Wan's folders."""
    from diffusers.schedulers.scheduling_unipc_multistep import UniPCMultistepScheduler

    return UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=shift)


def _steps(
    denoiser: WanDenoiser,
    noise: Latents,
    conditions: WanConditions,
    steps: int,
    shift: float,
    guidance: Guidance | None,
) -> Iterator[Latents]:
    scheduler = published_scheduler(shift)
    scheduler.set_timesteps(steps, device=noise.device)
    scheduler.set_begin_index(0)
    latents = noise
    for timestep in scheduler.timesteps:
        # The solver goes by exact times; the network is told them in whole thousandths, as it is in Wan's pipelines.
        times = (timestep / TIME_SCALE).expand(len(latents))
        with torch.no_grad():
            velocity = guided_velocity(denoiser, latents, times, conditions, guidance)
        latents = scheduler.step(velocity, timestep, latents, return_dict=False)[0]
        yield latents
