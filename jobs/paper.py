"""The experiments on the paper's claims as they come with the project: `specs/paper`, a file each.

Neither torch nor Ray is loaded here."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from equivdm.config import Config
from equivdm.errors import UsageError
from equivdm.study.config import TINY, ExperimentSpec
from jobs.specs import SPECS, check, merge, read_mapping
from pipelines.config import StudyConfig
from pipelines.settings import Name

PAPER = SPECS / "paper"
"""A file an experiment, and one of what they share."""

SHARED = "shared"
"""Name of the latter. Models that experiments have in common are made once as long as these fields stay there."""

Size = Literal["tiny", "cpu", "gpu"]
"""`tiny` is for a look at whether everything runs: its numbers say nothing."""


class PaperSpec(Config):
    """A file of an experiment."""

    seeds: int = Field(default=3, ge=1)
    """Trainings, from seed 0 on; of no meaning for what all share."""
    cpu: Mapping[str, Any] = Field(default={})
    """Fields of `ExperimentSpec` for two CPU cores."""
    gpu: Mapping[str, Any] = Field(default={})
    """Likewise for a GPU, on top of those for CPUs."""


def paper_studies(
    names: Sequence[Name] = (), size: Size = "cpu", seeds: int | None = None, autoencoder: str | None = None
) -> list[StudyConfig]:
    """Return the experiments of these names, or all, at a size. Raises UsageError for a name that none has.

    `autoencoder` is the file that `tracked_points` asks for; all others know nothing of it, and keep their keys.
    """
    known = experiment_names()
    for name in names:
        if name not in known:
            raise UsageError(f"got experiment {name!r}, wanted some of {', '.join(known)}")
    studies = [_study(name, size, seeds) for name in known if not names or name in names]
    return [_with_autoencoder(study, autoencoder) if study.experiment == OF_LATENTS else study for study in studies]


def _with_autoencoder(study: StudyConfig, autoencoder: str | None) -> StudyConfig:
    return study.model_copy(update={"spec": study.spec.model_copy(update={"autoencoder": autoencoder})})


def experiment_names() -> list[str]:
    """Return the names of the experiments that have a file, in the paper's order."""
    found = {path.stem for path in PAPER.glob("*.yaml")} - {SHARED}
    return sorted(found, key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name))


ORDER = ("theorem41", "tracked_points", "beta", "trajectories", "steps", "students", "v2v", "ablations")
"""Of pages and lists."""

OF_LATENTS = "tracked_points"
"""The experiment that looks into an autoencoder's latents."""


def _study(name: str, size: Size, seeds: int | None) -> StudyConfig:
    if size == "tiny":
        return StudyConfig(experiment=name, seeds=seeds or 1, spec=TINY)
    shared, own = (_read(PAPER / f"{file}.yaml") for file in (SHARED, name))
    fields = ExperimentSpec().model_dump()  # so that a file may name some fields of a part, such as `scenes`
    for spec in (shared, own):
        merge(fields, spec.cpu)
    if size == "gpu":
        for spec in (shared, own):
            merge(fields, spec.gpu)
    origin = f"{name} at size {size}"
    return StudyConfig(experiment=name, seeds=seeds or own.seeds, spec=check(ExperimentSpec, fields, origin))


def _read(path: Path) -> PaperSpec:
    return check(PaperSpec, read_mapping(path), origin=f"paper/{path.name}")
