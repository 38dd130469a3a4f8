"""Likeness to a reference, frame by frame: what the video should have looked like."""

import numpy as np

from equivdm.metrics.case import Case
from equivdm.metrics.coherence import decibels


def psnr(case: Case) -> float:
    """PSNR in dB to the reference's frame, mean over frames, each at most `coherence.CEILING`."""
    pairs = zip(case.frames, case.wanted, strict=True)
    return float(np.mean([decibels([np.square(new.astype(np.float32) - old).ravel()]) for new, old in pairs]))


def ssim(case: Case) -> float:
    """Structural similarity to the reference's frame, at most 1; mean over colours and frames.

    Wang, Bovik, Sheikh and Simoncelli, "Image Quality Assessment: From Error Visibility to Structural Similarity",
    2004: Gaussian windows of 1.5 px, by scikit-image. Sides must be of 11 px at least.
    """
    from skimage.metrics import structural_similarity

    setting = {"channel_axis": -1, "data_range": 255, "gaussian_weights": True, "use_sample_covariance": False}
    pairs = zip(case.frames, case.wanted, strict=True)
    return float(np.mean([structural_similarity(new, old, **setting) for new, old in pairs]))


def lpips(case: Case) -> float:
    """LPIPS of AlexNet (version 0.1) to the reference's frame, at least 0, mean over frames; sides of 32 px at least.

    Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", arXiv 1801.03924.
    """
    from equivdm.networks.lpips import lpips_distances

    paths = case.weights.path("lpips"), case.weights.path("lpips_linear")
    return lpips_distances(case.frames, case.wanted, *paths, case.device).mean().item()
