"""Figure 2: how values change along tracked points, in pixels, in latents, in noise. It needs no model."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from einops import rearrange, reduce
from jaxtyping import Float
from torch import Tensor

from equivdm.backbones.tiny.backbone import GEOMETRY
from equivdm.flow.points import follow_points
from equivdm.metrics.tracks import track_variation
from equivdm.networks.taesd import STRIDE, TaesdEncoder, load_encoder
from equivdm.seeds import derive_seed
from equivdm.study.clips import Clip, build_clips
from equivdm.study.config import ExperimentSpec, ModelSpec, NoiseSpec
from equivdm.study.experiment import Experiment, Measured, Networks, Row
from equivdm.study.noise import Noise
from equivdm.study.recipes import INDEPENDENT
from equivdm.video.tensors import to_model_range

Values = Float[Tensor, "time channels rows columns"]


def models(spec: ExperimentSpec, seed: int) -> list[ModelSpec]:
    """None."""
    return []


def measure(spec: ExperimentSpec, seed: int, networks: Networks, folder: Path) -> Measured:
    """Variation along points that stay visible; of pixels and noise on the cells of the autoencoder, too."""
    clips = build_clips(spec.tracked, seed, folder).held_out
    laws = {
        "warped noise": NoiseSpec(beta=1.0),
        f"warped noise, beta {spec.beta:g}": NoiseSpec(beta=spec.beta),
        "independent noise": INDEPENDENT,
    }
    coarse = [replace(clip, latents=_means(clip, STRIDE)) for clip in clips]
    noises = {name: (Noise(law, clips, seed), GEOMETRY.space_stride) for name, law in laws.items()}
    noises |= {f"{name}, cells of {STRIDE} px": (Noise(law, coarse, seed), STRIDE) for name, law in laws.items()}
    encoder = load_encoder(spec.autoencoder) if spec.autoencoder else None
    rows, notes = list[Row](), list[str]()
    for number, clip in enumerate(clips):
        points = torch.from_numpy(follow_points(clip.motion, spec.points, derive_seed(seed, "points", number)))
        if not len(points):
            notes.append(f"clip {number}: no point stays visible throughout; it is left out")
            continue
        drawn = {
            name: (noise(number, derive_seed(seed, "tracked", number)).transpose(0, 1), stride)
            for name, (noise, stride) in noises.items()
        }
        for variant, (values, stride) in {**_of_clip(clip, encoder), **drawn}.items():
            # The pixel p lies at (p + 0.5) / stride - 0.5 of a grid with cells of `stride` pixels.
            places = (points + 0.5) / stride - 0.5
            rows.append(Row(variant, None, "track_variation", number, track_variation(values, places)))
    if encoder is None:
        notes.append("latents of TAEF2: needs autoencoder, the path of taef2_encoder.pth; left out")
    return Measured(rows, notes=tuple(notes))


def _of_clip(clip: Clip, encoder: TaesdEncoder | None) -> Mapping[str, tuple[Values, int]]:
    """Pixels and latents, each with the pixels of a cell's side."""
    pixels = rearrange(to_model_range(clip.frames), "c t h w -> t c h w")
    found = {"pixels": (pixels, 1)}
    for side in (GEOMETRY.space_stride, STRIDE):
        found[f"means of {side} x {side} pixels"] = (_means(clip, side).transpose(0, 1), side)
    if encoder is not None:
        with torch.inference_mode():
            found["latents of TAEF2"] = (torch.cat([encoder((each[None] + 1) / 2) for each in pixels]), STRIDE)
    return found


def _means(clip: Clip, side: int) -> Float[Tensor, "channels time rows columns"]:
    return reduce(to_model_range(clip.frames), "c t (h p) (w q) -> c t h w", "mean", p=side, q=side)


TRACKED_POINTS = Experiment(
    name="tracked_points",
    title="Variation along tracked points (Figure 2)",
    claim="In latent space the values along a tracked point vary much more than in pixels or in warped noise.",
    axis=None,
    models=models,
    measure=measure,
    metrics=("track_variation",),
)
