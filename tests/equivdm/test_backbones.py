"""The tiny backbone: any length and grid, relative places, no leak between samples, a codec that keeps the means."""

import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from equivdm.backbones import backbone_of
from equivdm.backbones.base import Codec, Conditions, Denoiser, control_as_float
from equivdm.backbones.geometry import Geometry
from equivdm.backbones.tiny.attention import _angles, _rotate
from equivdm.backbones.tiny.prior import linear_guess
from equivdm.config import TinyConfig

SMALL = TinyConfig(width=32, depth=2, heads=2, patch=4)
DEEP = TinyConfig(width=32, depth=1, heads=2, patch=8, channels=8, levels=3)
BACKBONE = backbone_of(SMALL)


def conditions(batch: int, frames: int, height: int, width: int, seed: int = 0) -> Conditions:
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(0, 100, (batch, 16), generator=generator)
    return Conditions(tokens, torch.rand(batch, frames, height, width, generator=generator), torch.full((batch,), 8.0))


def awake(config: TinyConfig = SMALL) -> torch.nn.Module:
    """A denoiser whose zero-initialised layers have been given values, so that every path shows in the output."""
    denoiser = backbone_of(config).build_denoiser(seed=0)
    generator = torch.Generator().manual_seed(1)
    for parameter in denoiser.parameters():
        if not parameter.any():
            parameter.data = 0.4 * torch.randn(parameter.shape, generator=generator)
    return denoiser.eval().requires_grad_(False)


@pytest.mark.parametrize("config", [SMALL, DEEP])
@pytest.mark.parametrize(("frames", "rows", "columns"), [(1, 8, 8), (5, 8, 16), (16, 32, 24)])
def test_denoiser_takes_any_length_and_grid(frames: int, rows: int, columns: int, config: TinyConfig) -> None:
    x = torch.randn(2, 3, frames, rows, columns)
    v = awake(config)(x, torch.tensor([0.2, 1.0]), conditions(2, frames, 2 * rows, 2 * columns))
    assert v.shape == x.shape
    assert v.isfinite().all()


def test_a_new_denoiser_is_the_best_linear_guess() -> None:
    """E[eps - x0 | x_t] of data of pictures' spectrum; -x_t at t = 0, x_t at t = 1."""
    denoiser = BACKBONE.build_denoiser(seed=0)
    x, t = torch.randn(3, 3, 2, 8, 8), torch.tensor([0.0, 0.5, 1.0])
    v = denoiser(x, t, conditions(3, 2, 16, 16))
    torch.testing.assert_close(v, linear_guess(x, t)[0])
    torch.testing.assert_close(v[::2], torch.stack([-x[0], x[2]]), atol=1e-5, rtol=1e-5)


def test_a_seed_fixes_the_weights_and_leaves_the_global_generator_alone() -> None:
    state = torch.get_rng_state()
    first, second, other = (BACKBONE.build_denoiser(seed).state_dict() for seed in (3, 3, 4))
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_activations_that_are_computed_again_change_no_bit() -> None:
    gradients = []
    for recompute in (False, True):
        denoiser = awake().requires_grad_(True)
        denoiser.recompute = recompute
        x = torch.randn(2, 3, 4, 8, 8, generator=torch.Generator().manual_seed(0))
        denoiser(x, torch.tensor([0.3, 0.8]), conditions(2, 4, 16, 16)).square().mean().backward()
        gradients.append([parameter.grad for parameter in denoiser.parameters()])
    assert all(torch.equal(one, other) for one, other in zip(*gradients, strict=True))


