"""Results for a page, from items that have ended, wherever these are kept. Neither Ray nor a table is needed here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from equivdm.findings.result import About, Result
from equivdm.findings.trials import Trial, Trials
from equivdm.study.experiments import EXPERIMENTS
from pipelines.config import StudyConfig
from pipelines.reproducing.items import measurement_items, model_items


@dataclass(frozen=True)
class Ended:
    """A model that was made, or a measurement."""

    seconds: float
    """Of computing."""
    machine: str
    date: str
    """Day, as 2026-11-29."""
    numbers: Sequence[Trial] = ()
    """Of a measurement."""
    notes: Sequence[str] = ()


def result_of(study: StudyConfig, ended: Mapping[str, Ended], command: str) -> Result:
    """Return what an experiment found, given what has ended by key; no numbers where no seed of it was measured."""
    experiment, items = EXPERIMENTS[study.experiment], measurement_items([study])
    models = [item for wave in model_items(items) for item in wave]
    measured = [ended[item.key] for item in items if item.key in ended]
    used = [ended[item.key] for item in models if item.key in ended]
    return Result(
        name=experiment.name,
        title=experiment.title,
        claim=experiment.claim,
        axis=experiment.axis,
        metrics=experiment.metrics,
        trials=Trials.of(number for each in measured for number in each.numbers),
        command=command,
        wanted=study.seeds,
        seconds=sum(each.seconds for each in (*measured, *used)),
        models=len(models),
        notes=list(dict.fromkeys(note for each in measured for note in each.notes)),
    )


def about(ended: Mapping[str, Ended], command: str, trial_run: bool, wall_seconds: float | None = None) -> About:
    """Return what holds for all that has ended; `trial_run` says that its numbers say nothing."""
    dates = sorted(each.date for each in ended.values()) or ["never"]
    return About(
        machines=sorted({each.machine for each in ended.values()}),
        dates=(dates[0], dates[-1]),
        seconds=sum(each.seconds for each in ended.values()),
        wall_seconds=wall_seconds,
        command=command,
        trial_run=trial_run,
    )
