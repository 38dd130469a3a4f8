"""A shot's one stream of particles, in pieces: windows that overlap are cut from it, and share its noise."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from einops import rearrange
from jaxtyping import Float32

from equivdm.arrays import Flow, NoiseArray
from equivdm.backbones.geometry import Geometry
from equivdm.config import NoiseConfig
from equivdm.noise import MotionPlan, MotionPlanner, independent_noise
from equivdm.spans import Span

Steps = tuple[Flow, Flow | None]
"""Some steps of a shot's flow, px: from each frame to the next, and back, or None where that is not known."""


@dataclass(frozen=True)
class Strand:
    """The stream in one piece of a shot."""

    number: int
    """Of the piece."""
    plan: bytes
    """The motion plan of the piece's latent frames, which are numbered within the shot."""
    state: bytes
    """What the stream goes on from."""


def follow(
    steps: Iterable[Steps],
    pieces: Sequence[range],
    size: tuple[int, int],
    *,
    grid: tuple[int, int],
    per_cell: int,
    stride: int,
    frames: int,
    resume: bytes | None = None,
) -> Iterator[Strand]:
    """Lead particles through a shot, and yield the strand of each piece as soon as it is done.

    Neither the lengths of chunks nor going on from a strand's state change a bit. Motion that is not known (NaN, or
    longer than the frame) leads to fresh noise. Frames beyond the shot's last repeat it: nothing moves there.

    Args:
        steps: all of the shot's flow in order, in chunks; with `resume` what follows on its piece, from there on.
        pieces: of the shot, see `equivdm.spans.pieces_of`.
        size: height and width of the flow, px.
        grid: height and width of the latent grid, cells.
        per_cell: a cell starts with per_cell x per_cell particles.
        stride: frames to a latent frame.
        frames: of the shot; it has one step less.
        resume: `Strand.state` of a piece, but not of the last one.

    Raises:
        ValueError: for fewer or more steps than lead through the shot, or a state that is damaged, of another grid, or
            of other pieces.
    """
    planner = MotionPlanner(size, grid=grid, per_cell=per_cell) if resume is None else MotionPlanner.resume(resume)
    number = _place(planner, pieces, (size, grid, per_cell))
    emitted = range(0, pieces[-1].stop, stride)
    for forward, backward in _padded(steps, size, frames - 1 - planner.frame, pieces[-1].stop - frames):
        done = 0
        while done < len(forward):
            part = slice(done, done + pieces[number].stop - planner.frame)
            back = None if backward is None else backward[part]
            planner.extend(forward[part], back, frames=emitted, unknown="fresh")
            done = min(part.stop, len(forward))
            if planner.frame == pieces[number].stop:
                yield Strand(number, planner.take().to_bytes(), planner.state)
                number += 1
    planner.finish(emitted)
    yield Strand(number, planner.take().to_bytes(), planner.state)


def noise_of(
    span: Span, plans: Mapping[int, bytes], geometry: Geometry, channels: int, seed: int, noise: NoiseConfig
) -> Float32[np.ndarray, "channels time height width"]:
    """Return the noise of a window; a pure function of its arguments. Windows of a shot share it where they overlap.

    Args:
        span: the window.
        plans: `Strand.plan` by number, of the pieces under the window at least (`equivdm.spans.pieces_under`).
        geometry: of the backbone.
        channels: of the noise.
        seed: of the whole shot.
        noise: warped noise follows the plans; independent noise is fresh in every latent frame of the shot.

    Raises:
        ValueError: where a plan is missing, damaged or of another shot.
    """
    wanted = [span.start + frame for frame in geometry.frame_indices(span.frames)]
    parts = [MotionPlan.from_bytes(plans[number]) for number in sorted(plans)]
    numbers = np.array([frame for part in parts for frame in part.frames])
    inside = np.isin(numbers, wanted)
    if numbers[inside].tolist() != wanted:
        raise ValueError(
            f"motion plans: got frames {numbers[inside].tolist()} of {span}, wanted {wanted}: give all pieces under it"
        )
    if noise.kind == "independent":
        shape = (len(wanted), channels, *parts[0].grid)
        drawn: NoiseArray = independent_noise(shape, seed, first=span.start // geometry.time_stride)
    else:
        drawn = np.concatenate([part.noise(seed, channels, beta=noise.beta) for part in parts])[inside]
    return np.ascontiguousarray(rearrange(drawn, "t c h w -> c t h w"))


def _place(planner: MotionPlanner, pieces: Sequence[range], lattice: tuple[object, ...]) -> int:
    """Return the number of the piece that a planner is to begin."""
    own = (planner.lattice.size, planner.lattice.grid, planner.lattice.per_cell)
    starts = [piece.start for piece in pieces]
    if own != lattice or planner.frame not in starts:
        raise ValueError(
            f"resume: got a stream at frame {planner.frame} of (size, grid, per_cell) {own}, "
            f"wanted {lattice} at one of {starts}: leave it out"
        )
    return starts.index(planner.frame)


def _padded(steps: Iterable[Steps], size: tuple[int, int], wanted: int, padding: int) -> Iterator[Steps]:
    """Yield the steps, `wanted` of them, and as many without motion as the padding has frames."""
    got = 0
    for forward, backward in steps:
        got += len(forward)
        if got > wanted:
            break
        yield forward, backward
    if got != wanted:
        some = f"{got} steps" if got < wanted else f"{got} steps or more"
        raise ValueError(f"steps: got {some} of flow, wanted the {wanted} that lead to the shot's last frame")
    if padding:
        still = np.zeros((padding, *size, 2), np.float32)
        yield still, still
