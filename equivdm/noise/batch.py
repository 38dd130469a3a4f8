"""Motion plans of a batch of clips on the host."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from equivdm.noise.checks import check_threads
from equivdm.noise.plan import MotionPlan


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

        def draw(plan: MotionPlan, seed: int) -> Any:
            return plan.noise(seed, channels, beta=beta, dtype=dtype)

        with ThreadPoolExecutor(threads) as pool:
            noises = list(pool.map(draw, self.plans, seeds))
        if isinstance(noises[0], np.ndarray):
            return np.stack(noises)
        import torch

        return torch.stack(noises)
