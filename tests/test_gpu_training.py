"""What the GPU benchmark of a training step does, at tiny size on a CPU."""

from typing import Any

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.gpu_training import NETWORKS, WARM_UP, measure_step, random_denoiser
from equivdm.config import Bucket
from equivdm.footprint import WanFootprint

TINY: dict[str, Any] = {
    "num_attention_heads": 2,
    "attention_head_dim": 12,
    "text_dim": 16,
    "freq_dim": 16,
    "ffn_dim": 32,
    "num_layers": 3,
    "rope_max_seq_len": 32,
}
CLIP = Bucket(frames=9, height=64, width=96)


@pytest.mark.parametrize("vace", [False, True])
def test_a_step_computes_what_was_planned(vace: bool) -> None:
    settings = TINY | ({"vace_layers": [0, 2]} if vace else {})
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:  # a CPU's fused one is not counted
        step = measure_step(settings, CLIP, torch.device("cpu"), steps=2)
    done = counter.get_total_flops() / (2 + WARM_UP)
    assert step.plan.flops == pytest.approx(done, rel=0.05)  # what is computed again included
    assert step.plan.useful == pytest.approx(0.75 * step.plan.flops)
    assert step.mfu(peak=step.plan.useful / step.seconds) == pytest.approx(1)
    assert len(set(step.losses)) == 2 + WARM_UP  # each on a batch of its own


@pytest.mark.parametrize("name", NETWORKS)
def test_the_networks_have_the_sizes_of_those_published(name: str) -> None:
    network = random_denoiser(NETWORKS[name], torch.device("meta"))
    published = WanFootprint.of_model(f"Wan-AI/{name.replace(' ', '-').replace('Wan-2.1', 'Wan2.1')}-diffusers", 512)
    assert sum(each.numel() for each in network.parameters()) == published.parameters
