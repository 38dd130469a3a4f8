"""What planning takes beside flow and grid, and how a whole clip is planned with it."""

from collections.abc import Collection, Sequence
from typing import Any, Protocol, TypedDict, runtime_checkable

from equivdm.noise.checks import Unknown, check_frames


class MotionOptions(TypedDict, total=False):
    """What `plan_motion` may be told beside flow and grid; the defaults are in brackets."""

    per_cell: int
    """A cell starts with per_cell x per_cell particles, 1 to 16 [4]. More follow the motion more finely."""
    occlusion: Any
    """Pixels of each frame that the next one hides, from a renderer for example [None]: booleans of the shape of the
    flow without its last axis. Beside the backward flow or in its place. With neither, a particle is dropped where its
    velocity jumps in a crowded place."""
    frames: Sequence[int] | None
    """Numbers of the frames to emit, strictly increasing [all]; (0, 4, 8, ...) for a video codec that is causal with a
    time stride of 4."""
    cuts: Collection[int]
    """First frames of new shots [none]. The flow that leads to one is ignored, and all of its noise is fresh."""
    unknown: Unknown
    """What to do with a vector that is not finite, or longer than the frame: "refuse" it ["refuse"], or take it for
    motion that is not known ("fresh"): the noise is fresh where it would lead."""
    threads: int
    """CPU threads [1]; their number changes no bit. A GPU takes no notice of it."""


@runtime_checkable
class Planner(Protocol):
    """What plans motion chunk by chunk: `MotionPlanner`, or a batch's on a GPU."""

    def extend(
        self,
        forward: Any,
        backward: Any | None = None,
        *,
        occlusion: Any | None = None,
        frames: Collection[int] | None = None,
        cuts: Collection[int] = (),
        unknown: Unknown = "refuse",
    ) -> None:
        """Go on by the steps of `forward`."""
        ...

    def finish(self, frames: Collection[int] | None = None) -> None:
        """Close the last frame."""
        ...


def follow(planner: Planner, forward: Any, backward: Any | None, options: MotionOptions, clip_axes: int = 0) -> None:
    """Lead a new planner through a whole clip, or a batch that has `clip_axes` axes before that of steps.

    Steps behind the last frame to be emitted are left out, but for one, which may show what hides a particle.
    """
    length = forward.shape[clip_axes]
    chosen = frozenset(check_frames(options.get("frames"), length))
    steps = min(max(chosen) + 1, length)

    def used(field: Any | None) -> Any | None:
        return None if field is None else field[(slice(None),) * clip_axes + (slice(steps),)]

    planner.extend(
        used(forward),
        used(backward),
        occlusion=used(options.get("occlusion")),
        frames=chosen,
        cuts=options.get("cuts", ()),
        unknown=options.get("unknown", "refuse"),
    )
    if steps in chosen:
        planner.finish(chosen)
