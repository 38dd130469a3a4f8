"""The models that come along: whole, found by name in any store, and made by the specs that say so."""

import hashlib
import json
from pathlib import Path
from typing import cast

import pytest
import torch

from equivdm.config import NoiseConfig, SamplerConfig
from equivdm.errors import UsageError
from jobs.specs import load_spec
from pipelines.config import Job, PreprocessJob
from pipelines.models import FILES, WEIGHTS, load_model, newest_model
from pipelines.preprocess import clip_fingerprint
from pipelines.settings import StoreConfig
from pipelines.shipped import ROW, shipped_folder, shipped_rows
from pipelines.shipped.pack import NAMES
from pipelines.store import Store, open_store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store."""
    return open_store(StoreConfig(root=str(tmp_path / "store")))


def test_they_are_whole_and_small() -> None:
    size = 0
    for key, row in shipped_rows().items():
        folder = shipped_folder(key)
        assert folder is not None
        digests = {each.name: hashlib.sha256(each.read_bytes()).hexdigest() for each in folder.iterdir()}
        size += (folder / WEIGHTS).stat().st_size
        if FILES in digests:
            listed = "".join(f"{digests[name]}  {name}\n" for name in sorted(digests.keys() - {FILES, ROW}))
            assert (folder / FILES).read_text() == listed
        assert digests.get(FILES, digests[WEIGHTS]) == row["weights"]
    assert {row["name"] for row in shipped_rows().values()} == set(NAMES.values())
    assert size <= 20_000_000


def test_any_store_finds_them_by_name_and_nothing_is_written(store: Store, tmp_path: Path) -> None:
    teacher, student = newest_model(store, "tiny-equivdm"), newest_model(store, "tiny-student")
    assert student.parent == teacher.key
    assert (student.sampler, student.backbone) == (SamplerConfig(kind="renoise", steps=1), teacher.backbone)
    assert (teacher.noise, newest_model(store, "tiny-independent").noise.kind) == (NoiseConfig(), "independent")
    network, _ = load_model(store, student)
    weights = network.state_dict().values()
    assert all(weight.dtype == torch.float32 and torch.isfinite(weight).all() for weight in weights)
    assert not list((tmp_path / "store").iterdir())
    with pytest.raises(UsageError, match="holds no model, and tiny-equivdm, tiny-independent, tiny-student come along"):
        newest_model(store, "tiny-nobody")


SPECS = {
    "tiny-equivdm": ("shipped/equivdm", []),
    "tiny-independent": ("shipped/equivdm", ["name=independent", "noise.kind=independent"]),
    "tiny-student": ("shipped/student", []),
}


@pytest.mark.parametrize("name", NAMES.values())
def test_they_were_made_by_the_specs_that_come_along(name: str, store: Store) -> None:
    spec, settings = SPECS[name]
    assert type(job := load_spec(spec, settings)).model_validate(json.loads(newest_model(store, name).config)) == job


@pytest.mark.parametrize(
    ("preprocess", "trainings"),
    [("shipped/preprocess_short", ["shipped/base"]), ("shipped/preprocess", ["shipped/equivdm", "shipped/student"])],
)
def test_trainings_take_the_clips_of_their_own_preprocess_run(preprocess: str, trainings: list[str]) -> None:
    clips = clip_fingerprint(cast(PreprocessJob, load_spec(preprocess)))
    for training in trainings:
        chosen = cast(Job, load_spec(training)).model_dump()["data"]["clips"]
        assert clips.startswith(chosen)
