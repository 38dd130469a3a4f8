"""Checkpoints of some workers as such that any number of workers can read: DeepSpeed's universal checkpoints."""

import io
import shutil
import tempfile
from argparse import Namespace
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

import torch
import torch.distributed

from pipelines.data_only import data_only
from pipelines.engines import STATE
from pipelines.store import Store

_WHOLE = "whole"
"""Name of the file that is written last."""


@contextmanager
def universal(store: Store, target: str, folder: Path, engines: Iterable[str]) -> Iterator[Path]:
    """Give a folder with the engines of the checkpoint in `folder`, for any number of workers.

    The first worker converts it into the store's folder `target` while the others wait, unless that was done before;
    every worker must call it. Raises pickle.UnpicklingError where the checkpoint is more than data.
    """
    if torch.distributed.get_rank() == 0 and not store.filesystem.exists(store.path(target, _WHOLE)):
        with tempfile.TemporaryDirectory(prefix="equivdm-") as local:
            for name in engines:
                _convert(folder / name / STATE, Path(local) / name / STATE)
            _put(store, Path(local), target)
    torch.distributed.barrier()
    if store.is_local:
        yield Path(store.path(target))
        return
    with tempfile.TemporaryDirectory(prefix="equivdm-") as local:
        store.filesystem.get(store.path(target), f"{local}/state", recursive=True)
        yield Path(local) / "state"


def _convert(source: Path, target: Path) -> None:
    from deepspeed.checkpoint.ds_to_universal import main

    target.mkdir(parents=True)
    settings = Namespace(
        input_folder=str(source),
        output_folder=str(target),
        num_extract_workers=1,
        num_merge_workers=1,
        keep_temp_folder=False,
        strict=True,
        inject_missing_state=True,
    )
    with data_only():
        # In this process: a worker of Ray Train starts no others. It talks a lot.
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            main(settings)
        _complete(target)


def _complete(folder: Path) -> None:
    """Add what is read by the stages that the converter did not write for: 3, and 1 and 2, have a form each."""
    model, model_3 = folder / "mp_rank_00_model_states.pt", folder / "zero_pp_rank_0_mp_rank_00_model_states.pt"
    weights = folder / "zero"
    optimizer = torch.load(weights / "optimizer_state.pt", weights_only=True)
    if model.exists():
        step = torch.load(next(weights.rglob("step.pt")), weights_only=True)
        optimizer["optimizer_state_dict"] = {"state": {0: {"step": step}}, "param_groups": optimizer["param_groups"]}
        shutil.copy(model, model_3)
    else:
        step = optimizer["optimizer_state_dict"]["state"][0]["step"]
        state = torch.load(model_3, weights_only=True)
        optimizer["ds_version"] = state["ds_version"]
        for name, shape in (pair for group in state["param_shapes"] for pair in group.items()):
            for kind in ("fp32", "exp_avg", "exp_avg_sq"):
                file = weights / name / f"{kind}.pt"
                torch.save({"param": torch.load(file, weights_only=True).view(shape), "cat_dim": 0}, file)
            torch.save(step, weights / name / "step.pt")
        shutil.copy(model_3, model)
    torch.save(optimizer, weights / "optimizer_state.pt")


def _put(store: Store, local: Path, target: str) -> None:
    for file in sorted(path for path in local.rglob("*") if path.is_file()):
        store.put(str(file), target, str(file.relative_to(local)))
    whole = local / _WHOLE
    whole.touch()
    store.put(str(whole), target, _WHOLE)
