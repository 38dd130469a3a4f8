"""Finished models: the averaged weights as safetensors in the store, and a row of the `models` table.

A model of one file is named by that file's sha256. One of several, such as a folder of diffusers, is named by that of a
list of them, `FILES`, which an audit follows.
"""

import hashlib
import json
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from equivdm.backbones import backbone_of
from equivdm.config import BackboneConfig, NoiseConfig, Parameterisation, SamplerConfig
from equivdm.errors import UsageError
from pipelines.config import DistillJob, TrainJob
from pipelines.shipped import shipped_folder, shipped_rows
from pipelines.store import Store

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from equivdm.backbones.base import Codec, DenoiserModule

WEIGHTS = "model.safetensors"
"""Name of the weights in a model's folder, where they are one file."""

ADAPTER = "adapter_model.safetensors"
"""Name of the weights where only adapters were trained; it is peft's."""

FILES = "SHA256SUMS"
"""Name of the list of its files, where they are several; `sha256sum -c` reads it."""

VALIDATION = "validation"
"""Folder in a model's folder with the videos that were sampled while it trained."""


class Figure(NamedTuple):
    """A metric's mean over the steps since the last report; `step` is the number of steps done."""

    step: int
    metric: str
    value: float

    @property
    def is_loss(self) -> bool:
        """Whether it is a loss; gradient norms and learning rates are others."""
        return self.metric.endswith("loss")


@dataclass(frozen=True)
class ModelRecord:
    """A row of the `models` table, with what its users need resolved."""

    key: str
    name: str
    kind: str
    """`train` or `distill`."""
    weights: str
    """sha256 of the weights' file, or of the list of its files."""
    config: str
    """The job that made it, as JSON."""
    parent: str | None
    """Key of the teacher, or of the model that training went on from."""
    steps: int
    history: tuple[Figure, ...]
    seconds: float
    created: datetime
    backbone: BackboneConfig
    """The network: a student has its teacher's."""
    noise: NoiseConfig
    """What it was trained with."""
    sampler: SamplerConfig
    """What suits it, the backbone's own; of a student the one way to sample it."""
    objective: Parameterisation | None = None
    """What it predicts, where that is not the backbone's own; a student predicts what its teacher does."""
    renoise: NoiseConfig | None = None
    """What a student takes between its steps."""

    @property
    def folder(self) -> str:
        """Where it lies, below the store's root."""
        return model_folder(self.key)


def model_folder(key: str) -> str:
    """Return a model's folder below the store's root; not in the table's own, whose stray files may be collected."""
    return f"weights/{key}"


def find_model(store: Store, key: str) -> ModelRecord | None:
    """Return the model of a key, or None where it is not finished."""
    rows = _rows(store)
    return _record(rows[key], rows) if key in rows else None


def newest_model(store: Store, name: str) -> ModelRecord:
    """Return the newest model of a name, of the store or of those that come along.

    Raises UsageError where there is none.
    """
    rows = _rows(store)
    named = [row for row in rows.values() if row["name"] == name]
    if not named:
        along = {row["name"] for row in shipped_rows().values()}
        own = ", ".join(sorted({row["name"] for row in rows.values()} - along)) or "no model"
        raise UsageError(
            f"model: got {name!r}, but {store.url} holds {own}, and {', '.join(sorted(along))} come along: "
            "train it first, or name another"
        )
    return _record(max(named, key=lambda row: (row["created"], row["key"])), rows)


def save_weights(
    store: Store,
    key: str,
    state: Mapping[str, "Tensor"],
    module: "nn.Module",
    beside: Mapping[str, str] | None = None,
) -> str:
    """Write a model's weights to the store and return what names them. The model is finished when its row is written.

    Args:
        store: where to.
        key: of the model.
        state: weights under the names of the module's `state_dict`, such as their average.
        module: whose they are; a backbone's denoiser knows in which form others read it. Of one with adapters the
            state has these only, and they are written as peft reads them.
        beside: text of small files to put beside them, by name.
    """
    from equivdm.backbones.base import DenoiserModule, write_weights

    with tempfile.TemporaryDirectory(prefix="equivdm-") as name:
        folder = Path(name)
        if isinstance(module, DenoiserModule) and module.base:
            from equivdm.adapters import save_adapter

            save_adapter(folder, module, state)
        elif isinstance(module, DenoiserModule):
            module.export(folder, state)
        else:
            write_weights(folder, state)
        for file, text in (beside or {}).items():
            (folder / file).write_text(text)
        sums = sum_up(folder)
        for file in sums:
            store.put(str(folder / file), model_folder(key), file)
    return named_by(sums)


def sum_up(folder: Path) -> dict[str, str]:
    """Return the sha256 of each file of a folder by its name; several get a list of them, `FILES`, beside them."""
    found = sorted(file for file in folder.rglob("*") if file.is_file())
    sums = {file.relative_to(folder).as_posix(): _sha256(file) for file in found}
    if sums.keys() != {WEIGHTS}:
        (folder / FILES).write_text("".join(f"{digest}  {file}\n" for file, digest in sums.items()))
        sums[FILES] = _sha256(folder / FILES)
    return sums


def named_by(sums: Mapping[str, str]) -> str:
    """Return what names a model, given the sha256 of its files."""
    return sums.get(FILES) or sums[WEIGHTS]


