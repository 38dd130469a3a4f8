"""VideoCrafter2 as a backbone, the whole path at the least size: file, encode, denoise, train, export, load, sample."""

import hashlib
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter, ValidationError

from equivdm.backbones import backbone_of
from equivdm.backbones.base import WEIGHTS, Codec, Conditions, Denoiser
from equivdm.backbones.videocrafter2.codec import VideoCrafter2Codec
from equivdm.config import BackboneConfig, SamplerConfig, TinyConfig, VideoCrafter2Config
from equivdm.errors import UsageError
from equivdm.networks.videocrafter2.autoencoder import SCALE
from equivdm.networks.videocrafter2.checkpoint import load_unet
from equivdm.networks.videocrafter2.sizes import AutoencoderSizes, TextSizes
from equivdm.objective import Diffusion
from equivdm.process import VideoCrafter2Process
from equivdm.sampling import sample
from tests.equivdm.backbones.videocrafter2 import tiny
from tests.equivdm.networks.videocrafter2.cases import numbers

NOISY = numbers("noisy", 2, 4, 3, 4, 6)
TIMES = torch.tensor([0.25, 0.999])


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> VideoCrafter2Config:
    return tiny.write(tmp_path_factory.mktemp("model"))


def told(config: VideoCrafter2Config, *prompts: str) -> Conditions:
    """What the network is told of clips with these captions."""
    text = torch.stack([torch.from_numpy(row).float() for row in backbone_of(config).build_text()(prompts)])
    return Conditions(text, None, torch.tensor([8.0, 24.0])[: len(prompts)])


def identities(config: VideoCrafter2Config) -> list[dict[str, Any]]:
    """Of codec, text encoder and network."""
    backbone = backbone_of(config)
    return [backbone.codec_identity(), backbone.text_identity(), backbone.network_identity()]


def test_it_offers_what_a_backbone_offers(config: VideoCrafter2Config) -> None:
    backbone = backbone_of(config)
    codec, denoiser, geometry = backbone.build_codec(), backbone.build_denoiser(), backbone.geometry
    assert isinstance(codec, Codec)
    assert isinstance(denoiser, Denoiser)
    assert (geometry.channels, geometry.space_stride, geometry.time_stride, geometry.causal) == (4, 8, 1, False)
    assert backbone.diffusion() == Diffusion(VideoCrafter2Process(), "epsilon")
    assert backbone.diffusion("v") == Diffusion(VideoCrafter2Process(), "v")
    assert backbone.sampler == SamplerConfig(kind="ddim", steps=50, guidance=12)
    assert backbone.control_form() == "none"


def test_videos_come_in_multiples_of_what_the_unet_halves(config: VideoCrafter2Config) -> None:
    backbone = backbone_of(config)
    backbone.check_size(32, 48)
    with pytest.raises(ValueError, match=r"make height and width multiples of 16 pixels$"):
        backbone.check_size(32, 40)
    public = backbone_of(VideoCrafter2Config(weights="model.ckpt", tokenizer="clip"))
    public.check_size(320, 512)
    with pytest.raises(ValueError, match=r"make height and width multiples of 64 pixels$"):
        public.check_size(360, 512)


def test_latents_are_the_scaled_mean_and_pixels_are_clipped(config: VideoCrafter2Config) -> None:
    codec = backbone_of(config).build_codec()
    assert isinstance(codec, VideoCrafter2Codec)
    video = numbers("video", 1, 3, 2, 16, 24) / 3**0.5
    latents = codec.encode(video)
    assert latents.shape == (1, 4, 2, 2, 3)
    assert torch.equal(latents, codec.encode(video))  # no draw from the posterior
    moments = codec.autoencoder.quant_conv(codec.autoencoder.encoder(video[:, :, 0]))
    torch.testing.assert_close(latents[:, :, 0], SCALE * moments[:, :4])
    far = codec.decode(100 * latents)
    assert far.shape == video.shape
    assert far.abs().max() == 1
    with pytest.raises(ValueError, match="wanted multiples of 8"):
        codec.encode(video[..., :-4])


def test_text_rate_and_level_reach_the_network_as_they_are(config: VideoCrafter2Config) -> None:
    denoiser, given = backbone_of(config).build_denoiser().eval(), told(config, "a cat", "")
    network = load_unet(config.weights, config.unet)
    with torch.no_grad():
        eps = denoiser(NOISY, TIMES, given)
        assert torch.equal(eps, network(NOISY, torch.tensor([250, 999]), given.text, given.fps))
        for other in (told(config, "a dog", "a dog"), Conditions(given.text, None, given.fps + 5)):
            assert (denoiser(NOISY, TIMES, other) - eps).abs().amax(dim=(1, 2, 3, 4)).min() > 1e-6
    with pytest.raises(ValueError, match=r"^got a dense condition, wanted none"):
        denoiser(NOISY, TIMES, Conditions(given.text, torch.zeros(2, 3, 32, 48), given.fps))


