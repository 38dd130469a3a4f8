"""Every metric by its name. Adding one is a function and an entry here."""

from collections.abc import Mapping

from equivdm.metrics.alignment import angular_error, endpoint_error
from equivdm.metrics.coherence import cross_frame_psnr, first_frame_psnr, variation_along_tracks, warp_error
from equivdm.metrics.distributions import frechet_distance, kernel_distance
from equivdm.metrics.fidelity import lpips, psnr, ssim
from equivdm.metrics.metric import FeaturesOf, Metric, SetMetric
from equivdm.metrics.perception import i3d, image_quality, inception
from equivdm.metrics.semantics import background_consistency, clip_frame, clip_text, subject_consistency
from equivdm.metrics.statistics import contrast, flicker, sharpness

METRICS: Mapping[str, Metric] = {
    "cf_psnr": Metric(
        cross_frame_psnr,
        "Cross-frame PSNR",
        "dB",
        "higher",
        ("motion",),
        "each frame against the one before, carried along the driving motion",
    ),
    "cf_psnr_first": Metric(
        first_frame_psnr,
        "Cross-frame PSNR to the first frame",
        "dB",
        "higher",
        ("motion",),
        "each frame against the first, carried along the driving motion",
    ),
    "warp_error": Metric(
        warp_error,
        "Warping error",
        "levels",
        "lower",
        ("motion",),
        "difference from the frame before, carried along the driving motion",
    ),
    "epe": Metric(
        endpoint_error,
        "Motion alignment (end-point error)",
        "px",
        "lower",
        ("motion",),
        "distance between the video's optical flow and the driving flow",
    ),
    "angular_error": Metric(
        angular_error,
        "Motion alignment (angular error)",
        "°",
        "lower",
        ("motion",),
        "angle between the video's optical flow and the driving flow, in space and time",
    ),
    "track_variation": Metric(
        variation_along_tracks,
        "Variation along tracked points",
        "",
        "lower",
        ("motion", "tracks"),
        "how colours change along points of the driving motion; 0: they move along, 1: they know nothing of it",
    ),
    "flicker": Metric(
        flicker,
        "Flicker",
        "levels",
        "neither",
        (),
        "how unsteadily a place changes; describes, and moving detail raises it too",
    ),
    "sharpness": Metric(
        sharpness,
        "Sharpness",
        "levels/px",
        "neither",
        (),
        "strength of fine detail; describes, neither more nor less is better",
    ),
    "contrast": Metric(
        contrast,
        "Contrast",
        "levels",
        "neither",
        (),
        "spread of brightness; describes, neither more nor less is better",
    ),
    "straightness": Metric(
        lambda case: case.sampled("straightness"),
        "Deviation from a straight path",
        "",
        "lower",
        ("sampling",),
        "how far the way from noise to video is from straight, in latents; 0 is straight",
    ),
    "noise_to_video_distance": Metric(
        lambda case: case.sampled("noise_to_video_distance"),
        "Distance from noise to video",
        "",
        "neither",
        ("sampling",),
        "how far the video's latents are from the noise that they came of; what has less contrast is nearer",
    ),
    "psnr": Metric(
        psnr,
        "PSNR to the reference",
        "dB",
        "higher",
        ("reference",),
        "each frame against the reference's",
    ),
    "ssim": Metric(
        ssim,
        "SSIM to the reference",
        "",
        "higher",
        ("reference", "package skimage"),
        "structure of each frame against the reference's; 1 is equal",
    ),
    "lpips": Metric(
        lpips,
        "LPIPS to the reference",
        "",
        "lower",
        ("reference", "weights.lpips", "weights.lpips_linear"),
        "perceptual difference of each frame from the reference's; 0 is equal",
    ),
    "clip_text": Metric(
        clip_text,
        "CLIP score (text)",
        "",
        "higher",
        ("caption", "weights.clip", "package transformers"),
        "how well frames go with the caption, 0 to 100",
    ),
    "clip_frame": Metric(
        clip_frame,
        "CLIP score (frames)",
        "",
        "higher",
        ("weights.clip", "package transformers"),
        "how alike CLIP finds neighbouring frames; a still video has 1",
    ),
    "background_consistency": Metric(
        background_consistency,
        "Background consistency",
        "",
        "higher",
        ("weights.clip", "package transformers"),
        "how alike CLIP finds each frame, the one before and the first; a still video has 1",
    ),
    "subject_consistency": Metric(
        subject_consistency,
        "Subject consistency",
        "",
        "higher",
        ("weights.dino", "package transformers"),
        "how alike DINO finds each frame, the one before and the first; a still video has 1",
    ),
    "image_quality": Metric(
        image_quality,
        "Image quality",
        "",
        "higher",
        ("weights.quality", "package pyiqa"),
        "how good single frames look to MUSIQ, 0 to 1",
    ),
}
"""Of one video, by the name in the `metrics` table."""

SET_METRICS: Mapping[str, SetMetric] = {
    "fid": SetMetric(
        "inception",
        frechet_distance,
        "FID",
        "",
        "lower",
        ("weights.inception",),
        "how far single frames are from those of the reference videos, as a set",
    ),
    "kid": SetMetric(
        "inception",
        kernel_distance,
        "KID",
        "",
        "lower",
        ("weights.inception",),
        "likewise, without the bias that few videos give FID; it may fall below 0",
    ),
    "fvd": SetMetric(
        "i3d",
        frechet_distance,
        "FVD",
        "",
        "lower",
        ("weights.i3d",),
        "how far clips, motion included, are from those of the reference videos, as a set",
    ),
}
"""Of two sets of videos."""

FEATURES: Mapping[str, FeaturesOf] = {"inception": inception, "i3d": i3d}
"""What set metrics compare."""
