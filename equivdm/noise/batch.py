"""Motion plans of a batch of clips on the host."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from equivdm.noise.checks import check_threads
from equivdm.noise.plan import MotionPlan
from equivdm.noise.workers import in_threads


@dataclass(frozen=True)
class MotionPlans:
    """The plans of clips that share a grid and emitted frames."""

    plans: tuple[MotionPlan, ...]

    def __len__(self) -> int:
        return len(self.plans)

    def noise(
        self, seeds: Sequence[int], channels: int, *, beta: float = 1.0, dtype: Any = np.float32, threads: int = 1
    ) -> Any:
        """Draw noise of shape (clips, emitted frames, channels, height, width), one seed a clip.

        See `MotionPlan.noise`. Threads take clips. ValueError for another number of seeds.
        """
        if len(seeds) != len(self):
            raise ValueError(f"seeds: got {len(seeds)}, wanted one for each of {len(self)} clips")
        check_threads(threads)

        inner = threads if len(self) == 1 else 1

        def draw(task: tuple[MotionPlan, int]) -> Any:
            plan, seed = task
            return plan.noise(seed, channels, beta=beta, dtype=dtype, threads=inner)

        noises = in_threads(draw, zip(self.plans, seeds, strict=True), min(threads, len(self)))
        if isinstance(noises[0], np.ndarray):
            return np.stack(noises)
        import torch

        return torch.stack(noises)
