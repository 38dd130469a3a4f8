"""Points follow the flow, and end where they are hidden."""

import numpy as np

from equivdm.flow import Motion
from equivdm.flow.points import follow_points


def pan(u: float, v: float, hidden: np.ndarray | None = None) -> Motion:
    forward = np.broadcast_to(np.array([u, v], np.float32), (3, 20, 24, 2)).copy()
    mask = np.zeros((3, 20, 24), bool) if hidden is None else hidden
    return Motion(forward, -forward, mask, mask)


def test_points_of_a_pan_go_along_and_stay_inside() -> None:
    tracks = follow_points(pan(1.5, -0.25), count=1000, seed=0)
    np.testing.assert_allclose(tracks, tracks[:, :1] + np.arange(4)[:, None] * np.array([1.5, -0.25]))
    assert tracks[..., 0].max() <= 23
    assert tracks[..., 1].min() >= 0
    # Those that begin in the last 4 columns or on the first row go out.
    assert len(tracks) == (24 - 5) * (20 - 1)


def test_hidden_points_and_those_near_an_edge_of_motion_are_left_out() -> None:
    hidden = np.zeros((3, 20, 24), bool)
    hidden[1, :, 10:] = True
    assert follow_points(pan(0, 0, hidden), count=1000, seed=0)[..., 0].max() <= 8
    motion = pan(0, 0)
    motion.forward[:, :, 12:, 0] = 2
    assert not ((follow_points(motion, 1000, 0)[..., 0] > 10.5) & (follow_points(motion, 1000, 0)[..., 0] < 12)).any()
