"""The parts of a distillation that are asked for: a head, and a regression. Pydantic only."""

from pydantic import Field

from equivdm.config import Config


class GanConfig(Config):
    """A head on the teacher's features that tells clips from the student's videos, and teaches the student (DMD2)."""

    weight: float = Field(default=0.03, gt=0)
    """Of its loss in the student's (FastGen's)."""
    lr: float = Field(default=1e-3, gt=0)
    """Learning rate of the head, which is updated whenever the fake score is."""
    width: int = Field(default=256, ge=1)
    """Hidden units of the MLP on each layer that it sees."""


class RegressionConfig(Config):
    """Hold the student near what the teacher's ODE makes of the same noise (DMD)."""

    weight: float = Field(default=0.25, gt=0)
    """Of its loss in the student's (DMD's)."""
    steps: int = Field(default=8, ge=1)
    """Euler steps of the teacher, of each clip at each of the student's updates: this is what it costs."""
