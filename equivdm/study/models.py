"""Models of a study: made from their specs, and asked."""

from pathlib import Path

from equivdm.backbones.base import DenoiserModule
from equivdm.study.clips import build_clips
from equivdm.study.config import ModelSpec
from equivdm.study.distilling import distil
from equivdm.study.training import State, build, train


def make_model(spec: ModelSpec, start: State | None, folder: Path, device: str = "cpu") -> State:
    """Return the weights of a model: trained, or distilled where it is a student.

    Args:
        spec: the model.
        start: weights of `spec.base`, where it has one.
        folder: where clips are kept.
        device: where to train.

    Raises:
        ValueError: where `start` is missing, or there is no `base` that it could be of.
    """
    if (spec.base is None) != (start is None):
        raise ValueError(f"start: got {'no' if start is None else 'some'} weights for base={spec.base}: give its own")
    clips = build_clips(spec.data, spec.seed, folder)
    if spec.student is None:
        return train(spec, clips, start, device)
    assert start is not None, "a student has a base"
    return distil(spec, clips, start, device)


def open_network(spec: ModelSpec, state: State, device: str = "cpu") -> DenoiserModule:
    """Return the network of a model, ready to be asked."""
    return build(spec, state, device).requires_grad_(False).eval()
