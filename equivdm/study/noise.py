"""The noise of a study's clips, by any of the laws that are compared."""

from collections.abc import Callable, Sequence

import cv2
import numpy as np
import torch
from einops import reduce
from jaxtyping import Float
from torch import Tensor

from equivdm.arrays import Flow, NoiseArray
from equivdm.backbones.tiny.backbone import GEOMETRY
from equivdm.noise import MotionPlan, independent_noise, mix, peers, plan_motion
from equivdm.seeds import derive_seed
from equivdm.study.clips import Clip
from equivdm.study.config import NoiseSpec

ClipNoise = Float[Tensor, "channels time height width"]

_ERROR_PX = 8.0
"""Over how many pixels the errors of a noisy flow are smooth."""

Shape = tuple[int, int, int, int]
"""Of noise: time, channels, height, width."""

Draw = Callable[[int], NoiseArray]
"""From a seed to the warped noise of a clip, [time, channels, height, width]."""


class Noise:
    """Draws the noise of some clips. What does not depend on the draw is computed once."""

    def __init__(self, spec: NoiseSpec, clips: Sequence[Clip], seed: int) -> None:
        """`seed` decides what is wrong with a wrong flow, and the one draw of `stored`."""
        self._spec, self._clips, self._seed = spec, clips, seed
        self._draws = [self._prepare(number) for number in range(len(clips))]

    def __call__(self, number: int, seed: int) -> ClipNoise:
        """Return the noise of clip `number`, white in each frame but for the schemes that are not; a pure function."""
        if self._spec.stored:
            seed = derive_seed(self._seed, "stored", number)
        frames = self._draws[number](seed)
        return torch.from_numpy(np.ascontiguousarray(frames.swapaxes(0, 1)))

    def _prepare(self, number: int) -> Draw:
        spec, clip = self._spec, self._clips[number]
        channels, time, height, width = clip.latents.shape
        shape = (time, channels, height, width)
        if spec.scheme == "independent":
            return lambda seed: independent_noise(shape, seed)
        if clip.moves:
            return lambda seed: _mixed(_moved(clip, seed), shape, seed, spec.beta)
        forward, backward = self._flow(number)
        if spec.scheme == "particles":
            plan = self._plan(number, forward, backward)
            return lambda seed: plan.noise(seed, shape[1], beta=spec.beta)
        return lambda seed: _mixed(_carried(spec.scheme, forward, backward, seed), shape, seed, spec.beta)

    def _plan(self, number: int, forward: Flow, backward: Flow) -> MotionPlan:
        height, width = self._clips[number].latents.shape[2:]
        motion, grid = self._clips[number].motion, (height, width)
        if not self._spec.occlusion:
            # A mask that hides nothing: without one the planner has a test of its own.
            return plan_motion(forward, grid=grid, occlusion=np.zeros(forward.shape[:3], bool))
        known = motion.occluded_forward if self._spec.flow == "exact" else None
        return plan_motion(forward, backward, grid=grid, occlusion=known)

    def _flow(self, number: int) -> tuple[Flow, Flow]:
        if self._spec.flow == "other_clip":
            number = (number + 1) % len(self._clips)
        motion = self._clips[number].motion
        if self._spec.flow != "noisy":
            return motion.forward, motion.backward
        error = self._spec.flow_error * _smooth(motion.forward.shape, derive_seed(self._seed, "flow", number))
        # An estimator is wrong both ways alike; else all of it would look hidden.
        return motion.forward + error, motion.backward - error


def _mixed(warped: NoiseArray, shape: Shape, seed: int, beta: float) -> NoiseArray:
    return warped if beta == 1 else mix(warped, independent_noise(shape, seed), beta)


def _moved(clip: Clip, seed: int) -> NoiseArray:
    """eps^(k) = T_k eps^(0), exactly."""
    channels, _, height, width = clip.latents.shape
    first = torch.from_numpy(independent_noise((1, channels, height, width), derive_seed(seed, "first"))[0])
    return torch.stack([move.apply(first) for move in clip.moves]).numpy()


def _carried(scheme: str, forward: Flow, backward: Flow, seed: int) -> NoiseArray:
    """Noise at the video's size, carried step by step, then summed over each cell's pixels: unit where it is white."""
    generator, stride = np.random.default_rng(seed), GEOMETRY.space_stride
    first = generator.standard_normal((GEOMETRY.channels, *forward.shape[1:3]), np.float32)
    frames, state = [first], peers.GoWithTheFlow(first)
    steps = {"nearest": peers.nearest, "bilinear": peers.bilinear}
    for there, back in zip(forward, backward, strict=True):
        if scheme in steps:
            frames.append(steps[scheme](frames[-1], there, back, generator))
        else:
            frames.append(state.step(there, back, generator))
    return reduce(np.stack(frames), "t c (h p) (w q) -> t c h w", "sum", p=stride, q=stride).astype(np.float32) / stride


def _smooth(shape: tuple[int, ...], seed: int) -> Flow:
    """A smooth random field of unit root mean square, fresh in each step."""
    rough = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    smooth = np.stack([cv2.GaussianBlur(step, (0, 0), _ERROR_PX / 2) for step in rough])
    return smooth / np.sqrt(np.square(smooth).mean())
