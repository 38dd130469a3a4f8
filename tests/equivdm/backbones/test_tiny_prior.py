"""The linear denoiser: Wiener's filter for pictures' spectrum."""

import cv2
import numpy as np
import pytest
import torch
from scipy.fft import dctn

from equivdm.backbones.tiny.prior import _colours, _cosines, _power, linear_guess
from equivdm.video.photographs import load_photographs

CPU = torch.device("cpu")


def pictures(count: int, rows: int, columns: int) -> torch.Tensor:
    """Draw latents whose spectrum is the prior's own."""
    drawn = torch.randn(count, 3, 1, rows, columns, generator=torch.Generator().manual_seed(0))
    drawn *= _power(rows, columns, CPU).sqrt()
    bases = _colours(CPU), _cosines(rows, CPU), _cosines(columns, CPU)
    return torch.einsum("kc,uh,vw,bktuv->bcthw", *bases, drawn)


def test_cosines_are_scipys() -> None:
    x = torch.randn(6, 10, dtype=torch.float64)
    ours = _cosines(6, CPU).double() @ x @ _cosines(10, CPU).double().T
    np.testing.assert_allclose(ours, dctn(x.numpy(), norm="ortho"), atol=1e-5)
    torch.testing.assert_close(_colours(CPU) @ _colours(CPU).T, torch.eye(3))


def test_white_data_have_edms_preconditioning(monkeypatch: pytest.MonkeyPatch) -> None:
    """c_skip = (2 t - 1) / ((1 - t)^2 + t^2) and c_out = 1 / sqrt((1 - t)^2 + t^2) for data of variance 1."""
    monkeypatch.setattr("equivdm.backbones.tiny.prior._power", lambda *size: torch.ones(3, 1, *size[:2]))
    x, t = torch.randn(3, 3, 2, 4, 6), torch.tensor([0.0, 0.5, 1.0])
    velocity, clean, left = linear_guess(x, t)
    for row, (skip, rest, out) in enumerate([(-1.0, 1.0, 1.0), (0.0, 1.0, 2**0.5), (1.0, 0.0, 1.0)]):
        torch.testing.assert_close(velocity[row], skip * x[row])
        torch.testing.assert_close(clean[row], rest * x[row])
        assert left[row].item() == pytest.approx(out)


def test_both_guesses_are_of_one_x_t() -> None:
    """x_t = (1 - t) x_0 + t eps with eps = velocity + x_0."""
    x, t = torch.randn(5, 3, 2, 8, 12), torch.linspace(0, 1, 5)
    velocity, clean, _ = linear_guess(x, t)
    torch.testing.assert_close(clean + t[:, None, None, None, None] * velocity, x, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("t", [0.2, 0.6, 0.95])
def test_no_linear_guess_is_better_and_what_is_left_has_the_deviation_told(t: float) -> None:
    """The error of the best linear guess is orthogonal to what it is made of (the projection theorem)."""
    x0 = pictures(2000, 8, 8)
    eps = torch.randn(x0.shape, generator=torch.Generator().manual_seed(1))
    velocity, _, left = linear_guess((1 - t) * x0 + t * eps, torch.full((len(x0),), t))
    error = eps - x0 - velocity
    assert error.square().mean().sqrt() == pytest.approx(left[0].item(), rel=0.03)
    # Any other gain of one frequency, or of all, is worse.
    for change in (0.9, 1.1):
        assert (eps - x0 - change * velocity).square().mean() > error.square().mean()
    seen = torch.einsum("uh,bcthw->bctuw", _cosines(8, CPU), (1 - t) * x0 + t * eps)
    wrong = torch.einsum("uh,bcthw->bctuw", _cosines(8, CPU), error)
    scale = (seen.square().mean((0, 1, 2, 4)) * wrong.square().mean((0, 1, 2, 4))).sqrt()
    assert ((seen * wrong).mean((0, 1, 2, 4)).abs() / scale).max() < 0.03


def test_photographs_are_guessed_better_than_as_white_data() -> None:
    """Real pictures, which the spectrum is a round figure of: less than half of the error at middle times."""
    scaled = [cv2.resize(each, (32, 32), interpolation=cv2.INTER_AREA) for each in load_photographs().values()]
    x0 = 2 * (torch.from_numpy(np.stack(scaled)).permute(0, 3, 1, 2)[:, :, None].float() / 127.5 - 1)
    eps = torch.randn(x0.shape, generator=torch.Generator().manual_seed(2))
    for t, share in ((0.3, 0.5), (0.6, 0.5), (0.9, 0.8)):
        x_t, times = (1 - t) * x0 + t * eps, torch.full((len(x0),), t)
        white = (2 * t - 1) / ((1 - t) ** 2 + t**2) * x_t
        errors = [(eps - x0 - guess).square().mean() for guess in (linear_guess(x_t, times)[0], white)]
        assert errors[0] < share * errors[1]


def test_grids_of_all_sizes_have_the_same_power_at_the_same_frequency() -> None:
    """A frequency is counted in cycles a cell: a frame of twice the size has twice as many, the old ones among them."""
    torch.testing.assert_close(_power(16, 24, CPU)[..., ::2, ::2], _power(8, 12, CPU))


def test_it_is_exact_in_mixed_precision_too() -> None:
    x, t = torch.randn(2, 3, 1, 8, 8), torch.tensor([0.3, 0.9])
    with torch.autocast("cpu", torch.bfloat16):
        mixed = linear_guess(x, t)
    assert all(torch.equal(one, other) for one, other in zip(mixed, linear_guess(x, t), strict=True))
