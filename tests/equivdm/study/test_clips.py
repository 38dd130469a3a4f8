"""Clips move as they say, and come back from their file as they were drawn."""

from pathlib import Path

import numpy as np
import pytest
import torch

from equivdm.backbones.tiny.codec import TinyCodec
from equivdm.flow import warp_back
from equivdm.study.clips import Clips, build_clips
from equivdm.study.config import DataSpec
from equivdm.study.moves import Move
from equivdm.video.tensors import to_model_range

SIZE = {"frames": 4, "height": 32, "width": 32, "train": 3, "held_out": 3}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clips")


@pytest.mark.parametrize("kind", ["scenes", "exact", "subpixel"])
def test_clips_of_one_spec_and_seed_are_the_same_bits(kind: str, folder: Path, tmp_path: Path) -> None:
    spec = DataSpec(kind=kind, **SIZE | {"train": 2, "held_out": 1})
    written, read, anew = (build_clips(spec, 5, place) for place in (folder, folder, tmp_path))
    assert _bits(written) == _bits(read) == _bits(anew) != _bits(build_clips(spec, 6, tmp_path))
    assert (len(read.train), len(read.held_out)) == (2, 1)


def test_exact_clips_are_one_picture_moved_and_so_are_their_latents(folder: Path) -> None:
    clips = build_clips(DataSpec(kind="exact", **SIZE), 5, folder)
    kinds = [clip.moves[1].kind for clip in (*clips.train, *clips.held_out)]
    assert kinds == ["shift", "turn", "flip"] * 2
    for clip in clips.train:
        planes = torch.from_numpy(clip.frames).permute(0, 3, 1, 2)
        for k, move in enumerate(clip.moves):
            assert torch.equal(planes[k], move.apply(planes[0], 2))
            # Sums of four pixels in another order are rounded in another way.
            torch.testing.assert_close(clip.latents[:, k], move.apply(clip.latents[:, 0]), atol=1e-5, rtol=0)


def test_an_exact_clip_has_no_flow(folder: Path) -> None:
    clip = build_clips(DataSpec(kind="exact", **SIZE), 5, folder).train[0]
    with pytest.raises(ValueError, match="use its moves"):
        _ = clip.motion


def test_a_shift_by_parts_of_a_cell_follows_its_flow(folder: Path) -> None:
    for clip in build_clips(DataSpec(kind="subpixel", **SIZE), 5, folder).train:
        back, seen = clip.motion.backward[0], ~clip.motion.occluded_backward[0]
        moved, still, opposite = (
            np.abs(clip.frames[1].astype(np.float32) - other)[seen].mean()
            for other in (warp_back(clip.frames[0], back), clip.frames[0], warp_back(clip.frames[0], -back))
        )
        # What is left is what bilinear sampling takes from a sharp picture.
        assert moved < 0.8 * still
        assert moved < opposite / 2
        assert np.abs(back).max() % 1 > 0


def test_latents_are_those_of_the_codec(folder: Path) -> None:
    clip = build_clips(DataSpec(**SIZE), 5, folder).train[0]
    assert torch.equal(clip.latents[None], TinyCodec().encode(to_model_range(clip.frames)[None]))


def test_moves_are_permutations_that_go_back() -> None:
    maps = torch.arange(2.0 * 36).reshape(2, 6, 6)
    for move, back in ((Move(2, -1), Move(-2, 1)), (Move(turns=3), Move(turns=1)), (Move(turns=2, mirrored=True),) * 2):
        assert torch.equal(back.apply(move.apply(maps)), maps)
        assert not torch.equal(move.apply(maps), maps)


def _bits(clips: Clips) -> list[bytes]:
    arrays = []
    for clip in (*clips.train, *clips.held_out):
        arrays += [clip.frames, clip.control, clip.latents.numpy(), clip.tokens, np.array(clip.moves)]
        motion = clip.made.motion
        arrays += [] if motion is None else [motion.forward, motion.backward, motion.occluded_forward]
    return [array.tobytes() for array in arrays]
