"""From the same noise, the latents of diffusers' pipelines at every step; and warped noise all the way to a video."""

from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from diffusers import WanPipeline, WanVACEPipeline
from einops import rearrange

from equivdm.backbones import backbone_of
from equivdm.backbones.base import Conditions, Denoiser
from equivdm.backbones.wan.control import control_video, vace_control
from equivdm.config import SamplerConfig, WanConfig
from equivdm.noise import warped_noise
from equivdm.sampling import sample
from tests.equivdm.backbones.wan import tiny

WAN = backbone_of(WanConfig(model="any"))
CODEC, TEXT = tiny.codec(), tiny.text()
RATE = torch.tensor([16.0])
PROMPT, NEGATIVE = "a cat walks", "blurred"
SIZE: dict[str, Any] = {"height": tiny.HEIGHT, "width": tiny.WIDTH, "num_frames": tiny.FRAMES}


def run_pipeline(pipeline: Any, steps: int, **given: Any) -> tuple[list[torch.Tensor], torch.Tensor]:
    """The latents after each step, and the video, -1 to 1."""
    seen = []

    def keep(_: Any, step: int, timestep: Any, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        del step, timestep
        seen.append(tensors["latents"])
        return tensors

    pipeline.set_progress_bar_config(disable=True)
    video = pipeline(
        num_inference_steps=steps, latents=tiny.noise(), output_type="pt", callback_on_step_end=keep, **SIZE, **given
    ).frames
    return seen, rearrange(2 * video - 1, "b t c h w -> b c t h w")


def path_of(predict: Denoiser, steps: int, shift: float, scale: float, *given: Conditions) -> list[torch.Tensor]:
    """The latents after each step of the project's sampler.

    Diffusers' UniPC tells the network its times cut to whole thousandths; the project's tells the exact ones. Here they
    are cut, too. The network is asked once a step, with guidance for both prompts at once.
    """
    scheduler = tiny.scheduler(shift)
    scheduler.set_timesteps(steps)
    seen: list[torch.Tensor] = []

    def cut(x: torch.Tensor, times: torch.Tensor, conditions: Conditions) -> torch.Tensor:
        seen.append(x[:1])
        return predict(x, scheduler.timesteps[len(seen) - 1 :][:1] / 1000 + 0 * times, conditions)

    sampler = SamplerConfig(kind="unipc", steps=steps, shift=shift, guidance=scale)
    last = sample(cut, tiny.noise(), given[0], sampler, WAN.diffusion(), given[-1])
    return [*seen[1:], last]


def assert_same_path(ours: list[torch.Tensor], theirs: list[torch.Tensor], video: torch.Tensor) -> None:
    assert len(ours) == len(theirs)
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(CODEC.decode(ours[-1]), video, atol=1e-5, rtol=0)


def told(prompt: str, control: torch.Tensor | None = None) -> Conditions:
    return Conditions(TEXT([prompt]), control, RATE)


@pytest.mark.parametrize(("scale", "shift", "steps"), [(5.0, 3.0, 6), (5.0, 5.0, 6), (1.0, 3.0, 3)])
def test_text_to_video_takes_the_pipelines_path(scale: float, shift: float, steps: int) -> None:
    denoiser = tiny.denoiser()
    pipeline = WanPipeline(TEXT.tokenizer, TEXT.encoder, CODEC.vae, tiny.scheduler(shift), denoiser.network)
    theirs, video = run_pipeline(pipeline, steps, prompt=PROMPT, negative_prompt=NEGATIVE, guidance_scale=scale)
    ours = path_of(denoiser, steps, shift, scale, told(PROMPT), told(NEGATIVE))
    assert_same_path(ours, theirs, video)


@pytest.mark.parametrize(("masked", "strength"), [(False, 1.0), (True, 0.6)])
def test_vace_takes_the_pipelines_path(masked: bool, strength: float) -> None:
    denoiser = tiny.denoiser(vace=True)
    pipeline = WanVACEPipeline(
        TEXT.tokenizer, TEXT.encoder, CODEC.vae, tiny.scheduler(3.0), transformer=denoiser.network
    )
    mask = torch.zeros(1, tiny.FRAMES, tiny.HEIGHT, tiny.WIDTH, dtype=torch.bool)
    mask[..., 5:20, 3:29] = True
    theirs, video = run_pipeline(
        pipeline,
        5,
        video=pictures(tiny.condition()),
        mask=pictures(mask.to(torch.uint8) * 255) if masked else None,
        prompt=PROMPT,
        negative_prompt=NEGATIVE,
        conditioning_scale=strength,
    )
    control = vace_control(CODEC, control_video(tiny.condition()), mask if masked else None)

    def strong(x: torch.Tensor, times: torch.Tensor, conditions: Conditions) -> torch.Tensor:
        return denoiser.velocity(x, times, conditions.text, control.expand(len(x), -1, -1, -1, -1), strength)

    predict = strong if masked else denoiser
    planes = control[:, :32]  # everywhere is generated: the mask is the denoiser's own
    assert_same_path(path_of(predict, 5, 3.0, 5.0, told(PROMPT, planes), told(NEGATIVE, planes)), theirs, video)


def pictures(bytes_: torch.Tensor) -> list[PIL.Image.Image]:
    return [PIL.Image.fromarray(frame).convert("RGB") for frame in bytes_[0].numpy()]


def test_warped_noise_drives_vace_to_a_video() -> None:
    """Latent frame j takes the noise of video frame 4 j: a picture that moves by 2 px a frame moves it by one cell."""
    flow = np.zeros((tiny.FRAMES - 1, tiny.HEIGHT, tiny.WIDTH, 2), np.float32)
    flow[..., 0] = 2
    frames, grid = WAN.geometry.frame_indices(tiny.FRAMES), WAN.geometry.grid(tiny.HEIGHT, tiny.WIDTH)
    drawn = warped_noise(flow, grid=grid, channels=WAN.geometry.channels, seed=3, frames=frames)
    noise = rearrange(torch.from_numpy(drawn), "t c h w -> 1 c t h w")
    assert noise.shape == (1, 16, *tiny.GRID)
    assert torch.equal(noise[:, :, 1, :, 1:], noise[:, :, 0, :, :-1])
    control = vace_control(CODEC, control_video(tiny.condition()))
    planes = control[:, :32]
    sampler = SamplerConfig(kind="unipc", steps=2, shift=3.0, guidance=5.0)
    latents = sample(
        tiny.denoiser(vace=True),
        noise,
        told(PROMPT, planes),
        sampler,
        WAN.diffusion(),
        told("", planes),
    )
    video = CODEC.decode(latents)
    assert video.shape == (1, 3, tiny.FRAMES, tiny.HEIGHT, tiny.WIDTH)
    assert video.isfinite().all()
