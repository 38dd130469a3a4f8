"""What ZeRO 3 reads in parts is what the files hold, trains alike, and takes a worker's share of memory."""

import os
from pathlib import Path

import pytest
import torch

from equivdm.backbones import backbone_of
from equivdm.backbones.base import DenoiserModule
from equivdm.config import TinyConfig, WanConfig
from pipelines.fit_config import FitConfig, ParallelConfig
from pipelines.partition import held, whole
from pipelines.reading import place
from pipelines.zero import deepspeed_config, import_deepspeed
from tests.equivdm.backbones.videocrafter2 import tiny as videocrafter2
from tests.equivdm.backbones.wan import tiny as wan
from tests.pipelines import two_workers

CPU = torch.device("cpu")

WIDE = TinyConfig(width=128, depth=1, heads=2, patch=4)


def cases(folder: Path, kind: str) -> tuple[DenoiserModule, DenoiserModule]:
    """A network whose weights wait in files, and the same one read whole."""
    if kind == "tiny":
        backbone = backbone_of(WIDE)
        built = backbone.build_denoiser(seed=5)
        built.export(folder, built.state_dict())
        return backbone.open_exported(folder), backbone.load_exported(folder)
    if kind == "wan":
        wan.denoiser(vace=True).network.save_pretrained(folder / "transformer", max_shard_size="40KB")
    backbone = backbone_of(WanConfig(model=str(folder)) if kind == "wan" else videocrafter2.write(folder))
    return backbone.open_denoiser(), backbone.build_denoiser()


@pytest.mark.usefixtures("group")
@pytest.mark.parametrize(("kind", "offload"), [("tiny", "none"), ("wan", "parameters"), ("videocrafter2", "none")])
def test_what_is_read_in_parts_is_what_the_files_hold(kind: str, offload: str, tmp_path: Path) -> None:
    fit = FitConfig(parallel=ParallelConfig.model_validate({"zero_stage": 3, "offload": offload}))
    import_deepspeed(fit)
    denoiser, wanted = cases(tmp_path, kind)
    denoiser.requires_grad_(True).get_parameter(next(iter(denoiser.readers))).requires_grad_(False)
    trained = [each.requires_grad for each in denoiser.parameters()]
    place(denoiser, deepspeed_config(fit), CPU)
    assert not denoiser.readers
    assert [each.requires_grad for each in denoiser.parameters()] == trained
    found, state = whole(denoiser, held(denoiser.requires_grad_(True))), wanted.state_dict()
    assert found.keys() == state.keys()
    assert all(torch.equal(found[name], value) for name, value in state.items())


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_workers_train_alike_and_keep_their_share(tmp_path: Path) -> None:
    two_workers.write(tmp_path)
    first, second = two_workers.both("trained", tmp_path)
    for name in ("wan", "adapters", "videocrafter2"):
        for each in (first, second):
            assert each[f"{name} parts"]["losses"] == each[f"{name} whole"]["losses"]
        assert first[f"{name} parts"]["odd"] == first[f"{name} whole"]["odd"] == []
        assert first[f"{name} parts"]["losses"] != second[f"{name} parts"]["losses"]
    size = sum(os.path.getsize(file) for file in (tmp_path / "large").rglob("*.safetensors"))
    largest = 4 * 6 * 512 * 512
    for each in two_workers.both("measured", tmp_path):
        assert each["whole"] > 0.9 * size, each
        assert each["parts"] < 1.1 * (size / 2 + largest), each
