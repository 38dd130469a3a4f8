"""How the numbers of experiments are read: names, units, and which way is better."""

from collections.abc import Mapping
from typing import NamedTuple


class Reading(NamedTuple):
    """Of a metric."""

    title: str
    unit: str
    higher: bool | None
    """Whether higher is better; None where it describes, and is compared with the driving clips' own."""

    @property
    def named(self) -> str:
        """Title and unit."""
        return f"{self.title} ({self.unit})" if self.unit else self.title

    @property
    def heading(self) -> str:
        """The same with an arrow to the better side."""
        return self.named + {True: " ↑", False: " ↓", None: ""}[self.higher]


READINGS: Mapping[str, Reading] = {
    "cf_psnr": Reading("cross-frame PSNR", "dB", True),
    "epe": Reading("motion error", "px", False),
    "sharpness": Reading("sharpness", "levels/px", None),
    "contrast": Reading("contrast", "levels", None),
    "frechet_random_features": Reading("Fréchet distance, random features", "", False),
    "equivariance_error": Reading("equivariance error, exact moves", "", False),
    "equivariance_error_shift": Reading("equivariance error, shifts", "", False),
    "equivariance_error_turn": Reading("equivariance error, turns", "", False),
    "equivariance_error_flip": Reading("equivariance error, flips", "", False),
    "equivariance_error_subpixel": Reading("equivariance error, sub-pixel shifts", "", False),
    "track_variation": Reading("variation along tracked points", "", False),
    "straightness": Reading("deviation from a straight path", "", False),
    "noise_to_driving_distance": Reading("noise-to-driving distance", "", None),
    "noise_to_video_distance": Reading("noise-to-video distance", "", False),
}


def reading_of(metric: str) -> Reading:
    """Return how a metric is read; by its own name where nobody has said."""
    return READINGS.get(metric, Reading(metric, "", None))
