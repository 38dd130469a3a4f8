"""A training step of Wan's size on a GPU: its share of the device's peak, and its memory beside the plan's.

`python -m benchmarks.gpu_training --out benchmarks/results` writes `training_gpu.txt` there, and prints it. Weights and
batches are random. The step is the training's, in plain torch on one GPU: autocast to bf16, AdamW, clipped gradients,
moving average, activations computed again. It needs diffusers and pydantic beside torch, neither Ray nor DeepSpeed.
"""

import statistics
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import torch

from benchmarks.results import Write, write_results
from equivdm.backbones import backbone_of
from equivdm.backbones.base import Conditions
from equivdm.backbones.wan.backbone import GEOMETRY
from equivdm.backbones.wan.denoiser import WanDenoiser
from equivdm.backbones.wan.shapes import WORDS
from equivdm.config import Bucket, WanConfig
from equivdm.ema import Ema
from pipelines.config import TrainJob
from pipelines.devices import named_peak
from pipelines.engines import make_plain
from pipelines.estimate import Estimate, estimate
from pipelines.fit_config import FitConfig, ParallelConfig
from pipelines.partition import held
from pipelines.settings import StoreConfig

SMALL: Mapping[str, Any] = {"num_attention_heads": 12, "attention_head_dim": 128, "ffn_dim": 8960, "num_layers": 30}
NETWORKS: Mapping[str, Mapping[str, Any]] = {
    "Wan 2.1 T2V 1.3B": SMALL,
    "Wan 2.1 VACE 1.3B": {**SMALL, "vace_layers": list(range(0, 30, 2))},
}
"""What diffusers is told of each; the rest are its own defaults, which are Wan's."""

CLIP = Bucket(frames=81, height=480, width=832)
STEPS, WARM_UP = 5, 2
MFU, MEMORY = 0.45, 0.10
"""Bars: the least share of the peak, and the most that memory may be off the plan's."""


@dataclass(frozen=True)
class Step:
    """What a step takes, and what was planned for it."""

    seconds: float
    losses: list[float]
    memory: int | None
    """Bytes, the most that tensors took at once; None without a GPU."""
    plan: Estimate

    def mfu(self, peak: float) -> float:
        """Return the share of `peak`, in FLOP/s, that the forward and backward pass are."""
        return self.plan.useful / self.seconds / peak


def measure_step(settings: Mapping[str, Any], clip: Bucket, device: torch.device, steps: int) -> Step:
    """Measure the median of some steps of a network of these settings on one clip, after two that do not count."""
    on_gpu = device.type == "cuda"
    fit = FitConfig(
        steps=WARM_UP + steps,
        batch=1,
        checkpoint_activations=True,
        parallel=ParallelConfig(zero_stage=0, gpus_per_worker=int(on_gpu)),
    )
    denoiser = random_denoiser(settings, device)
    with tempfile.TemporaryDirectory(prefix="equivdm-") as folder:
        denoiser.network.save_config(Path(folder, "transformer"))
        job = TrainJob(store=StoreConfig(root=folder), backbone=WanConfig(model=folder), fit=fit)
        plan, diffusion = estimate(job, clip), backbone_of(job.backbone).diffusion()
    engine, ema = make_plain(denoiser, fit, 1e-5, 1, device), Ema(held(denoiser), fit.ema)
    seconds, losses = [], []
    for step in range(fit.steps):
        if on_gpu and step == WARM_UP:
            torch.cuda.reset_peak_memory_stats(device)
        latents, noise, times, conditions = _batch(denoiser, clip, device)
        started = _now(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=on_gpu):
            loss = diffusion.loss(engine, latents, noise, times, conditions)
        engine.backward(loss)
        engine.step()
        ema.update(held(denoiser), step)
        seconds.append(_now(device) - started)
        losses.append(loss.item())
    memory = torch.cuda.max_memory_allocated(device) if on_gpu else None
    return Step(statistics.median(seconds[WARM_UP:]), losses, memory, plan)


def random_denoiser(settings: Mapping[str, Any], device: torch.device) -> WanDenoiser:
    """Return a network of diffusers' settings with random weights, made on the device."""
    from diffusers.models.transformers.transformer_wan import WanTransformer3DModel
    from diffusers.models.transformers.transformer_wan_vace import WanVACETransformer3DModel

    kind: Any = WanVACETransformer3DModel if "vace_layers" in settings else WanTransformer3DModel
    with torch.device(device):
        denoiser = WanDenoiser(kind(**settings))
    denoiser.recompute = True
    return denoiser.train()


def _batch(
    denoiser: WanDenoiser, clip: Bucket, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, Conditions]:
    """Return latents, noise, times, and the conditions of one clip."""
    grid = (len(GEOMETRY.frame_indices(clip.frames)), *GEOMETRY.grid(clip.height, clip.width))
    latents, noise = torch.randn(2, 1, GEOMETRY.channels, *grid, device=device)
    text = torch.randn(1, WORDS, denoiser.network.config.text_dim, device=device)
    control = torch.randn(1, 2 * GEOMETRY.channels, *grid, device=device) if denoiser.layers else None
    conditions = Conditions(text, control, torch.full((1,), 16.0, device=device))
    return latents, noise, torch.rand(1, device=device), conditions


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def write_figures(write: Write) -> None:
    """Write two lines for each network."""
    device = torch.device("cuda")
    name = torch.cuda.get_device_name(device)
    peak, size = named_peak(name), f"{CLIP.frames}x{CLIP.height}x{CLIP.width}"
    write(f"{date.today()}, {name}, torch {torch.__version__}; one clip of {size} a step, median of {STEPS}\n")
    for title, settings in NETWORKS.items():
        step = measure_step(settings, CLIP, device, STEPS)
        assert step.memory is not None
        share = f"MFU {step.mfu(peak):.3f} (bar {MFU})" if peak else "MFU unknown: no peak is known of this device"
        write(f"{title}: {step.seconds:.3f} s a step, {step.plan.useful / 1e12:.0f} TFLOP, {share}")
        got, planned = step.memory / 1e9, step.plan.bytes / 1e9
        write(f"    peak memory {got:.2f} GB, planned {planned:.2f}: {got / planned - 1:+.1%} (bar {MEMORY:.0%})")
        torch.cuda.empty_cache()


if __name__ == "__main__":
    write_results("A training step of Wan's size on a GPU.", "training_gpu.txt", write_figures)
