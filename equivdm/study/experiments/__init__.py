"""The experiments by name."""

from collections.abc import Mapping

from equivdm.study.experiment import Experiment
from equivdm.study.experiments.ablations import ABLATIONS
from equivdm.study.experiments.beta import BETA
from equivdm.study.experiments.steps import STEPS
from equivdm.study.experiments.students import STUDENTS
from equivdm.study.experiments.theorem41 import THEOREM41
from equivdm.study.experiments.tracked_points import TRACKED_POINTS
from equivdm.study.experiments.trajectories import TRAJECTORIES
from equivdm.study.experiments.v2v import V2V

_ALL = (THEOREM41, TRACKED_POINTS, BETA, TRAJECTORIES, STEPS, STUDENTS, V2V, ABLATIONS)

EXPERIMENTS: Mapping[str, Experiment] = {each.name: each for each in _ALL}
"""In the order of a results page."""
