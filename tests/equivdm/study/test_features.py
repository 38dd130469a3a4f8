"""The distance of random features: none between equals, and the more, the more frames are blurred or made noisy."""

import cv2
import numpy as np

from equivdm.arrays import Frames
from equivdm.metrics.distributions import frechet_distance
from equivdm.study.features import random_features
from equivdm.video.synthetic import render_scene

SCENES = [render_scene(seed, frames=4, height=48, width=48).frames for seed in range(6)]


def distance(frames: list[Frames]) -> float:
    given, real = ([random_features(each) for each in clips] for clips in (frames, SCENES))
    return frechet_distance(given, real)


def blurred(sigma: float) -> list[Frames]:
    return [np.stack([cv2.GaussianBlur(frame, (0, 0), sigma) for frame in frames]) for frames in SCENES]


def noisy(deviation: float) -> list[Frames]:
    rng = np.random.default_rng(0)
    return [np.clip(each + deviation * rng.standard_normal(each.shape), 0, 255).astype(np.uint8) for each in SCENES]


def test_features_are_the_same_twice_and_the_distance_of_equals_is_none() -> None:
    assert random_features(SCENES[0]).tobytes() == random_features(SCENES[0]).tobytes()
    assert random_features(SCENES[0]).shape == (4, 2 * (8 + 12 + 16))
    assert abs(distance(SCENES)) < 1e-6


def test_the_distance_grows_with_blur_noise_and_a_cast_of_colour() -> None:
    assert 0 < distance(blurred(1.0)) < distance(blurred(3.0))
    assert 0 < distance(noisy(8.0)) < distance(noisy(32.0))
    reddish = [np.concatenate([each[..., :1] // 2 + 128, each[..., 1:]], -1) for each in SCENES]
    assert distance(reddish) > distance(blurred(1.0))
