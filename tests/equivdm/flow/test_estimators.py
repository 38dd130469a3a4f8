"""What names a flow, and which estimators can be built."""

from pathlib import Path

import numpy as np
import pytest

from equivdm.config import FlowConfig, OcclusionConfig
from equivdm.errors import UsageError
from equivdm.flow import build_estimator, estimate_motion, flow_identity
from equivdm.video.synthetic import render_scene


def test_an_estimator_is_built_once_and_gives_what_estimate_motion_gives() -> None:
    estimator = build_estimator(FlowConfig(preset="fast"))
    for seed in (1, 2):
        frames = render_scene(seed, frames=3, height=32, width=48).frames
        forward, backward = estimator(frames)
        motion = estimate_motion(frames, FlowConfig(preset="fast"))
        np.testing.assert_array_equal(forward, motion.forward)
        np.testing.assert_array_equal(backward, motion.backward)


def raft(path: Path, content: bytes = b"weights", **settings: int) -> FlowConfig:
    """A config of RAFT with these bytes as weights."""
    path.write_bytes(content)
    return FlowConfig.model_validate({"kind": "raft", "weights": str(path)} | settings)


def test_all_that_decides_the_flow_names_it(tmp_path: Path) -> None:
    configs = [
        FlowConfig(),
        FlowConfig(preset="fast"),
        FlowConfig(kind="file"),
        raft(tmp_path / "a.pth"),
        raft(tmp_path / "a.pth", updates=20),
        raft(tmp_path / "b.pth", b"other weights"),
    ]
    names = [tuple(sorted(flow_identity(config).items())) for config in configs]
    assert len(set(names)) == len(configs)


def test_nothing_else_names_it(tmp_path: Path) -> None:
    dis, network = flow_identity(FlowConfig()), flow_identity(raft(tmp_path / "a.pth"))
    assert flow_identity(FlowConfig(occlusion=OcclusionConfig(absolute=3), updates=9, batch=2)) == dis
    assert flow_identity(raft(tmp_path / "moved.pth", batch=8)) == network


def test_weights_that_are_not_there_are_named_before_anything_runs() -> None:
    with pytest.raises(UsageError, match=r"/no/raft.pth cannot be read"):
        flow_identity(FlowConfig(kind="raft", weights="/no/raft.pth"))


def test_vectors_from_a_file_are_no_estimate() -> None:
    with pytest.raises(UsageError, match=r"^flow.kind: got file, wanted dis or raft"):
        build_estimator(FlowConfig(kind="file"))