def test_recomputing_changes_no_gradient_and_no_bit_is_drawn_in_training(config: VideoCrafter2Config) -> None:
    given, gradients = told(config, "a cat", ""), []
    for recompute in (False, True):
        denoiser = backbone_of(config).build_denoiser().train()
        denoiser.recompute = recompute
        state = torch.get_rng_state()
        denoiser(NOISY, TIMES, given).square().mean().backward()
        assert torch.equal(state, torch.get_rng_state())
        gradients.append([parameter.grad for parameter in denoiser.parameters()])
    assert all(grad is not None for grad in gradients[0])
    assert all(torch.equal(one, other) for one, other in zip(*gradients, strict=True))


@pytest.mark.slow
def test_training_lowers_the_loss_and_what_is_exported_loads_under_the_public_names(
    config: VideoCrafter2Config, tmp_path: Path
) -> None:
    backbone = backbone_of(config)
    codec, denoiser, diffusion = backbone.build_codec(), backbone.build_denoiser().train(), backbone.diffusion()
    latents = codec.encode(numbers("video", 2, 3, 2, 32, 32) / 3**0.5)
    eps, times, given = numbers("eps", *latents.shape), torch.tensor([0.1, 0.6]), told(config, "a cat", "a dog")
    optimizer, losses = torch.optim.AdamW(denoiser.parameters(), lr=1e-3), []
    for _ in range(8):
        loss = diffusion.loss(denoiser, latents, eps, times, given)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0], losses

    denoiser.export(tmp_path, denoiser.state_dict())
    again, public = backbone_of(config).load_exported(tmp_path), load_unet(str(tmp_path / WEIGHTS), config.unet)
    for name, value in denoiser.state_dict().items():
        assert torch.equal(again.state_dict()[name], value)
        assert torch.equal(public.state_dict()[name.removeprefix("network.")], value)

    empty = told(config, "", "")
    ends = [
        sample(model, eps, given, SamplerConfig(steps=4, guidance=3), diffusion, empty)
        for model in (denoiser.eval(), again)
    ]
    assert torch.equal(*ends)
    assert codec.decode(ends[0]).shape == (2, 3, 2, 32, 32)
    assert ends[0].isfinite().all()


def test_samples_of_a_batch_do_not_see_each_other(config: VideoCrafter2Config) -> None:
    denoiser, given = backbone_of(config).build_denoiser().eval(), told(config, "a cat", "")
    config_ = SamplerConfig(steps=2)
    both = sample(denoiser, NOISY, given, config_, backbone_of(config).diffusion())
    first = sample(denoiser, NOISY[:1], given.split(2)[0], config_, backbone_of(config).diffusion())
    torch.testing.assert_close(both[:1], first, atol=1e-4, rtol=1e-4)


def test_identities_follow_the_bytes_and_not_the_path(config: VideoCrafter2Config, tmp_path: Path) -> None:
    shutil.copytree(Path(config.weights).parent, tmp_path / "moved")
    moved = config.model_copy(
        update={"weights": str(tmp_path / "moved/model.ckpt"), "tokenizer": str(tmp_path / "moved/tokenizer")}
    )
    here = identities(config)
    assert identities(moved) == here
    digest = hashlib.sha256(Path(config.weights).read_bytes()).hexdigest()
    assert all(identity["weights"] == digest for identity in here)
    merges = tmp_path / "moved/tokenizer/merges.txt"
    merges.write_text(merges.read_text() + "\no g")
    assert [one == other for one, other in zip(identities(moved), here, strict=True)] == [True, False, True]
    merges.unlink()
    with pytest.raises(UsageError, match=r"^tokenizer: .* lacks merges.txt: give the folder of a CLIP tokenizer$"):
        backbone_of(moved).text_identity()


def test_a_spec_tells_backbones_apart_and_parts_must_fit() -> None:
    either: TypeAdapter[BackboneConfig] = TypeAdapter(BackboneConfig)
    spec = {"kind": "videocrafter2", "weights": "model.ckpt", "tokenizer": "clip"}
    found = either.validate_python(spec)
    assert found == VideoCrafter2Config(weights="model.ckpt", tokenizer="clip")
    assert either.validate_json(found.model_dump_json()) == found
    assert either.validate_python({"width": 48}) == TinyConfig(width=48)
    with pytest.raises(ValidationError, match=r"unet.text_width: got 1024, wanted text.width, 512"):
        either.validate_python({**spec, "text": {"width": 512}})
    with pytest.raises(ValidationError, match=r"got 4 latents, a stride of 2, and 4 latents of the UNet, wanted 4, 8"):
        either.validate_python({**spec, "autoencoder": {"factors": [1, 2]}})
    with pytest.raises(ValidationError, match=r"width: got 30, wanted a multiple of 16"):
        either.validate_python({**spec, "text": {"width": 30}})
    with pytest.raises(ValueError, match=r"^blocks: got 1, wanted at least 2"):
        TextSizes(blocks=1)


def test_another_checkpoint_is_refused(config: VideoCrafter2Config) -> None:
    wide = config.model_copy(update={"autoencoder": AutoencoderSizes(width=64, factors=(1, 1, 1, 1), blocks=1)})
    with pytest.raises(UsageError, match=r"^weights: got .* of another shape \(first_stage_model.*give its public"):
        backbone_of(wide).build_codec()
