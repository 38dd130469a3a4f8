"""What a worker does of an experiment's items: make a model, or measure."""

import hashlib
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from equivdm.machine import machine_name
from equivdm.study.config import ExperimentSpec, ModelSpec
from equivdm.study.experiment import Measured
from equivdm.study.experiments import EXPERIMENTS
from equivdm.study.models import make_model, open_network
from pipelines.reproducing.items import MeasurementItem, model_key
from pipelines.schemas import to_tensor
from pipelines.settings import Resources
from pipelines.steps import NOBODY, put, settle, step
from pipelines.store import Store
from pipelines.tables import Row, Table
from pipelines.tally import Reporter

if TYPE_CHECKING:
    from equivdm.study.training import State

CLIPS = "scratch"
"""Folder of a local store with the generated clips, which any run makes again where they are missing."""


NETWORKS = "networks"
"""Folder of the store with the models' weights."""


def make(row: Row, store: Store, table: Table, needs: Resources, reporter: Reporter = NOBODY) -> Row:
    """Make a model, and settle its item."""
    row = _made(row, store, needs, reporter=reporter)
    reporter.flush()
    return settle(row, table)


def measure(row: Row, store: Store, table: Table, needs: Resources, reporter: Reporter = NOBODY) -> Row:
    """Measure an experiment for a seed, and settle the item with a row per number."""
    row = _measured(row, store, needs, reporter=reporter)
    reporter.flush()
    return settle(row, table, row.get("numbers"))


@step("models")
def _made(row: Row, store: Store, needs: Resources) -> Row:
    _take_threads(needs)
    spec = ModelSpec.model_validate_json(row["spec"])
    start = _read(store, spec.base) if spec.base else None
    state = make_model(spec, start, clips_folder(store), row["device"])
    return {**_write(store, row["key"], state), "machine": machine_name(row["device"])}


@step("measure")
def _measured(row: Row, store: Store, needs: Resources) -> Row:
    _take_threads(needs)
    item = MeasurementItem(row["experiment"], row["seed"], ExperimentSpec.model_validate_json(row["spec"]))
    device = item.spec.device
    networks = {spec.key: open_network(spec, _read(store, spec), device) for spec in item.asked}
    found = EXPERIMENTS[item.experiment].measure(item.spec, item.seed, networks, clips_folder(store))
    common = {"machine": machine_name(device), "notes": list(found.notes)}
    # An experiment that has left out everything still says why, by a row without a number.
    numbers = [{**common, **number._asdict()} for number in found.rows] or [common]
    return {"numbers": numbers} | put(row, store.table("footage"), row["key"], videos=_footage(found))


def clips_folder(store: Store) -> Path:
    """Return where this machine keeps generated clips: in the store where that is a folder of it."""
    return Path(store.path(CLIPS)) if store.is_local else Path(tempfile.gettempdir(), "equivdm-clips")


def _footage(found: Measured) -> list[Row]:
    return [
        {"variant": variant, "clip": number, "frames": to_tensor(frames)}
        for variant, videos in found.videos.items()
        for number, frames in enumerate(videos)
    ]


def _take_threads(needs: Resources) -> None:
    import torch

    torch.set_num_threads(max(1, int(needs.cpus)))


def _write(store: Store, key: str, state: "State") -> Mapping[str, object]:
    """Write weights to the store, and return the columns that name them."""
    from safetensors.torch import save

    data = save({name: value.contiguous() for name, value in state.items()})
    digest = hashlib.sha256(data).hexdigest()
    # Another run, on another kind of machine, may write other bytes: it must not put them over those of the row.
    file = f"{NETWORKS}/{key}-{digest[:16]}.safetensors"
    with tempfile.NamedTemporaryFile(suffix=".safetensors") as local:
        local.write(data)
        local.flush()
        store.put(local.name, file)
    return {"file": file, "bytes": len(data), "sha256": digest}


def _read(store: Store, spec: ModelSpec) -> "State":
    from safetensors.torch import load_file

    attempts = store.table("trials").rows(["outcome", "file"], [model_key(spec)])
    file = next(row["file"] for row in attempts if row["outcome"] == "done")  # others may have failed before
    with store.local_copy(file) as local:
        return load_file(local)
