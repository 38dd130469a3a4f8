"""What networks see in a video. They are imported where they are used: most metrics need no torch."""

from equivdm.arrays import Features, Frames
from equivdm.metrics.case import Case
from equivdm.metrics_config import WeightsConfig


def inception(frames: Frames, weights: WeightsConfig, device: str) -> Features:
    """Inception-v3's features, a row a frame. ValueError without `weights.inception`."""
    from equivdm.networks.features import inception_features

    return inception_features(frames, weights.path("inception"), device)


def i3d(frames: Frames, weights: WeightsConfig, device: str) -> Features:
    """I3D's features, a row a clip. ValueError without `weights.i3d`, or for fewer than 9 frames."""
    from equivdm.networks.features import i3d_features

    return i3d_features(frames, weights.path("i3d"), device)


def image_quality(case: Case) -> float:
    """VBench's image quality: MUSIQ's score over 100, mean over frames. ValueError without `weights.quality`."""
    from equivdm.networks.quality import quality_scores

    return quality_scores(case.frames, case.weights.path("quality"), case.device).mean().item() / 100
