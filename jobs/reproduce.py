"""`equivdm reproduce`: the paper's claims put to the test by small trainings, and a page of what they show."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

import yaml
from rich.box import SIMPLE
from rich.table import Table

from equivdm.study.experiments import EXPERIMENTS
from equivdm.video.photographs import check_photographs
from jobs.console import console, say
from jobs.paper import Size, paper_studies
from jobs.show import show_summary
from pipelines import reproduce
from pipelines.batch import count
from pipelines.config import ReproduceJob, StudyConfig
from pipelines.reproducing.items import count_models, measurement_items
from pipelines.reproducing.publish import Heading, write_page
from pipelines.settings import ReproduceWork, Resources, StoreConfig
from pipelines.store import open_store

GPU_WORK = ReproduceWork(
    model=Resources(cpus=2, gpus=0.25, actors=4),
    measure=Resources(cpus=2, gpus=0.25, actors=4),
)
"""A model of this size leaves most of a GPU idle: four side by side."""


COMMIT_EVERY_S = 0.2
"""Items take from seconds to minutes: each is worth a commit of its own."""


@dataclass(frozen=True)
class ReproduceOptions:
    """The options of `equivdm reproduce`."""

    experiments: list[str]
    list: bool
    size: Size
    seeds: int | None
    autoencoder: str | None
    out: Path
    page: Path | None

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> Self:
        """Take them from a command line."""
        return cls(**{field.name: getattr(arguments, field.name) for field in fields(cls)})

    @property
    def command(self) -> str:
        """The command line, without experiments: what makes the whole page."""
        given = [("--size", self.size, "cpu"), ("--seeds", self.seeds, None), ("--autoencoder", self.autoencoder, None)]
        return " ".join(
            ["equivdm reproduce", *(f"{name} {value}" for name, value, default in given if value != default)]
        )


def run(options: ReproduceOptions) -> int:
    """Bring models, numbers and the page up to date; 1 if something was left undone.

    The page has all experiments, those that are asked for and those that were measured before. Raises UsageError for an
    unknown one, and where the photographs that clips are made of are absent.
    """
    studies = studies_of(options, options.experiments)
    if options.list:
        console().print(_listed(studies))
        return 0
    job = job_of(studies, options)
    table, items = reproduce.inputs(job, open_store(job.store))
    if count(items.keys, table.states())["pending"]:
        check_photographs()  # or every model would fail for want of them
    code = show_summary(reproduce.run(job))
    say(f"job, for status, audit and quarantine: {_written(job, options.out)}")
    every = job_of(studies_of(options), options)
    heading = Heading(options.command, trial_run=options.size == "tiny")
    path = options.page or options.out / "results.md"
    page = write_page(every, open_store(job.store), path, heading, kept=options.page is not None)
    say(f"page: {page}")
    return code


def studies_of(options: ReproduceOptions, names: Sequence[str] = ()) -> Sequence[StudyConfig]:
    """Return the experiments of these names, or all."""
    return paper_studies(names, options.size, options.seeds, options.autoencoder)


def job_of(studies: Sequence[StudyConfig], options: ReproduceOptions) -> ReproduceJob:
    """Return the job of some experiments."""
    given: dict[str, Any] = {"work": GPU_WORK} if options.size == "gpu" else {}
    store = StoreConfig(root=str(options.out / "store"), commit_every_s=COMMIT_EVERY_S)
    return ReproduceJob(store=store, studies=tuple(studies), **given)


def _written(job: ReproduceJob, out: Path) -> Path:
    """Write the job as a spec, for the verbs that look at jobs."""
    path = out / "reproduce.yaml"
    path.write_text(yaml.safe_dump(job.model_dump(mode="json"), sort_keys=False), encoding="utf-8")
    return path


def _listed(studies: Sequence[StudyConfig]) -> Table:
    table = Table(box=SIMPLE, show_edge=False)
    for name in ("experiment", "models", "what it puts to the test"):
        table.add_column(name)
    for study in studies:
        experiment = EXPERIMENTS[study.experiment]
        models = count_models([study]).total()
        table.add_row(study.experiment, str(models), f"{experiment.title}: {experiment.claim}")
    shared, measured = count_models(studies).total(), len(measurement_items(studies))
    table.add_row("[bold]all[/]", str(shared), f"each model once; {measured} measurements")
    return table
