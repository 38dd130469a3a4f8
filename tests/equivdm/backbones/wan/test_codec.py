"""Wan's codec: sizes, normalised latents as in the pipelines, lengths that it refuses."""

import pytest
import torch
from diffusers import AutoencoderKLWan

from equivdm.backbones.base import Codec
from equivdm.backbones.wan.backbone import GEOMETRY
from equivdm.backbones.wan.codec import WanCodec
from tests.equivdm.backbones.wan import tiny

CODEC = tiny.codec()


@pytest.mark.parametrize(("frames", "latent_frames"), [(1, 1), (5, 2), (9, 3)])
def test_a_video_becomes_latents_and_back(frames: int, latent_frames: int) -> None:
    video = torch.rand(2, 3, frames, 16, 24) * 2 - 1
    latents = CODEC.encode(video)
    assert latents.shape == (2, 16, latent_frames, *GEOMETRY.grid(16, 24))
    assert len(GEOMETRY.frame_indices(frames)) == latent_frames
    decoded = CODEC.decode(latents)
    assert decoded.shape == video.shape
    assert decoded.abs().max() <= 1
    assert not decoded.requires_grad


def test_latents_are_the_normalised_mode() -> None:
    video = torch.rand(1, 3, 5, 16, 16) * 2 - 1
    vae = CODEC.vae
    mode = vae.encode(video).latent_dist.mode()
    mean, deviation = (
        torch.tensor(each)[None, :, None, None, None] for each in (vae.config.latents_mean, vae.config.latents_std)
    )
    torch.testing.assert_close(CODEC.encode(video), (mode - mean) / deviation)
    torch.testing.assert_close(CODEC.decode((mode - mean) / deviation), vae.decode(mode).sample, atol=1e-5, rtol=0)


def test_time_is_causal() -> None:
    """The first latent frames know nothing of later video frames, and are those of a shorter clip."""
    video = torch.rand(1, 3, 9, 16, 16) * 2 - 1
    torch.testing.assert_close(CODEC.encode(video)[:, :, :2], CODEC.encode(video[:, :, :5]))


@pytest.mark.parametrize("frames", [2, 4, 8, 10])
def test_other_lengths_are_refused(frames: int) -> None:
    with pytest.raises(ValueError, match=rf"^got {frames} frames, wanted 4 \* n \+ 1: change the length of the clips$"):
        CODEC.encode(torch.zeros(1, 3, frames, 16, 16))


def test_other_sizes_and_channels_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^got a video of 16x20 pixels, wanted multiples of 8: "):
        CODEC.encode(torch.zeros(1, 3, 1, 16, 20))
    with pytest.raises(ValueError, match=r"^got latents of 4 channels, wanted 16: "):
        CODEC.decode(torch.zeros(1, 4, 1, 2, 2))


def test_half_precision_takes_and_returns_float() -> None:
    half = WanCodec(AutoencoderKLWan(**tiny.VAE).bfloat16())
    latents = half.encode(torch.rand(1, 3, 1, 16, 16))
    assert latents.dtype == half.decode(latents).dtype == torch.float32
    assert half.vae.dtype == torch.bfloat16


def test_gradients_pass_through_to_latents_and_not_to_weights() -> None:
    latents = torch.randn(1, 16, 1, 2, 2, requires_grad=True)
    CODEC.decode(latents).sum().backward()
    assert latents.grad is not None
    assert latents.grad.any()
    assert all(parameter.grad is None for parameter in CODEC.vae.parameters())


def test_another_autoencoder_is_refused() -> None:
    assert isinstance(CODEC, Codec)
    with pytest.raises(ValueError, match=r"^got an autoencoder of \(48, 16, 4\) .*: give that of Wan 2.1$"):
        WanCodec(AutoencoderKLWan(**tiny.VAE, z_dim=48, scale_factor_spatial=16))
