"""Small clips and jobs for the tests of training."""

from datetime import UTC, datetime

import numpy as np

from equivdm.config import TinyConfig
from equivdm.noise import plan_motion
from equivdm.text import token_rows
from pipelines.clips import MOTION_COLUMNS
from pipelines.config import DistillJob, TrainJob
from pipelines.fit_config import FitConfig, OptimizerConfig, ParallelConfig
from pipelines.identity import item_key
from pipelines.schemas import to_tensor
from pipelines.settings import RayConfig, StoreConfig
from pipelines.store import Store
from tests.pipelines.clip_rows import put_clips

FRAMES, PIXELS, CELLS = 4, 16, 8

BACKBONE = TinyConfig(width=16, depth=1, heads=2, patch=4)

RAY = RayConfig(cpus=2, object_store_mib=80)


def write_clips(
    store: Store, count: int = 6, fingerprint: str = "f" * 64, pixels: int = PIXELS, first: int = 0
) -> list[str]:
    """Commit clips that pan, each of one colour with a little grain, and return their keys in order."""
    rows, cells = [], pixels * CELLS // PIXELS
    for number in range(first, first + count):
        random = np.random.default_rng(number)
        shift = random.uniform(-2, 2, 2)
        flow = np.broadcast_to(shift, (FRAMES - 1, pixels, pixels, 2)).astype(np.float32)
        plan = plan_motion(flow, -flow, grid=(cells, cells), per_cell=2)
        hidden = np.zeros(flow.shape[:3], bool)
        motion = dict(zip(MOTION_COLUMNS, (flow, -flow, hidden, hidden), strict=True))
        colour, grain = random.standard_normal((3, 1, 1, 1)), random.standard_normal((3, FRAMES, cells, cells))
        row = {
            "key": item_key("clip", number, fingerprint),
            "fingerprint": fingerprint,
            "path": f"video_{number}.mp4",
            "window": 0,
            "outcome": "done",
            "attempt": 1,
            "created": datetime.now(UTC),
            "frames": FRAMES,
            "height": pixels,
            "width": pixels,
            "fps": 8.0,
            "caption": f"clip number {number}",
            "text": to_tensor(token_rows([f"clip number {number}"])[0]),
            "empty": to_tensor(token_rows([""])[0]),
            "control": to_tensor(random.integers(0, 256, (FRAMES, pixels, pixels), np.uint8)),
            "latents": to_tensor((colour + 0.1 * grain).astype(np.float16)),
            "plan": plan.to_bytes(),
            **{name: to_tensor(array) for name, array in motion.items()},
        }
        rows.append(row)
    return put_clips(store, rows)


def fit_config(workers: int = 1, **changes: object) -> FitConfig:
    """Return settings of a run of seconds: one thread a worker, so that sums round alike."""
    parallel = ParallelConfig(workers=workers, cpus_per_worker=1, max_failures=0)
    settings = {"steps": 8, "batch": 4, "report_every": 2, "checkpoint_every": 3, "parallel": parallel}
    return FitConfig(**{**settings, "optimizer": OptimizerConfig(warmup=3), **changes})


def train_job(root: str, fit: FitConfig, **changes: object) -> TrainJob:
    """Return a job on the clips of `write_clips`."""
    return TrainJob(**{"store": StoreConfig(root=root), "ray": RAY, "backbone": BACKBONE, "fit": fit, **changes})


def distill_job(root: str, fit: FitConfig, **changes: object) -> DistillJob:
    """Return a job that distils what `train_job` made."""
    return DistillJob(store=StoreConfig(root=root), ray=RAY, fit=fit, fake_updates=2, **changes)
