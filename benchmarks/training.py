"""What the training loop must reach: its cost over a bare PyTorch loop, and the time that steps wait for the loader.

`python -m benchmarks.training` prints a table; `--quick` takes small sizes, which reach no bar and show that it runs.
Both loops run in one worker of Ray Train, in turn: the same network, batches in memory, updates and moving average.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, cast

import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from benchmarks.figures import Figure, show
from benchmarks.throughput import write_videos
from equivdm.backbones import backbone_of
from equivdm.backbones.base import Conditions, DenoiserModule
from equivdm.config import TinyConfig
from equivdm.ema import Ema
from equivdm.objective import Diffusion
from equivdm.text import tokenize
from pipelines import preprocess, train
from pipelines.board import Board
from pipelines.config import PreprocessJob, TrainJob
from pipelines.engines import make_deepspeed, make_optimizer
from pipelines.fit_config import FitConfig, ParallelConfig
from pipelines.flops import ForwardFlops
from pipelines.loader import Batch, Loader
from pipelines.loop import Dues, run
from pipelines.notices import Ears
from pipelines.ray_session import ray_session
from pipelines.session import Part, Session, set_up
from pipelines.settings import RayConfig, SourceConfig, StoreConfig
from pipelines.train import Denoising

FRAMES, PIXELS, CELLS = 16, 64, 32
"""Of a clip of the tiny backbone at its default size."""

STEPS = 20
"""Steps of a turn."""

FULL, QUICK = TinyConfig(), TinyConfig(width=16, depth=1, heads=2)


class InMemory:
    """Batches that are there already."""

    def __init__(self, batch: int, count: int = 4) -> None:
        self._batches = [_batch(batch, seed) for seed in range(count)]

    def batch(self, number: int) -> Batch:
        """Return a batch."""
        return self._batches[number % len(self._batches)]


def _batch(size: int, seed: int) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    latents, noise = torch.randn(2, size, 3, FRAMES, CELLS, CELLS, generator=generator)
    control = torch.randint(0, 256, (size, FRAMES, PIXELS, PIXELS), dtype=torch.uint8, generator=generator)
    tokens = torch.randint(1, 100, (size, len(tokenize("word"))), generator=generator)
    conditions = Conditions(tokens, control, torch.full((size,), 8.0))
    return Batch(latents, (noise,), torch.rand(size, generator=generator), conditions)


# The cost of the loop


@dataclass(frozen=True)
class Turns:
    """What the worker of Ray Train measures."""

    backbone: TinyConfig
    fit: FitConfig
    rounds: int
    board: Any
    trace: bool = False
    """Whether to profile a turn of the loop instead."""

    def __call__(self) -> list[tuple[float, float]] | str:
        """Return the seconds of each turn of the loop and of the bare one; or a table of the loop's operators."""
        import ray.train.torch

        torch.set_num_threads(int(self.fit.parallel.cpus_per_worker))
        device, data = ray.train.torch.get_device(), InMemory(self.fit.batch)
        network = backbone_of(self.backbone).build_denoiser(seed=0)
        bare = Bare(deepcopy(network).to(device), backbone_of(self.backbone).diffusion(), self.fit)
        parts, flops = {"denoiser": Part(network, 1e-3)}, ForwardFlops(network)
        recipe = Denoising(parts, cast(Loader, data), backbone_of(self.backbone).diffusion(), 1.0, flops, device)
        session = set_up(recipe, self.fit, device, make_deepspeed)
        ears = Ears(self.board, device, 0)
        turns = (partial(_loop, session, ears, self.board), partial(bare.run, data, STEPS))
        for turn in turns:
            turn()  # warms up
        if self.trace:
            with profile(activities=[ProfilerActivity.CPU]) as profiler:
                turns[0]()
            return profiler.key_averages().table(sort_by="self_cpu_time_total", row_limit=30)
        found = []
        for number in range(self.rounds):
            order = (0, 1) if number % 2 else (1, 0)
            seconds = {which: _seconds(turns[which]) for which in order}
            found.append((seconds[0], seconds[1]))
        return found


def _loop(session: Session, ears: Ears, board: Any) -> None:
    session.fit = session.fit.model_copy(update={"steps": session.step + STEPS})
    run(session, Dues(report=lambda: board.tell.remote(session.step, {})), ears.hear)


