"""From the same noise, the latents of diffusers' pipelines at every step; and warped noise all the way to a video."""

from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from diffusers import WanPipeline, WanVACEPipeline
from einops import rearrange

from equivdm.backbones.geometry import WAN
from equivdm.backbones.wan.control import control_video, vace_control
from equivdm.backbones.wan.sampling import Guidance, WanConditions, published_scheduler, sample_steps
from equivdm.noise import warped_noise
from tests.equivdm.backbones.wan import tiny

CODEC, TEXT = tiny.codec(), tiny.text()
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


def assert_same_path(ours: list[torch.Tensor], theirs: list[torch.Tensor], video: torch.Tensor) -> None:
    assert len(ours) == len(theirs)
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(CODEC.decode(ours[-1]), video, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("scale", "batched", "shift", "steps"), [(5.0, False, 3.0, 6), (5.0, True, 5.0, 6), (1.0, False, 3.0, 3)]
)
def test_text_to_video_takes_the_pipelines_path(scale: float, batched: bool, shift: float, steps: int) -> None:
    denoiser = tiny.denoiser()
    pipeline = WanPipeline(TEXT.tokenizer, TEXT.encoder, CODEC.vae, published_scheduler(shift), denoiser.network)
    theirs, video = run_pipeline(pipeline, steps, prompt=PROMPT, negative_prompt=NEGATIVE, guidance_scale=scale)
    guidance = Guidance(TEXT([NEGATIVE]), scale, batched) if scale > 1 else None
    ours = sample_steps(
        denoiser, tiny.noise(), WanConditions(TEXT([PROMPT])), steps=steps, shift=shift, guidance=guidance
    )
    assert_same_path(list(ours), theirs, video)


@pytest.mark.parametrize(("batched", "masked", "strength"), [(False, False, 1.0), (True, True, 0.6)])
def test_vace_takes_the_pipelines_path(batched: bool, masked: bool, strength: float) -> None:
    denoiser = tiny.denoiser(vace=True)
    pipeline = WanVACEPipeline(
        TEXT.tokenizer, TEXT.encoder, CODEC.vae, published_scheduler(3.0), transformer=denoiser.network
    )
    mask = torch.zeros(1, tiny.FRAMES, tiny.HEIGHT, tiny.WIDTH, dtype=torch.bool)
    mask[..., 5:20, 3:29] = True
    prompt, negative = TEXT([PROMPT]), TEXT([NEGATIVE])
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
    conditions = WanConditions(prompt, control, strength)
    guidance = Guidance(negative, batched=batched)
    ours = sample_steps(denoiser, tiny.noise(), conditions, steps=5, shift=3.0, guidance=guidance)
    assert_same_path(list(ours), theirs, video)


def pictures(bytes_: torch.Tensor) -> list[PIL.Image.Image]:
    return [PIL.Image.fromarray(frame).convert("RGB") for frame in bytes_[0].numpy()]


def test_guidance_of_one_is_none() -> None:
    denoiser, conditions = tiny.denoiser(), WanConditions(tiny.embeddings())
    (free,) = sample_steps(denoiser, tiny.noise(), conditions, steps=1, shift=3.0)
    (guided,) = sample_steps(
        denoiser, tiny.noise(), conditions, steps=1, shift=3.0, guidance=Guidance(tiny.embeddings(seed=1), 1.0)
    )
    torch.testing.assert_close(free, guided, atol=1e-5, rtol=1e-5)
    assert not free.requires_grad


@pytest.mark.parametrize(("steps", "shift"), [(0, 3.0), (4, 0.0)])
def test_wrong_numbers_are_told_at_once(steps: int, shift: float) -> None:
    with pytest.raises(ValueError, match=f"^got steps={steps}, shift={shift}, wanted "):
        sample_steps(tiny.denoiser(), tiny.noise(), WanConditions(tiny.embeddings()), steps=steps, shift=shift)


def test_warped_noise_drives_vace_to_a_video() -> None:
    """Latent frame j takes the noise of video frame 4 j: a picture that moves by 2 px a frame moves it by one cell."""
    flow = np.zeros((tiny.FRAMES - 1, tiny.HEIGHT, tiny.WIDTH, 2), np.float32)
    flow[..., 0] = 2
    frames = WAN.frame_indices(tiny.FRAMES)
    drawn = warped_noise(flow, grid=WAN.grid(tiny.HEIGHT, tiny.WIDTH), channels=WAN.channels, seed=3, frames=frames)
    noise = rearrange(torch.from_numpy(drawn), "t c h w -> 1 c t h w")
    assert noise.shape == (1, 16, *tiny.GRID)
    assert torch.equal(noise[:, :, 1, :, 1:], noise[:, :, 0, :, :-1])
    control = vace_control(CODEC, control_video(tiny.condition()))
    conditions = WanConditions(TEXT([PROMPT]), control)
    *_, latents = sample_steps(
        tiny.denoiser(vace=True), noise, conditions, steps=2, shift=3.0, guidance=Guidance(TEXT([""]))
    )
    video = CODEC.decode(latents)
    assert video.shape == (1, 3, tiny.FRAMES, tiny.HEIGHT, tiny.WIDTH)
    assert video.isfinite().all()
