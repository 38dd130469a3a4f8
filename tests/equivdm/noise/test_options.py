"""How a whole clip is led through a planner: what is left out behind the last frame that is wanted."""

from collections.abc import Collection
from typing import Any

import numpy as np
import pytest

from equivdm.noise import MotionPlanner, plan_motion
from equivdm.noise.options import MotionOptions, Planner, follow
from tests.equivdm.noise.motions import smooth_flow


class Recorder:
    """A planner that writes down what it is told."""

    def __init__(self) -> None:
        self.steps, self.said, self.finished = [], {}, None

    def extend(self, forward: Any, backward: Any = None, **said: Any) -> None:
        fields = (forward, backward, said.pop("occlusion"))
        self.steps, self.said = [None if field is None else field.shape for field in fields], said

    def finish(self, frames: Collection[int] | None = None) -> None:
        self.finished = frames


def led(steps: int, options: MotionOptions, clip_axes: int = 0) -> Recorder:
    recorder = Recorder()
    shape = (3,) * clip_axes + (steps, 4, 6, 2)
    mask = options.get("occlusion")
    follow(recorder, np.zeros(shape), None if mask is not None else np.zeros(shape), options, clip_axes)
    return recorder


def test_both_are_planners() -> None:
    assert isinstance(Recorder(), Planner)
    assert isinstance(MotionPlanner((8, 8), grid=(2, 2)), Planner)


def test_a_clip_that_is_wanted_whole_is_read_to_its_end_and_finished() -> None:
    recorder = led(5, {})
    assert recorder.steps == [(5, 4, 6, 2), (5, 4, 6, 2), None]
    assert recorder.finished == frozenset(range(6))
    assert recorder.said == {"frames": frozenset(range(6)), "cuts": (), "unknown": "refuse"}


@pytest.mark.parametrize(("last", "read"), [(0, 1), (1, 2), (3, 4), (4, 5)])
def test_one_step_behind_the_last_frame_is_read_and_no_more(last: int, read: int) -> None:
    recorder = led(5, {"frames": (last,)})
    assert recorder.steps == [(read, 4, 6, 2), (read, 4, 6, 2), None]
    assert recorder.finished is None


def test_a_batch_is_cut_along_its_steps() -> None:
    mask = np.zeros((3, 5, 4, 6), bool)
    recorder = led(5, {"frames": (1,), "occlusion": mask, "cuts": (1,), "unknown": "fresh"}, clip_axes=1)
    assert recorder.steps == [(3, 2, 4, 6, 2), None, (3, 2, 4, 6)]
    assert (recorder.said["cuts"], recorder.said["unknown"]) == ((1,), "fresh")


@pytest.mark.parametrize("last", [0, 2, 5])
def test_what_is_left_out_changes_no_bit(last: int) -> None:
    """Flow behind the last frame but one step may hold anything, even what would be refused."""
    flow = smooth_flow((24, 32), 8, seed=2)
    spoilt = flow.copy()
    spoilt[last + 1 :] = np.nan
    wanted = plan_motion(flow, -flow, grid=(4, 5), frames=(0, last) if last else (0,))
    assert plan_motion(spoilt, -spoilt, grid=(4, 5), frames=wanted.frames) == wanted
