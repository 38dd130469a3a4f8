"""What is measured of a rendered video while it is written: whether it follows the motion, and windows show."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from math import isfinite
from statistics import fmean
from typing import Any

import numpy as np

from equivdm.arrays import Frames
from equivdm.flow import enlarge_flow
from equivdm.metrics.seams import Step, seam_ratio, temporal_errors
from equivdm.spans import seams_of
from pipelines.rendering.layout import Take
from pipelines.schemas import from_tensor
from pipelines.tables import Row


@dataclass(frozen=True)
class Scene:
    """The frames of a shot as they are computed, part by part, and the motion that drove it, as it is stored."""

    take: Take
    frames: Iterable[Frames]
    motion: Iterable[Row]
    """`backward` and `occluded`, piece by piece; both null where the motion back is not known."""


@dataclass
class Meter:
    """Gathers the errors of a video's steps, shot after shot."""

    errors: list[float] = field(default_factory=list)
    seams: list[int] = field(default_factory=list)

    def watch(self, scene: Scene, size: tuple[int, int], sink: Callable[[Frames], Any]) -> None:
        """Give the frames of a shot to `sink`, part by part, and take their errors along its motion on the way."""
        first, steps = len(self.errors), _steps(scene.motion, size)
        begin = next(steps, None)
        if begin is None:
            for part in scene.frames:
                sink(part)
            return
        self.errors += temporal_errors(_passed(scene.frames, sink), _chain(begin, steps))
        last = scene.take.frames - 1
        self.seams += [first + step for step in seams_of(scene.take.spans) if step < last]

    def metrics(self) -> list[Row]:
        """Return `warp_error`, mean over the steps in 8-bit levels, and `seam_ratio`, where there is something to."""
        inside, known = set(self.seams), [step for step, error in enumerate(self.errors) if isfinite(error)]
        found = {"warp_error": fmean(self.errors[step] for step in known)} if known else {}
        if inside.intersection(known) and any(self.errors[step] for step in known if step not in inside):
            found["seam_ratio"] = seam_ratio(self.errors, inside)
        return [{"metric": name, "value": value} for name, value in found.items()]


def _passed(parts: Iterable[Frames], sink: Callable[[Frames], Any]) -> Iterator[np.ndarray]:
    for part in parts:
        sink(part)
        yield from part


def _chain(first: Step, others: Iterator[Step]) -> Iterator[Step]:
    yield first
    yield from others


def _steps(motion: Iterable[Row], size: tuple[int, int]) -> Iterator[Step]:
    """Yield the motion of each step at the size of the frames."""
    for piece in motion:
        if piece["backward"] is None:
            continue
        backward, hidden = enlarge_flow(from_tensor(piece["backward"]), size), from_tensor(piece["occluded"])
        repeats = size[0] // hidden.shape[1], size[1] // hidden.shape[2]
        yield from zip(backward, np.repeat(np.repeat(hidden, repeats[0], 1), repeats[1], 2), strict=True)
