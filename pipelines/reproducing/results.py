"""What a store knows of experiments."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from equivdm.arrays import Frames
from equivdm.findings.trials import Trial
from pipelines.config import ReproduceJob, StudyConfig
from pipelines.record import read_records
from pipelines.reproducing.items import measurement_items, model_items
from pipelines.reproducing.summary import Ended
from pipelines.schemas import from_tensor
from pipelines.store import Store
from pipelines.tables import Row

_COLUMNS = ("key", "seed", "outcome", "seconds", "created", "machine", "notes", *Trial._fields[1:])


def read_ended(config: ReproduceJob, store: Store) -> dict[str, Ended]:
    """Return the finished items of a job by key."""
    measurements = measurement_items(config.studies)
    keys = {item.key for item in measurements} | {item.key for wave in model_items(measurements) for item in wave}
    rows: dict[str, list[Row]] = {}
    for row in store.table("trials").rows(_COLUMNS, keys):
        if row["outcome"] == "done":
            rows.setdefault(row["key"], []).append(row)
    return {key: _ended(found) for key, found in rows.items()}


def _ended(rows: list[Row]) -> Ended:
    first = rows[0]
    numbers = [Trial(**{name: row[name] for name in Trial._fields}) for row in rows if row["metric"]]
    day = first["created"].date().isoformat()
    return Ended(first["seconds"], first["machine"], day, numbers, first["notes"] or ())


def wall_seconds(config: ReproduceJob, store: Store) -> float | None:
    """Return the time of all runs that worked on these experiments, start-up and queues among it.

    None where there was none, or one was of other specs too, or of a part of these seeds: what of its time was theirs
    is not known.
    """
    wanted = {study.experiment: study for study in _portable(config)}
    runs = list[float]()
    for record in read_records(store, "reproduce"):
        given = _studies(record.config)
        worked = record.counts.get("new") or record.status != "finished"  # what was stopped counts its last wave alone
        if worked and any(wanted.get(each.experiment) == each for each in given):
            if not all(wanted.get(each.experiment) == each for each in given):
                return None
            runs.append(record.wall_s)
    return sum(runs) if runs else None


def _portable(config: ReproduceJob) -> Sequence[StudyConfig]:
    """Return the experiments without the path of the autoencoder, which may lie anywhere."""
    return [
        study.model_copy(update={"spec": study.spec.model_copy(update={"autoencoder": None})})
        for study in config.studies
    ]


def _studies(config: Mapping[str, Any]) -> Sequence[StudyConfig]:
    """Return the experiments of a run; none where an older one's cannot be read today."""
    try:
        return _portable(ReproduceJob.model_validate(config))
    except ValidationError:
        return ()


def footage(study: StudyConfig, store: Store) -> dict[str, list[Frames]]:
    """Return the videos of an experiment's first seed by variant; none where it is not measured."""
    first = measurement_items([study])[0]
    videos: dict[str, list[Frames]] = {}
    for row in store.table("footage").rows(["videos"], [first.key]):
        for video in row["videos"] or ():
            videos.setdefault(video["variant"], []).append(from_tensor(video["frames"]))
    return videos
