"""TAESD's encoder reads the public weights, strictly."""

from pathlib import Path

import pytest
import torch

from equivdm.errors import UsageError
from equivdm.networks.taesd import TaesdEncoder, load_encoder


def test_weights_are_read_and_latents_are_an_eighth_of_the_size(tmp_path: Path) -> None:
    encoder, file = TaesdEncoder(), tmp_path / "encoder.pth"
    torch.save({name: value.half() for name, value in encoder.state_dict().items()}, file)
    latents = load_encoder(str(file))(torch.rand(2, 3, 32, 48))
    assert latents.shape == (2, 32, 4, 6)
    assert latents.dtype == torch.float32


def test_another_file_is_refused_in_one_line(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(1)}, tmp_path / "other.pth")
    for file in ("other.pth", "absent.pth"):
        with pytest.raises(UsageError, match=r"wanted TAESD's taef2_encoder\.pth") as fault:
            load_encoder(str(tmp_path / file))
        assert "\n" not in str(fault.value)


def test_public_weights_give_latents_of_about_unit_variance_that_shift_with_the_picture(assets: Path) -> None:
    encoder = load_encoder(str(assets / "weights" / "taef2_encoder.pth"))
    wave = torch.sin(torch.arange(96) / 7.0)
    picture = 0.5 + 0.3 * (wave[:, None] * wave)[None, None].repeat(1, 3, 1, 1)
    with torch.inference_mode():
        latents = encoder(picture[..., :64])
        moved = encoder(picture[..., 8:72])
    assert 0.4 < latents.std().item() < 2
    # By a whole cell, away from the border that either sees of its own.
    inner = (latents[..., 2:-2, 3:-2] - moved[..., 2:-2, 2:-3]).square().mean() / latents.var()
    assert inner.item() < 0.2