class Bare:
    """The same updates in plain PyTorch: AdamW with its schedule, clipped gradients, a moving average."""

    def __init__(self, network: DenoiserModule, diffusion: Diffusion, fit: FitConfig) -> None:
        self._network, self._diffusion, self._clip = network, diffusion, fit.optimizer.clip
        self._optimizer, self._schedule = make_optimizer(network, fit, 1e-3, 1)
        self._ema = Ema(network.state_dict(), fit.ema)
        self._step = 0

    def run(self, data: InMemory, steps: int) -> None:
        """Do some steps."""
        device, losses = next(self._network.parameters()).device, list[torch.Tensor]()
        for _ in range(steps):
            batch = data.batch(self._step).to(device)
            with self._precision(device):
                loss = self._diffusion.loss(
                    self._network, batch.latents, batch.noises[0], batch.times, batch.conditions
                )
            loss.backward()
            losses.append(loss.detach())
            nn.utils.clip_grad_norm_(self._network.parameters(), self._clip)
            self._optimizer.step()
            self._schedule.step()
            self._optimizer.zero_grad()
            self._ema.update(self._network.state_dict(), self._step)
            self._step += 1
        torch.stack(losses).mean().item()

    @staticmethod
    def _precision(device: torch.device) -> AbstractContextManager[Any]:
        return torch.autocast("cuda", torch.bfloat16) if device.type == "cuda" else nullcontext()


def cost_of_the_loop(backbone: TinyConfig, rounds: int, gpus: int = 0) -> list[Figure]:
    """Measure the loop's steps a second beside the bare ones, in turns."""
    found = _in_worker(backbone, rounds, gpus)
    ratio = median(bare / own for own, bare in found)
    each = f"{1000 * median(bare for _, bare in found) / STEPS:.1f} ms a step in the bare loop"
    what = f"of a bare loop's samples a second, Ray Train and DeepSpeed, {rounds} turns of {STEPS} steps"
    return [Figure("a", what, ratio, 0.97, least=True, floor=each)]


def trace_of_the_loop(backbone: TinyConfig, gpus: int = 0) -> str:
    """Return a table of what the loop's time goes into."""
    return cast(str, _in_worker(backbone, 1, gpus, trace=True))


def _in_worker(backbone: TinyConfig, rounds: int, gpus: int, trace: bool = False) -> Any:
    import ray
    import ray.train
    from ray.train.torch import TorchTrainer

    from pipelines.backend import ListeningTorchConfig

    fit = FitConfig(
        steps=10**6,
        checkpoint_every=10**6,
        parallel=ParallelConfig(workers=1, cpus_per_worker=1, gpus_per_worker=gpus),
    )
    with ray_session(RayConfig()), tempfile.TemporaryDirectory(prefix="equivdm-") as folder:
        board = ray.remote(num_cpus=0)(Board).remote()
        scaling = ray.train.ScalingConfig(num_workers=1, use_gpu=gpus > 0, resources_per_worker={"CPU": 1, "GPU": gpus})
        trainer = TorchTrainer(
            Turns(backbone, fit, rounds, board, trace),
            torch_config=ListeningTorchConfig(),
            scaling_config=scaling,
            run_config=ray.train.RunConfig(name="benchmark", storage_path=folder),
        )
        return trainer.fit().return_value


# The loader


def wait_for_the_loader(place: Path, backbone: TinyConfig, steps: int) -> list[Figure]:
    """Preprocess some videos, train on their clips, and say which part of the time steps wait for their samples."""
    write_videos(place / "videos", 16, (PIXELS, PIXELS))
    store, ray = StoreConfig(root=str(place / "store")), RayConfig()
    fit = FitConfig(steps=steps, checkpoint_every=steps, parallel=ParallelConfig(cpus_per_worker=1))
    with ray_session(ray):
        preprocess.run(PreprocessJob(store=store, source=SourceConfig(root=str(place / "videos")), ray=ray))
        summary = train.run(TrainJob(store=store, backbone=backbone, fit=fit, ray=ray))
    shares = [figure.value for figure in summary.speeds if figure.metric == "loader_share"]
    each = f"{summary.figures['s_per_step'] * 1000:.1f} ms a step"
    what = f"of the steps' time waits for the loader, {steps} steps on clips of {PIXELS}x{PIXELS}x{FRAMES}"
    return [Figure("b", what, sum(shares) / len(shares), 0.02, floor=each)]


def measure(only: str, quick: bool, gpus: int = 0) -> list[Figure]:
    """Return the figures of the cases in `only`, such as "a,b"."""
    backbone, figures = QUICK if quick else FULL, list[Figure]()
    for case in only.split(","):
        if case == "a":
            figures += cost_of_the_loop(backbone, 2 if quick else 15, gpus)
        else:
            with tempfile.TemporaryDirectory(prefix="equivdm-benchmark-") as place:
                figures += wait_for_the_loader(Path(place), backbone, 20 if quick else 200)
    return figures


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="What the training loop must reach, and what it does.")
    parser.add_argument("--only", default="a,b", help="cases, such as a")
    parser.add_argument("--quick", action="store_true", help="small sizes: that it runs, no figures")
    parser.add_argument("--gpus", type=int, default=0, help="GPUs of the worker of case a")
    parser.add_argument("--trace", action="store_true", help="say instead where the loop's time goes, by operators")
    options = parser.parse_args()
    if options.trace:
        sys.stdout.write(trace_of_the_loop(QUICK if options.quick else FULL, options.gpus))
    else:
        show(measure(options.only, options.quick, options.gpus))


def _seconds(turn: Callable[[], object]) -> float:
    started = time.perf_counter()
    turn()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
