"""What a clip takes of a GPU, computed: operations of Wan 2.1's networks, over an assumed share of a device's peak.

`python -m benchmarks.sizing` prints clips a GPU hour, for clips of the size that Wan is published for. It needs neither
weights nor a GPU. What stages on CPUs take is measured by any run, in its record (`equivdm plan` shows the means).
"""

import argparse
from collections.abc import Mapping

import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from equivdm.backbones import backbone_of
from equivdm.config import Bucket
from equivdm.footprint import Micro
from jobs.specs import load_spec
from pipelines.config import TrainJob
from pipelines.devices import DEVICES

CLIP = Bucket(frames=81, height=480, width=832)

STEPS, EVALUATIONS = 50, 2
"""Of Wan's own sampler: steps, and runs of the network in each, with the caption and without."""


def operations(clip: Bucket = CLIP, spec: str = "vace_1_3b_train") -> dict[str, float]:
    """Return the floating-point operations of a clip, multiplications and additions both counted, by what does them."""
    job = load_spec(spec, [])
    assert isinstance(job, TrainJob)
    backbone = backbone_of(job.backbone)
    encode, decode = _autoencoder(clip)
    rows, columns = backbone.geometry.grid(clip.height, clip.width)
    micro = Micro(1, len(backbone.geometry.frame_indices(clip.frames)), rows, columns)
    step = backbone.footprint().flops(micro)
    return {
        "preprocess: latents, hints": 2 * encode,
        "render: one step, no guidance": step + decode,
        f"render: {STEPS} steps, guidance": STEPS * EVALUATIONS * step + decode,
    }


def _autoencoder(clip: Bucket) -> tuple[float, float]:
    """Return the operations of encoding and of decoding a clip."""
    with torch.device("meta"), torch.no_grad():
        vae = AutoencoderKLWan().eval()
        video = torch.zeros(1, 3, clip.frames, clip.height, clip.width)
        with FlopCounterMode(display=False) as encode:
            latents: Tensor = vae.encode(video).latent_dist.mean  # type: ignore[union-attr]
        with FlopCounterMode(display=False) as decode:
            vae.decode(latents)
    return encode.get_total_flops(), decode.get_total_flops()


def clips_per_hour(found: Mapping[str, float], device: str, share: float) -> dict[str, float]:
    """Return clips a GPU hour, where a device reaches this share of its peak."""
    return {name: 3600 * DEVICES[device].flops * share / flops for name, flops in found.items()}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Clips a GPU hour, computed from operations.")
    parser.add_argument("--share", type=float, default=0.4, help="of a device's peak that is assumed (default: 0.4)")
    share = parser.parse_args().share
    found = operations()
    table = Table("clips a GPU hour, computed", "PFLOPs a clip", *DEVICES, box=None, pad_edge=False)
    for name, flops in found.items():
        rates = (clips_per_hour({name: flops}, device, share)[name] for device in DEVICES)
        table.add_row(name, f"{flops / 1e15:.3g}", *(f"{rate:,.3g}" for rate in rates))
    Console(width=120, highlight=False).print(table)


if __name__ == "__main__":
    main()
