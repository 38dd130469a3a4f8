"""Theorem 4.1: with noise that moves along, the minimiser of the ordinary loss moves along."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float
from torch import Tensor

from equivdm.backbones.tiny.backbone import GEOMETRY
from equivdm.flow import in_frame, warp_back
from equivdm.metrics.equivariance import equivariance_error
from equivdm.seeds import derive_seed
from equivdm.study.asking import Asked, predict_clean
from equivdm.study.clips import Clip, build_clips
from equivdm.study.config import DataSpec, ExperimentSpec, ModelSpec, NoiseSpec
from equivdm.study.experiment import Experiment, Measured, Networks, Row
from equivdm.study.noise import Noise
from equivdm.study.recipes import INDEPENDENT, tuned_model

WARPED, MIXED = NoiseSpec(beta=1.0), NoiseSpec(beta=0.9)

ASKED = {
    "warped": (WARPED, WARPED),
    "warped, beta 0.9": (MIXED, MIXED),
    "independent": (INDEPENDENT, INDEPENDENT),
    "trained independent, asked warped": (INDEPENDENT, WARPED),
    "trained warped, asked independent": (WARPED, INDEPENDENT),
}
"""Noise that a model is trained with, and noise that it is asked about, by variant."""


def models(spec: ExperimentSpec, seed: int) -> list[ModelSpec]:
    """A model for each noise, of equally many updates on exact moves."""
    return [tuned_model(spec, seed, noise, spec.exact) for noise in (WARPED, MIXED, INDEPENDENT)]


def subpixel(spec: ExperimentSpec) -> DataSpec:
    """Return the clips whose T_k is known, but moves no latent onto another."""
    return spec.exact.model_copy(update={"kind": "subpixel", "train": 1})


def measure(spec: ExperimentSpec, seed: int, networks: Networks, folder: Path) -> Measured:
    """Equivariance errors over t, of exact moves by kind and of sub-pixel shifts, without the dense condition.

    Each model is asked about noise of its own law, and of the other: that the input moves along is not enough, nor is
    having been trained so.
    """
    clips = {data.kind: build_clips(data, seed, folder) for data in (spec.exact, subpixel(spec))}
    rows = list[Row]()
    for variant, (trained, noise) in ASKED.items():
        model = tuned_model(spec, seed, trained, spec.exact)
        asked = Asked(model, networks[model.key], noise, False, spec.device)
        for of in clips.values():
            rows += _errors(asked, of.held_out, spec, variant)
    return Measured(rows)


def _errors(asked: Asked, clips: Sequence[Clip], spec: ExperimentSpec, variant: str) -> Iterator[Row]:
    noise = Noise(asked.noise, clips, asked.spec.seed)
    for number, clip in enumerate(clips):
        eps = noise(number, derive_seed(asked.spec.seed, "theorem41", number))[None]
        for t in spec.times:
            clean = predict_clean(asked, clip, eps, t)
            if clip.moves:
                error = equivariance_error(clean, [move.apply for move in clip.moves[1:]]).item()
                yield Row(variant, t, "equivariance_error", number, error)
                yield Row(variant, t, f"equivariance_error_{clip.moves[1].kind}", number, error)
            else:
                error = subpixel_error(clean[0], clip.motion.backward[0, 0, 0] / GEOMETRY.space_stride)
                yield Row(variant, t, "equivariance_error_subpixel", number, error)


def subpixel_error(clean: Float[Tensor, "channels time height width"], step: Float[np.ndarray, "2"]) -> float:
    """sum_k || D^(k) - T_k D^(0) ||^2 / sum_k || D^(k) ||^2 over k >= 1, where T_k D^(0) lies inside of the frame.

    Args:
        clean: D^(0), D^(1), ...
        step: (u, v) in cells, from a frame back to the one before, the same everywhere. T_k samples bilinearly, which
            blurs: what is measured is no less than what that does.
    """
    first, *others = (frame.permute(1, 2, 0).numpy() for frame in clean.unbind(1))
    gaps = sizes = 0.0
    for k, frame in enumerate(others, 1):
        back = np.broadcast_to((k * step).astype(np.float32), (*frame.shape[:2], 2)).copy()
        seen = in_frame(back)
        gaps += float(np.square(frame - warp_back(first, back), dtype=np.float64)[seen].sum())
        sizes += float(np.square(frame, dtype=np.float64)[seen].sum())
    return gaps / sizes


THEOREM41 = Experiment(
    name="theorem41",
    title="Equivariance of the denoiser (Theorem 4.1)",
    claim="Trained by the ordinary denoising loss on noise that moves with the video, the denoiser of a frame is the "
    "moved denoiser of the first frame.",
    axis="t",
    models=models,
    measure=measure,
    metrics=(
        "equivariance_error",
        "equivariance_error_shift",
        "equivariance_error_turn",
        "equivariance_error_flip",
        "equivariance_error_subpixel",
    ),
)