def model_files(store: Store, row: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return path below the store's root and sha256 of all files of a model, given its row."""
    folder, listed = row["folder"], f"{row['folder']}/{FILES}"
    if not store.filesystem.exists(store.path(listed)):
        return [(f"{folder}/{WEIGHTS}", row["weights"])]
    with store.local_copy(listed) as local:
        # What a changed list says is not looked at.
        whole = _sha256(Path(local)) == row["weights"]
        lines = [line.split("  ", 1) for line in Path(local).read_text().splitlines()] if whole else []
    return [(listed, row["weights"]), *((f"{folder}/{file}", digest) for digest, file in lines)]


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def register_model(store: Store, job: TrainJob | DistillJob, key: str, parent: str | None, **facts: Any) -> ModelRecord:
    """Write the row of a finished model: `facts` are its weights' sha256, steps, history, run and seconds."""
    facts["history"] = [figure._asdict() for figure in facts["history"]]
    row = {
        "key": key,
        "name": job.name,
        "kind": job.job,
        "folder": model_folder(key),
        "config": job.model_dump_json(),
        "parent": parent,
        "created": datetime.now(UTC),
        **facts,
    }
    store.table("models").append([row])
    rows = _rows(store)
    return _record(rows[key], rows)


def load_denoiser(
    store: Store, name: str, device: "torch.device | str" = "cpu"
) -> tuple["DenoiserModule", "Codec", ModelRecord]:
    """Return the newest model of a name on a device, ready to sample from, with its codec.

    Raises UsageError where there is none.
    """
    record = newest_model(store, name)
    return *load_model(store, record, device), record


def load_model(
    store: Store, record: ModelRecord, device: "torch.device | str" = "cpu"
) -> tuple["DenoiserModule", "Codec"]:
    """Return a model on a device, ready to sample from, with its codec."""
    from equivdm.backbones.deferred import materialise

    return materialise(open_weights(store, record), device), backbone_of(record.backbone).build_codec(device)


def load_weights(store: Store, record: ModelRecord) -> "DenoiserModule":
    """Return a model's network on the CPU with its averaged weights, in evaluation mode; adapters are merged into it.

    Raises UsageError where adapters were trained on other weights than their base now has.
    """
    from equivdm.backbones.deferred import materialise

    return materialise(open_weights(store, record), "cpu")


def open_weights(store: Store, record: ModelRecord) -> "DenoiserModule":
    """Return it with its weights, or its base's, yet to be read (see `equivdm.backbones.deferred`).

    Raises UsageError as `load_weights` does.
    """
    with _files(store, record) as folder:
        if not (folder / ADAPTER).is_file():
            return backbone_of(record.backbone).open_exported(folder).eval()
        return _with_adapter(store, record, folder).eval()


def _files(store: Store, record: ModelRecord) -> AbstractContextManager[Path]:
    """Give a local folder with a model's files."""
    home = shipped_folder(record.key)
    return nullcontext(home) if home else store.local_folder(record.folder)


def _with_adapter(store: Store, record: ModelRecord, folder: Path) -> "DenoiserModule":
    from equivdm.adapters import merge_adapter, read_base

    base = find_model(store, record.parent) if record.parent else None
    denoiser = open_weights(store, base) if base else backbone_of(record.backbone).open_denoiser(read_base(folder).seed)
    merge_adapter(denoiser, folder)
    return denoiser


def _rows(store: Store) -> dict[str, dict[str, Any]]:
    """Return the rows of the store's models, and of those that come along."""
    return {**shipped_rows(), **{row["key"]: row for row in store.table("models").rows()}}


def _record(row: dict[str, Any], rows: Mapping[str, dict[str, Any]]) -> ModelRecord:
    backbone, noise, job = _backbone(row, rows), _noise(row, rows), _job(row)
    student = isinstance(job, DistillJob)
    return ModelRecord(
        key=row["key"],
        name=row["name"],
        kind=row["kind"],
        weights=row["weights"],
        config=row["config"],
        parent=row["parent"],
        steps=row["steps"],
        history=_history(row["history"]),
        seconds=row["seconds"],
        created=row["created"],
        backbone=backbone,
        objective=_objective(row, rows),
        noise=noise,
        sampler=job.sampler if student else backbone_of(backbone).sampler,
        renoise=job.renoising(_noise(rows[row["parent"]], rows)) if student else None,
    )


def _job(row: dict[str, Any]) -> TrainJob | DistillJob:
    kind = {"train": TrainJob, "distill": DistillJob}[row["kind"]]
    return kind.model_validate(json.loads(row["config"]))


def _history(stored: Sequence[dict[str, Any]]) -> tuple[Figure, ...]:
    return tuple(Figure(entry["step"], entry["metric"], entry["value"]) for entry in stored)


def _backbone(row: dict[str, Any], rows: Mapping[str, dict[str, Any]]) -> BackboneConfig:
    job = _job(row)
    return job.backbone if isinstance(job, TrainJob) else _backbone(rows[row["parent"]], rows)


def _objective(row: dict[str, Any], rows: Mapping[str, dict[str, Any]]) -> Parameterisation | None:
    job = _job(row)
    return job.objective if isinstance(job, TrainJob) else _objective(rows[row["parent"]], rows)


def _noise(row: dict[str, Any], rows: Mapping[str, dict[str, Any]]) -> NoiseConfig:
    return _job(row).noise or _noise(rows[row["parent"]], rows)
