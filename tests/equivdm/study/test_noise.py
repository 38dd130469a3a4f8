"""Laws of the noise that models of a study are trained with."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from equivdm.flow import warp_back
from equivdm.study.clips import Clip, build_clips
from equivdm.study.config import DataSpec, NoiseSpec
from equivdm.study.noise import Noise

SCHEMES = ("particles", "independent", "nearest", "bilinear", "go_with_the_flow")


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> list[Clip]:
    spec = DataSpec(frames=4, height=64, width=64, train=1, held_out=3)
    return list(build_clips(spec, 1, tmp_path_factory.mktemp("scenes")).held_out)


def test_noise_of_exact_moves_is_moved_to_the_bit(tmp_path: Path) -> None:
    clips = build_clips(DataSpec(kind="exact", frames=4, height=32, width=32, train=3, held_out=1), 1, tmp_path).train
    noise, mixed = (Noise(NoiseSpec(beta=beta), clips, 0) for beta in (1.0, 0.9))
    for number, clip in enumerate(clips):
        eps = noise(number, 7)
        for k, move in enumerate(clip.moves):
            assert torch.equal(eps[:, k], move.apply(eps[:, 0]))
        moved = clip.moves[1].apply(mixed(number, 7)[:, 0])
        # eps^(1) and T eps^(0) share beta of what moves: their covariance is beta^2.
        assert _correlation(mixed(number, 7)[:, 1], moved) == pytest.approx(0.81, abs=4 / np.sqrt(moved.numel()))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_each_frame_is_unit_normal_where_the_scheme_keeps_it_so(scheme: str, scenes: list[Clip]) -> None:
    noise = Noise(NoiseSpec(scheme=scheme, beta=1.0), scenes, 0)
    last = torch.stack([noise(0, seed)[:, -1] for seed in range(8)])
    assert last.mean().item() == pytest.approx(0, abs=0.1)
    if scheme in ("particles", "independent", "go_with_the_flow"):
        assert last.var().item() == pytest.approx(1, abs=0.1)
    else:
        # Bilinear averages pixels away; nearest repeats some, so that a cell's sum is of pixels that are alike.
        assert (last.var().item() < 0.8) == (scheme == "bilinear")


def test_what_moves_along_is_carried_noise_only(scenes: list[Clip]) -> None:
    """Correlation of the second frame with the first along the flow, both at the flow's own size."""
    along = {scheme: _along(NoiseSpec(scheme=scheme, beta=1.0), scenes) for scheme in SCHEMES}
    along |= {name: _along(NoiseSpec(beta=1.0, flow=name, flow_error=3.0), scenes) for name in ("noisy", "other_clip")}
    assert abs(along["independent"]) < 0.05
    assert min(along[scheme] for scheme in SCHEMES if scheme != "independent") > 0.4
    assert max(along["noisy"], along["other_clip"]) < along["particles"] - 0.1


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_draw_is_a_pure_function_of_its_seed(scheme: str, scenes: list[Clip]) -> None:
    spec = NoiseSpec(scheme=scheme, flow="noisy")
    one, other = (Noise(spec, scenes, 3) for _ in range(2))
    assert torch.equal(one(1, 5), other(1, 5))
    assert not torch.equal(one(1, 5), one(1, 6))


def test_a_stored_draw_is_the_same_for_every_seed_and_the_clips_own(scenes: list[Clip]) -> None:
    noise = Noise(NoiseSpec(stored=True), scenes, 3)
    assert torch.equal(noise(0, 5), noise(0, 6))
    assert abs(_correlation(noise(0, 5)[:, 0], noise(1, 5)[:, 0])) < 0.1


def test_without_occlusion_more_noise_lives_on(scenes: list[Clip]) -> None:
    """Particles that something moves over are not dropped then: they go on as their layer does, and shine through."""
    hidden, shining = (
        [_survivors(Noise(NoiseSpec(occlusion=occlusion), scenes, 0), number) for number in range(len(scenes))]
        for occlusion in (True, False)
    )
    assert all(a <= b for a, b in zip(hidden, shining, strict=True))
    assert sum(hidden) < 0.99 * sum(shining)


def _survivors(noise: Noise, number: int) -> int:
    """Particles of the first frame that the last one still holds."""
    plan = noise._plan(number, *noise._flow(number))
    return int(((plan.births == 0) & (plan.stops == len(plan.frames))).sum())


def _along(spec: NoiseSpec, clips: list[Clip]) -> float:
    noise, found = Noise(spec, clips, 0), []
    for number, clip in enumerate(clips):
        eps = noise(number, 3)
        still = np.median(clip.motion.backward[0], (0, 1)) / 2
        first = warp_back(eps[:, 0].permute(1, 2, 0).numpy(), np.broadcast_to(still, (32, 32, 2)).copy())
        found.append(_correlation(eps[:, 1], torch.from_numpy(first).permute(2, 0, 1)))
    return float(np.mean(found))


def _correlation(one: Tensor, other: Tensor) -> float:
    return float(torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1])
