"""Passes forward of a network that the updates of a distillation come to. Pydantic only.

A pass backward is two forward, and one where weights are frozen and the gradient only goes through.
"""

from pipelines.config import DistillJob


def judge_passes(config: DistillJob, steps: float) -> float:
    """Return those of an update of fake score and head, on videos to which the student takes `steps`."""
    trained = 2 if config.fake_lora else 3
    return steps + trained + (2 if config.gan else 0)  # the head sees videos and clips


def student_passes(config: DistillJob, steps: float) -> float:
    """Return those of an update of the student, which takes `steps`, the last one with a gradient."""
    asked, through = 1 if config.guidance == 1 else 2, 1 if config.gan else 0
    solved = config.regression.steps * asked if config.regression else 0
    fake, own = 1, 3
    return (steps - 1) + own + fake + asked + through + solved


def again_passes(config: DistillJob) -> float:
    """Return those of a step that are done once more where activations are computed again."""
    return config.fake_updates + 1 + (1 if config.gan else 0)
