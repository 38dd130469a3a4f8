"""Specs: what contradicts itself is refused, and a model's name holds all that decides it."""

import pytest
from pydantic import ValidationError

from equivdm.study.config import DataSpec, ExperimentSpec, ModelSpec, NoiseSpec, in_order


def test_data_of_another_kind_or_exact_clips_that_are_not_square_are_refused() -> None:
    with pytest.raises(ValidationError, match=r"exact\.kind: got scenes, wanted exact"):
        ExperimentSpec(exact=DataSpec(kind="scenes"))
    with pytest.raises(ValidationError, match="width: got 32, wanted height, 64"):
        DataSpec(kind="exact", width=32)


def test_a_name_depends_on_every_field_and_on_the_base() -> None:
    base = ModelSpec()
    models = [base, ModelSpec(seed=1), ModelSpec(noise=NoiseSpec(beta=0.5)), ModelSpec(base=base)]
    models.append(ModelSpec(base=ModelSpec(seed=1)))
    assert len({model.key for model in models}) == len(models)
    assert ModelSpec.model_validate_json(models[-1].model_dump_json()).key == models[-1].key


def test_models_come_behind_their_bases_and_once() -> None:
    base = ModelSpec()
    tuned = [ModelSpec(base=base, seed=seed) for seed in (1, 2)]
    student = ModelSpec(base=tuned[0], seed=3)
    assert in_order([student, *tuned, base]) == [base, tuned[0], student, tuned[1]]