def test_samples_do_not_see_each_other() -> None:
    denoiser, x, t = awake(), torch.randn(3, 3, 4, 8, 8), torch.tensor([0.1, 0.5, 0.9])
    given = conditions(3, 4, 16, 16)
    together = denoiser(x, t, given)
    alone = denoiser(x[1:2], t[1:2], Conditions(given.text[1:2], given.control[1:2], given.fps[1:2]))
    torch.testing.assert_close(together[1:2], alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("config", [SMALL, DEEP])
@pytest.mark.parametrize("what", ["frame", "place", "time", "caption", "control"])
def test_every_input_reaches_every_frame(what: str, config: TinyConfig) -> None:
    denoiser, x, t = awake(config), torch.randn(1, 3, 4, 16, 16), torch.tensor([0.5])
    given = conditions(1, 4, 32, 32)
    before = denoiser(x, t, given)
    y, tokens, control = x.clone(), given.text.clone(), given.control.clone()
    if what == "frame":
        y[:, :, 0] += 1
    elif what == "place":
        y[..., 0, 0] += 1
    elif what == "time":
        t = torch.tensor([0.6])
    elif what == "caption":
        tokens[0, 0] += 1
    else:
        control[:, 0] = 1 - control[:, 0]
    after = denoiser(y, t, Conditions(tokens, control, given.fps))
    # The last frame's far corner: reached only through attention over both space and time.
    assert not torch.equal(before[0, :, -1, -1, -1], after[0, :, -1, -1, -1])


def test_attention_knows_relative_places_only() -> None:
    query, key = torch.randn(1, 1, 1, 8), torch.randn(1, 1, 1, 8)

    def product(i: int, j: int) -> torch.Tensor:
        angles = _angles(torch.tensor([float(i), float(j)]), 4)
        return (_rotate(query, angles[:1]) * _rotate(key, angles[1:])).sum()

    torch.testing.assert_close(product(3, 5), product(10, 12))
    assert abs(product(3, 5) - product(3, 6)) > 1e-4


def test_bytes_and_floats_are_the_same_condition() -> None:
    denoiser, x, t = awake(), torch.randn(1, 3, 2, 8, 8), torch.tensor([0.5])
    tokens, control = torch.zeros(1, 16, dtype=torch.int64), torch.randint(0, 256, (1, 2, 16, 16)).to(torch.uint8)
    as_bytes = denoiser(x, t, Conditions(tokens, control, torch.ones(1)))
    torch.testing.assert_close(as_bytes, denoiser(x, t, Conditions(tokens, control.float() / 255, torch.ones(1))))


def test_grey_is_a_colour_and_each_channel_of_each_frame_has_its_place() -> None:
    denoiser = awake(SMALL.model_copy(update={"control_channels": 3}))
    x, t = torch.randn(1, 3, 2, 8, 8), torch.tensor([0.5])
    tokens, grey = torch.zeros(1, 16, dtype=torch.int64), torch.randint(0, 256, (1, 2, 16, 16)).to(torch.uint8)

    def told(control: torch.Tensor) -> torch.Tensor:
        return denoiser(x, t, Conditions(tokens, control, torch.ones(1)))

    as_colour = grey[..., None].expand(-1, -1, -1, -1, 3).contiguous()
    assert torch.equal(told(grey), told(as_colour))
    torch.testing.assert_close(told(as_colour), told(as_colour.float() / 255))
    for frame in range(2):
        red = as_colour.clone()
        red[:, frame, :, :, 0] = 255 - red[:, frame, :, :, 0]
        change = (told(red) - told(as_colour)).abs().amax((0, 1, 3, 4))
        assert change[frame] > 0
        assert not torch.equal(told(red), told(red.flip(-1)))
    with pytest.raises(
        ValueError, match=r"got a dense condition in colour, wanted grey: set backbone.control_channels=3"
    ):
        awake()(x, t, Conditions(tokens, as_colour, torch.ones(1)))


def test_half_precision_weights_take_and_return_float() -> None:
    denoiser, x = awake().bfloat16(), torch.randn(1, 3, 2, 8, 8)
    assert denoiser(x, torch.tensor([0.5]), conditions(1, 2, 16, 16)).dtype == torch.float32


@pytest.mark.parametrize(
    ("rows", "control", "message"),
    [
        (6, (2, 12, 16), "multiples of the patch"),
        (8, (3, 16, 16), "dense condition"),
        (8, (2, 8, 8), "dense condition"),
    ],
)
def test_wrong_sizes_are_told(rows: int, control: tuple[int, int, int], message: str) -> None:
    given = Conditions(torch.zeros(1, 16, dtype=torch.int64), torch.zeros(1, *control), torch.ones(1))
    with pytest.raises(ValueError, match=message):
        BACKBONE.build_denoiser(0)(torch.randn(1, 3, 2, rows, 8), torch.tensor([0.5]), given)


@pytest.mark.parametrize(
    ("geometry", "frames", "indices"),
    [
        (Geometry(3, 2, 1, False), 3, (0, 1, 2)),
        (Geometry(16, 8, 4, True), 9, (0, 4, 8)),
        (Geometry(16, 8, 4, True), 1, (0,)),
        (Geometry(16, 8, 4, False), 8, (0, 4)),
    ],
)
def test_latent_frames_take_their_video_frames(geometry: Geometry, frames: int, indices: tuple[int, ...]) -> None:
    assert geometry.frame_indices(frames) == indices


@pytest.mark.parametrize(("causal", "frames"), [(True, 8), (True, 0), (False, 9), (False, 0)])
def test_impossible_lengths_are_told(causal: bool, frames: int) -> None:
    with pytest.raises(ValueError, match="frames"):
        Geometry(16, 8, 4, causal).frame_indices(frames)


def test_grid_of_a_size_that_the_stride_does_not_divide() -> None:
    assert Geometry(16, 8, 4, True).grid(480, 832) == (60, 104)
    with pytest.raises(ValueError, match="multiples of 8"):
        Geometry(16, 8, 4, True).grid(480, 833)


def test_codec_keeps_smooth_video_and_the_means() -> None:
    codec = BACKBONE.build_codec()
    y, x = torch.meshgrid(torch.linspace(-2, 2, 32), torch.linspace(-2, 2, 32), indexing="ij")
    video = (0.5 * torch.sin(x + y)).expand(1, 3, 2, 32, 32)
    latents = codec.encode(video)
    assert latents.shape == (1, 3, 2, *codec.geometry.grid(32, 32))
    # At the border the interpolation repeats the last cell.
    assert (codec.decode(latents) - video)[..., 4:-4, 4:-4].abs().max() < 0.015
    torch.testing.assert_close(codec.encode(codec.decode(latents)), latents, atol=0.01, rtol=0)


def test_codec_moves_with_shifts_of_whole_cells() -> None:
    """encode(shift by 2 pixels) = shift by 1 cell of encode: noise on the grid can stay locked to the video."""
    codec, video = BACKBONE.build_codec(), torch.rand(1, 3, 1, 16, 16) * 2 - 1
    shifted = codec.encode(video.roll((2, 4), (-2, -1)))
    torch.testing.assert_close(shifted, codec.encode(video).roll((1, 2), (-2, -1)))


def test_identity_of_the_codec_knows_nothing_of_the_network() -> None:
    first, second = (backbone_of(TinyConfig(depth=depth)).codec_identity() for depth in (1, 5))
    assert first == second == {"kind": "tiny", "version": 1}


def test_identity_needs_no_torch() -> None:
    """A machine without torch plans jobs, and the plan needs the fingerprint."""
    code = "import sys; sys.modules['torch'] = None; from equivdm.backbones import backbone_of"
    subprocess.run([sys.executable, "-c", code], check=True)


geometries = st.builds(Geometry, st.just(16), st.integers(1, 16), st.integers(1, 8), st.booleans())
some = settings(max_examples=60, derandomize=True)


@some
@given(geometries, st.integers(1, 12))
def test_latent_frames_are_a_stride_apart_and_end_within_a_stride_of_the_last(geometry: Geometry, count: int) -> None:
    frames = geometry.time_stride * (count - 1) + 1 if geometry.causal else geometry.time_stride * count
    indices = geometry.frame_indices(frames)
    assert len(indices) == count
    assert indices == tuple(geometry.time_stride * place for place in range(count))
    assert frames - geometry.time_stride <= indices[-1] < frames


@some
@given(geometries, st.integers(-1, 40), st.integers(-1, 40))
def test_a_grid_covers_the_video_or_is_refused(geometry: Geometry, height: int, width: int) -> None:
    stride = geometry.space_stride
    if height > 0 and width > 0 and height % stride == width % stride == 0:
        assert tuple(side * stride for side in geometry.grid(height, width)) == (height, width)
    else:
        with pytest.raises(
            ValueError, match=rf"^got a video of {height}x{width} pixels, wanted multiples of {stride}: "
        ):
            geometry.grid(height, width)


def test_a_size_that_the_network_cannot_take_is_refused_with_one_that_it_can() -> None:
    BACKBONE.check_size(16, 24)
    with pytest.raises(ValueError, match=r"^got a latent grid of 6x8, .* make height and width multiples of 8 pixels$"):
        BACKBONE.check_size(12, 16)
    with pytest.raises(ValueError, match=r"^got a video of 15x16 pixels, wanted multiples of 2: change the size$"):
        BACKBONE.check_size(15, 16)


def test_what_is_built_offers_what_a_backbone_offers() -> None:
    codec = BACKBONE.build_codec()
    assert isinstance(codec, Codec)
    assert isinstance(BACKBONE.build_denoiser(0), Denoiser)
    assert codec.geometry == BACKBONE.geometry


@pytest.mark.parametrize("level", [-1.0, -0.25, 0.0, 1.0])
def test_codec_keeps_flat_video_exactly(level: float) -> None:
    codec, video = BACKBONE.build_codec(), torch.full((2, 3, 3, 6, 10), level)
    torch.testing.assert_close(codec.decode(codec.encode(video)), video, atol=1e-6, rtol=0)


@pytest.mark.parametrize("axis", [2, 3, 4])
def test_codec_mirrors_with_the_video_in_space_and_time(axis: int) -> None:
    codec, video = BACKBONE.build_codec(), torch.rand(1, 3, 3, 8, 12) * 2 - 1
    latents = codec.encode(video)
    torch.testing.assert_close(codec.encode(video.flip(axis)), latents.flip(axis))
    torch.testing.assert_close(codec.decode(latents.flip(axis)), codec.decode(latents).flip(axis), atol=1e-6, rtol=0)


def test_codec_stays_within_the_range_of_video_whatever_the_latents() -> None:
    decoded = BACKBONE.build_codec().decode(10 * torch.randn(1, 3, 2, 4, 4))
    assert (decoded.min(), decoded.max()) == (-1, 1)


def test_codec_refuses_an_odd_size() -> None:
    with pytest.raises(ValueError, match="got a video of 8x9 pixels, wanted multiples of 2"):
        BACKBONE.build_codec().encode(torch.zeros(1, 3, 1, 8, 9))


def test_bytes_of_a_condition_are_shares_of_255() -> None:
    every = torch.arange(256, dtype=torch.uint8).view(1, 1, 1, 256)
    assert torch.equal(control_as_float(every), torch.arange(256).view(1, 1, 1, 256) / 255)
    floats = torch.rand(1, 1, 2, 2)
    assert control_as_float(floats) is floats
