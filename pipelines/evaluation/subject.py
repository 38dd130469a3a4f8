"""What the metrics of a pair look at: frames, driving motion, reference, each found once, when it is asked for."""

import pickle
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any, cast

import numpy as np

from equivdm.arrays import Frames, Mask
from equivdm.config import FlowConfig
from equivdm.errors import NoReference, UnsupportedVideo
from equivdm.flow import Estimator, Motion, build_estimator, enlarge_flow, motion_by
from equivdm.metrics import METRICS, Case
from equivdm.video.frame import Shape
from pipelines.clips import MOTION_COLUMNS, motion_of, read_parts
from pipelines.config import EvaluateJob
from pipelines.evaluation.pairs import Film, Pair
from pipelines.manifest import sandbox
from pipelines.steps import ITEM_FAULTS
from pipelines.store import Store

_estimator: Callable[[FlowConfig], Estimator] = cast(Any, cache(build_estimator))


class Subject:
    """A pair on a worker. A part that cannot be found fails for each metric that needs it, and is tried once."""

    def __init__(self, pair: Pair, job: EvaluateJob, store: Store) -> None:
        self._pair, self._job, self._store = pair, job, store
        self._known: dict[str, tuple[Any, Exception | None]] = {}
        self._cases: dict[tuple[str, ...], Case] = {}

    def case(self, metric: str) -> Case:
        """Return what a metric looks at, no more. Raises what keeps a part that it needs from being there.

        Metrics of the same parts share their case, and what it has computed.
        """
        parts = tuple(need for need in METRICS[metric].needs if need in ("motion", "reference"))
        if parts not in self._cases:
            self._cases[parts] = self._case({part: self._once(part) for part in parts})
        return self._cases[parts]

    @property
    def frames(self) -> Frames:
        """Of the generated video."""
        return self._once("frames")

    @property
    def reference(self) -> Frames:
        """Of what it should look like, at its size."""
        return self._once("reference")

    def _once(self, part: str) -> Any:
        if part not in self._known:
            try:
                self._known[part] = getattr(self, f"_find_{part}")(), None
            except ITEM_FAULTS as fault:
                self._known[part] = None, fault
        value, fault = self._known[part]
        if fault is not None:
            raise fault
        return value

    def _case(self, parts: dict[str, Any]) -> Case:
        needs_network = any(self._job.weights.model_dump().values())
        return Case(
            self.frames,
            judge=self._job.flow,
            caption=self._pair.caption,
            sampling=self._pair.sampling,
            weights=self._job.weights,
            device=device() if needs_network else "cpu",
            **parts,
        )

    def _find_frames(self) -> Frames:
        return self._decoded(self._pair.generated, range(self._pair.frames), self._pair.laid.size)

    def _find_driving(self) -> Frames:
        return self._decoded(self._pair.driving, self._pair.indices, self._pair.laid.shape())

    def _find_reference(self) -> Frames:
        pair = self._pair
        if pair.no_reference:
            raise NoReference(pair.no_reference)
        if (pair.reference, pair.laid_reference) == (pair.driving, pair.laid):
            return self._once("driving")
        return self._decoded(pair.reference, pair.indices, pair.laid_reference.shape())

    def _decoded(self, film: Film, indices: range | tuple[int, ...], shape: Shape) -> Frames:
        with film.open(self._store) as local:
            return sandbox(self._job.decode).decode(local, list(indices), shape)

    def _find_motion(self) -> Motion:
        """Read the motion that is stored of a clip, or estimate that of the driving video."""
        if not self._pair.motion:
            return motion_by(_estimator(self._job.flow), self._once("driving"), self._job.flow.occlusion)
        row = read_parts(self._store, self._pair.motion, MOTION_COLUMNS)
        if row["backward"] is None:
            raise UnsupportedVideo("the clip's motion is known forward only: its vectors lead to no frame before")
        return _shortened(_enlarged(motion_of(row), self._pair.laid.size), self._pair.frames - 1)


def _enlarged(motion: Motion, size: tuple[int, int]) -> Motion:
    """Return motion that is stored at a part of the frames' size at that size."""
    rows, columns = motion.forward.shape[1:3]
    if (rows, columns) == size:
        return motion

    def mask(each: Mask) -> Mask:
        return np.repeat(np.repeat(each, size[0] // rows, 1), size[1] // columns, 2)

    return Motion(
        enlarge_flow(motion.forward, size),
        enlarge_flow(motion.backward, size),
        mask(motion.occluded_forward),
        mask(motion.occluded_backward),
    )


def _shortened(motion: Motion, steps: int) -> Motion:
    return Motion(
        motion.forward[:steps],
        motion.backward[:steps],
        motion.occluded_forward[:steps],
        motion.occluded_backward[:steps],
    )


def device() -> str:
    """Return where this process has its networks: on a GPU where it has one."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _subject(pair: bytes, attempt: int, job: EvaluateJob, store: Store) -> Subject:
    # Another attempt is another subject: what kept a part away may have passed.
    return Subject(pickle.loads(pair), job, store)


subject_of: Callable[[bytes, int, EvaluateJob, Store], Subject] = cast(Any, lru_cache(maxsize=1)(_subject))
"""Return the subject of a pickled pair; a process keeps the latest, with its frames."""
