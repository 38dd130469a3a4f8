"""Equivariance of denoisers that are known in closed form."""

from functools import partial

import pytest
import torch
from torch import Tensor

from equivdm.metrics.equivariance import Transform, equivariance_error

MOTIONS: dict[str, list[Transform]] = {
    "shifts": [partial(torch.roll, shifts=(2 * k, -k), dims=(-2, -1)) for k in (1, 2, 3)],
    "turns": [partial(torch.rot90, k=k, dims=(-2, -1)) for k in (1, 2, 3)],
    "flips": [partial(torch.flip, dims=dims) for dims in ((-1,), (-2,), (-1, -2))],
}
SIDE = 32


def draw(seed: int, frames: int = 1) -> Tensor:
    return torch.randn((4, 2, frames, SIDE, SIDE), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def carried(first: Tensor, motions: list[Transform]) -> Tensor:
    return torch.cat([first, *[motion(first) for motion in motions]], dim=2)


def power(steepness: float) -> Tensor:
    """Spectrum of the pictures, which is the same in all directions: 1 over a power of the frequency, mean 1."""
    f = torch.fft.fftfreq(SIDE, dtype=torch.float64)
    spectrum = (f[:, None] ** 2 + f[None] ** 2 + 1 / SIDE**2) ** -steepness
    return spectrum / spectrum.mean()


def filtered(pictures: Tensor, response: Tensor) -> Tensor:
    return torch.fft.ifft2(torch.fft.fft2(pictures) * response).real


@pytest.mark.parametrize("motions", MOTIONS.values(), ids=MOTIONS)
def test_what_moves_along_has_no_error_and_what_does_not_know_the_first_frame_has_2(motions: list[Transform]) -> None:
    assert equivariance_error(carried(draw(0), motions), motions).tolist() == [0] * 4
    torch.testing.assert_close(
        equivariance_error(draw(1, 4), motions), torch.full((4,), 2.0).double(), rtol=0.1, atol=0
    )


def test_a_share_that_does_not_move_along_has_its_closed_form() -> None:
    """Outputs T_k x + c n of unit x and n: the noise of frame 0 counts too, 2 c^2 / (1 + c^2)."""
    motions = MOTIONS["shifts"]
    outputs = carried(draw(2), motions) + 0.5 * draw(3, 4)
    torch.testing.assert_close(
        equivariance_error(outputs, motions), torch.full((4,), 2 * 0.25 / 1.25).double(), rtol=0.1, atol=0
    )


@pytest.mark.parametrize("motions", MOTIONS.values(), ids=MOTIONS)
@pytest.mark.parametrize("t", [0.3, 0.9])
def test_theorem_4_1_on_gaussian_pictures(motions: list[Transform], t: float) -> None:
    """x_0 ~ N(0, C) with C diagonal in frequency, of the same power in all directions: C commutes with every T_k.

    The minimiser of the denoising loss of a frame is W x_t, with W = a C / (a^2 C + b^2). Under noise that moves along
    D^(k) = W T_k x_t^(0) = T_k D^(0). Under independent noise the error is what it leaves of b W n in both frames:
    2 b^2 tr W^2 / tr(W^2 (a^2 C + b^2)).
    """
    a, b, spectrum = 1 - t, t, power(1.0)
    wiener = a * spectrum / (a**2 * spectrum + b**2)
    video = carried(filtered(draw(4), spectrum.sqrt()), motions)
    consistent, independent = carried(draw(5), motions), draw(6, 4)
    with_warped, with_independent = (
        equivariance_error(filtered(a * video + b * noise, wiener), motions) for noise in (consistent, independent)
    )
    assert with_warped.max() < 1e-24
    expected = 2 * b**2 * (wiener**2).sum() / (wiener**2 * (a**2 * spectrum + b**2)).sum()
    assert with_independent.mean().item() == pytest.approx(expected.item(), rel=0.1)


def test_places_that_were_out_of_sight_are_left_out() -> None:
    def shifted(pictures: Tensor) -> Tensor:
        moved = torch.roll(pictures, 1, -1)
        moved[..., 0] = float("nan")
        return moved

    outputs = carried(draw(7), [partial(torch.roll, shifts=1, dims=-1)])
    outputs[:, :, 1, :, 0] = 100
    assert equivariance_error(outputs, [shifted]).tolist() == [0] * 4
    outputs[:, :, 1, 5, 9] += 1
    expected = 2 / outputs[:, :, 1, :, 1:].square().flatten(1).sum(1)
    torch.testing.assert_close(equivariance_error(outputs, [shifted]), expected)


def test_an_output_that_is_no_number_is_not_passed_over() -> None:
    outputs = carried(draw(8), MOTIONS["flips"])
    outputs[0, 0, 2, 3, 4] = float("nan")
    assert equivariance_error(outputs, MOTIONS["flips"]).isnan().tolist() == [True, False, False, False]


@pytest.mark.parametrize("count", [0, 2])
def test_another_number_of_transforms_is_refused(count: int) -> None:
    with pytest.raises(ValueError, match=f"got {count} transforms for 4 frames, wanted one a frame but the first"):
        equivariance_error(draw(9, 4), MOTIONS["turns"][:count])
