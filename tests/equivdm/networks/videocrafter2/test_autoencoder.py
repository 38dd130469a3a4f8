"""The autoencoder of VideoCrafter2: the public numbers, frame by frame, free sizes."""

import pytest
import torch

from equivdm.networks.videocrafter2.autoencoder import Autoencoder
from equivdm.networks.videocrafter2.sizes import AutoencoderSizes
from tests.equivdm.networks.videocrafter2.cases import AUTOENCODER, filled, golden, numbers, sparse


@pytest.fixture(scope="module")
def autoencoder() -> Autoencoder:
    return filled(Autoencoder(AUTOENCODER)).requires_grad_(False)


def video(frames: int = 2, rows: int = 8, columns: int = 12) -> torch.Tensor:
    """Pixels of -1 to 1."""
    return numbers("video", 2, 3, frames, rows, columns) / 3**0.5


def test_encoder_and_decoder_give_what_the_authors_code_gives(autoencoder: Autoencoder) -> None:
    noise, cells = numbers("noise", 2, 4, 2, 4, 6), numbers("cells", 2, 4, 2, 4, 6)
    made = {
        "mean": autoencoder.encode(video()),
        "draw": autoencoder.encode(video(), noise),
        "decoded": autoencoder.decode(cells),
    }
    for name, values in made.items():
        torch.testing.assert_close(sparse(values), golden(name), rtol=1e-4, atol=1e-5)


def test_what_normalisations_add_to_the_variance_is_the_authors(autoencoder: Autoencoder) -> None:
    norms = [module for module in autoencoder.modules() if isinstance(module, torch.nn.GroupNorm)]
    assert {norm.eps for norm in norms} == {1e-6}


@pytest.mark.parametrize(("frames", "rows", "columns"), [(1, 2, 2), (5, 6, 10)])
def test_any_length_and_any_size_of_whole_strides(
    autoencoder: Autoencoder, frames: int, rows: int, columns: int
) -> None:
    latents = autoencoder.encode(video(frames, rows, columns))
    assert latents.shape == (2, 4, frames, rows // 2, columns // 2)
    assert autoencoder.decode(latents).shape == (2, 3, frames, rows, columns)


def test_frames_do_not_see_each_other(autoencoder: Autoencoder) -> None:
    order = [2, 0, 1]
    latents = autoencoder.encode(video(3))
    torch.testing.assert_close(autoencoder.encode(video(3)[:, :, order]), latents[:, :, order])
    torch.testing.assert_close(autoencoder.decode(latents[:, :, order]), autoencoder.decode(latents)[:, :, order])


def test_draws_spread_about_the_mean(autoencoder: Autoencoder) -> None:
    mean, noise = autoencoder.encode(video()), numbers("noise", 2, 4, 2, 4, 6)
    torch.testing.assert_close((autoencoder.encode(video(), noise) + autoencoder.encode(video(), -noise)) / 2, mean)


def test_bfloat16_weights_give_what_float32_ones_give(autoencoder: Autoencoder) -> None:
    rounded = filled(Autoencoder(AUTOENCODER)).to(torch.bfloat16).requires_grad_(False)
    for exact, rough in (
        (autoencoder.encode(video()), rounded.encode(video())),
        (autoencoder.decode(numbers("cells", 2, 4, 2, 4, 6)), rounded.decode(numbers("cells", 2, 4, 2, 4, 6))),
    ):
        assert rough.dtype == torch.float32
        assert (rough - exact).square().mean() < 0.01 * exact.square().mean()


def test_gradients_reach_the_first_and_the_last_layer() -> None:
    network = filled(Autoencoder(AUTOENCODER))
    network.decode(network.encode(video())).square().mean().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_a_size_that_the_stride_does_not_divide_is_refused(autoencoder: Autoencoder) -> None:
    with pytest.raises(ValueError, match=r"^got a video of 8x11 pixels, wanted multiples of 2: change the size$"):
        autoencoder.encode(video(columns=11))
    with pytest.raises(ValueError, match=r"^width: got 16, wanted a multiple of 32: "):
        AutoencoderSizes(width=16)
