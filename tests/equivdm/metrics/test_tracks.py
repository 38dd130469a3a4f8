"""Variation along tracks of values that are known: those that move along, fresh ones, and what lies between."""

import math

import pytest
import torch
from torch import Tensor

from equivdm.metrics.tracks import track_variation

TIME, SIDE = 8, 48


def noise(seed: int, frames: int = TIME) -> Tensor:
    return torch.randn(frames, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))


def moving(dx: int, dy: int, values: Tensor) -> tuple[Tensor, Tensor]:
    """Values of one frame that move on a torus, and tracks of points that stay inside."""
    video = torch.stack([torch.roll(values, (k * dy, k * dx), (-2, -1)) for k in range(TIME)])
    starts = torch.cartesian_prod(torch.arange(16, 32), torch.arange(16, 32)).float()
    steps = torch.arange(TIME)[:, None] * torch.tensor([dx, dy])
    return video, starts[:, None] + steps


@pytest.mark.parametrize(("dx", "dy"), [(0, 0), (2, 0), (-1, 2)])
def test_values_that_move_along_do_not_vary(dx: int, dy: int) -> None:
    video, tracks = moving(dx, dy, noise(0)[0])
    assert track_variation(video, tracks) == pytest.approx(0, abs=1e-6)


def test_values_that_do_not_move_along_do() -> None:
    video, _ = moving(0, 0, noise(1)[0])
    _, tracks = moving(2, 1, noise(1)[0])
    assert track_variation(video, tracks) == pytest.approx(1, rel=0.06)


@pytest.mark.parametrize("frames", [2, TIME])
def test_noise_that_is_fresh_in_every_frame_varies_as_much_as_the_picture_however_long_it_is(frames: int) -> None:
    _, tracks = moving(1, 1, noise(2)[0])
    assert track_variation(noise(2)[:frames], tracks[:, :frames]) == pytest.approx(1, rel=0.06)


@pytest.mark.parametrize("beta", [0.5, 0.9])
def test_a_mix_varies_by_its_independent_share(beta: float) -> None:
    """beta * moving + sqrt(1 - beta^2) * fresh: the second part's deviation, of a whole of 1."""
    video, tracks = moving(1, -1, noise(3)[0])
    fresh = math.sqrt(1 - beta**2)
    assert track_variation(beta * video + fresh * noise(4), tracks) == pytest.approx(fresh, rel=0.06)


def test_each_channel_counts_by_its_own_spread() -> None:
    video, tracks = moving(1, -1, noise(5)[0])
    values = torch.cat([1000 * video[:, :1] + 7, 0.01 * noise(6)[:, 1:2]], dim=1)
    assert track_variation(values, tracks) == pytest.approx(0.5, rel=0.06)


def test_points_between_pixels_are_interpolated() -> None:
    """A ramp is 2 x at any x, and a track that moves by 0.25 px a frame sees it rise by 0.5."""
    ramp = 2 * torch.arange(SIDE).float().expand(TIME, 1, SIDE, SIDE)
    tracks = torch.tensor([10.125, 20.5]) + torch.arange(TIME)[:, None] * torch.tensor([0.25, 0.0])
    expected = (0.5 * torch.arange(TIME).double()).std() / (2 * torch.arange(SIDE).double()).std(correction=0)
    assert track_variation(ramp, tracks[None]) == pytest.approx(expected.item(), rel=1e-5)


def test_tracks_that_leave_or_say_nothing_are_refused() -> None:
    video, tracks = moving(1, 0, noise(7)[0])
    for wrong in (tracks + 20, tracks[:0], tracks[:, :3]):
        with pytest.raises(ValueError, match=r"got \d+ tracks of \d frames for 8 frames of 48 x 48, wanted some of as"):
            track_variation(video, wrong)
    with pytest.raises(ValueError, match="got a channel that is the same all over"):
        track_variation(torch.ones(TIME, 1, SIDE, SIDE), tracks)
