"""Bytes to floats and back."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from equivdm.video.tensors import to_frames, to_model_range


@settings(max_examples=40, derandomize=True)
@given(arrays(np.uint8, st.tuples(*[st.integers(1, 4)] * 3, st.just(3))))
def test_any_video_comes_back_bit_for_bit(frames: np.ndarray) -> None:
    video = to_model_range(frames)
    assert video.shape == (3, *frames.shape[:3])
    np.testing.assert_array_equal(to_frames(video), frames)


def test_every_byte_comes_back_from_its_place_between_the_ends() -> None:
    every = np.arange(256, dtype=np.uint8)[None, None, :, None].repeat(3, axis=-1)
    video = to_model_range(every)
    assert (video.min(), video.max()) == (-1, 1)
    torch.testing.assert_close(video[0, 0, 0].diff(), torch.full((255,), 2 / 255))
    np.testing.assert_array_equal(to_frames(video), every)


def test_what_lies_outside_is_clipped() -> None:
    video = torch.tensor([-9.0, -1.001, 0.0, 1.001, 9.0]).expand(3, 1, 1, 5)
    assert to_frames(video)[0, 0, :, 0].tolist() == [0, 0, 128, 255, 255]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_costs_a_rounding_only(dtype: torch.dtype) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (2, 5, 7, 3), np.uint8)
    back = to_frames(to_model_range(frames).to(dtype)).astype(int)
    assert np.abs(back - frames).max() <= 127.5 * torch.finfo(dtype).eps + 0.5


def test_the_tensor_does_not_share_the_frames_memory() -> None:
    frames = np.zeros((1, 1, 1, 3), np.uint8)
    video = to_model_range(frames)
    frames[:] = 255
    assert (video == -1).all()
