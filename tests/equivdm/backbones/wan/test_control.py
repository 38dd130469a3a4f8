"""VACE's control, beside what diffusers' pipeline makes of the same video and mask."""

import pytest
import torch
from diffusers import WanVACEPipeline

from equivdm.backbones.wan.control import control_video, mask_channels, vace_control
from tests.equivdm.backbones.wan import tiny

CODEC = tiny.codec()
PIPELINE = WanVACEPipeline(
    tokenizer=None,
    text_encoder=None,
    vae=CODEC.vae,
    scheduler=None,
    transformer=tiny.denoiser(vace=True).network,
)


def drawn_mask(batch: int = 1) -> torch.Tensor:
    shape = (batch, tiny.FRAMES, tiny.HEIGHT, tiny.WIDTH)
    return torch.rand(shape, generator=torch.Generator().manual_seed(3)) > 0.6


def of_the_pipeline(video: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    as_floats = mask.float()[:, None].expand(-1, 3, -1, -1, -1)
    latents = PIPELINE.prepare_video_latents(video, as_floats, [[]], None, torch.device("cpu"))
    return torch.cat([latents, PIPELINE.prepare_masks(as_floats, [[]])], 1)


def test_a_condition_becomes_grey_video() -> None:
    video = control_video(tiny.condition(2))
    assert video.shape == (2, 3, tiny.FRAMES, tiny.HEIGHT, tiny.WIDTH)
    torch.testing.assert_close(video[:, 1], tiny.condition(2) / 127.5 - 1)
    torch.testing.assert_close(control_video(tiny.condition(2) / 255), video)


def test_a_condition_in_colour_becomes_the_video_of_its_colours() -> None:
    colour = torch.stack([tiny.condition(2), tiny.condition(2).flip(-1), 0 * tiny.condition(2)], -1)
    video = control_video(colour)
    for channel in range(3):
        torch.testing.assert_close(video[:, channel], colour[..., channel] / 127.5 - 1)


def test_pure_control_is_the_pipelines() -> None:
    video = control_video(tiny.condition())
    control = vace_control(CODEC, video)
    assert control.shape == (1, 96, *tiny.GRID)
    assert control[:, 32:].eq(1).all()
    torch.testing.assert_close(control, of_the_pipeline(video, torch.ones_like(drawn_mask())), atol=1e-5, rtol=0)


def test_a_mask_is_the_pipelines() -> None:
    video, mask = control_video(tiny.condition()), drawn_mask()
    torch.testing.assert_close(vace_control(CODEC, video, mask), of_the_pipeline(video, mask), atol=1e-5, rtol=0)


def test_a_mask_of_all_ones_is_pure_control_in_every_sample() -> None:
    video = control_video(tiny.condition(2))
    pure, masked = vace_control(CODEC, video), vace_control(CODEC, video, torch.ones_like(drawn_mask(2)))
    torch.testing.assert_close(pure, masked, atol=1e-5, rtol=0)
    torch.testing.assert_close(pure[1:], vace_control(CODEC, video[1:]), atol=1e-5, rtol=0)


@pytest.mark.parametrize("frames", [1, 5, 9, 13, 81])
def test_masks_of_any_length_are_the_pipelines(frames: int) -> None:
    mask = torch.rand(1, frames, 16, 32, generator=torch.Generator().manual_seed(frames)) > 0.5
    channels = mask_channels(mask)
    assert channels.shape == (1, 64, (frames + 3) // 4, 2, 4)
    torch.testing.assert_close(channels, PIPELINE.prepare_masks(mask.float()[:, None], [[]]))


@pytest.mark.parametrize("shape", [(1, 5, 32, 48), (1, 9, 32, 32)])
def test_a_mask_of_another_size_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"^got a mask of .*, wanted \(1, 9, 32, 48\): give the video's$"):
        vace_control(CODEC, control_video(tiny.condition()), torch.ones(shape, dtype=torch.bool))


def test_a_length_that_the_codec_refuses_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^got 8 frames, wanted 4"):
        vace_control(CODEC, control_video(tiny.condition()[:, :8]))
