"""A step of a distillation reports the losses of the right networks, noises, videos, times and conditions."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from equivdm.backbones.features import listening
from equivdm.distillation.losses import fake_loss, generator_loss, head_loss, matching_loss, regression_loss
from equivdm.distillation.student import generate
from pipelines.distill_config import GanConfig, RegressionConfig
from pipelines.distill_recipe import Distillation, make_recipe
from pipelines.engines import make_plain
from pipelines.loader import Batch
from pipelines.session import set_up
from tests.pipelines.fit_cases import distill_job, fit_config
from tests.pipelines.test_distill import CPU, with_teacher

STILL = 1e-12
"""A learning rate at which judges stay where they are: the student is judged by what its batch found."""

TIMES = {1: [1.0], 2: [1.0, 2 / 3]}
"""Of students of one step and of two, at shift 2."""


def by_hand(recipe: Distillation, batches: list[Batch]) -> dict[str, Tensor]:
    """The losses of a step, from the parts that they are of: noise 0 is the student's, the last one re-noises."""
    student, fake, head, teacher = (recipe.parts[name].module for name in ("student", "fake", "head", "teacher"))

    def made(part: Batch) -> Tensor:
        *path, _ = part.noises
        times = TIMES[recipe.config.student_steps][: len(path)]
        return generate(student, path, times, part.conditions, recipe.diffusion)

    def renoised(part: Batch, x: Tensor) -> Tensor:
        t = part.times.view(-1, 1, 1, 1, 1)
        return (1 - t) * x + t * part.noises[-1]

    def judged(part: Batch, x_t: Tensor) -> Tensor:
        with listening(recipe.network, len(x_t)) as features:
            recipe.network(x_t, part.times, part.conditions)
        return head(features)

    def guided(part: Batch, x_t: Tensor, times: Tensor) -> Tensor:
        toward, away = (teacher(x_t, times, conditions) for conditions in (part.conditions, part.empty))
        return 3 * toward - 2 * away

    def solved(part: Batch) -> Tensor:
        z, ones = part.noises[0], torch.ones(len(part.times))
        x = z - guided(part, z, ones) / 3
        return x - guided(part, x, ones * 2 / 3) * 2 / 3

    *fakes, last = batches
    videos, x = [made(part) for part in fakes], made(last)
    pairs, x_t = list(zip(fakes, videos, strict=True)), renoised(last, x)
    real, false = guided(last, x_t, last.times), fake(x_t, last.times, last.conditions)
    found = {
        "fake_loss": [fake_loss(fake, x, p.noises[-1], p.times, p.conditions, recipe.diffusion) for p, x in pairs],
        "head_loss": [head_loss(judged(p, renoised(p, p.latents)), judged(p, renoised(p, x))) for p, x in pairs],
        "matching_loss": [matching_loss(x, x_t, last.times, real, false, recipe.diffusion)],
        "gan_loss": [generator_loss(judged(last, x_t))],
    }
    found |= {"regression_loss": [regression_loss(x, solved(last))]} if recipe.config.regression else {}
    return {name: torch.stack(each).mean() for name, each in found.items()}


def move(modules: list[nn.Module]) -> None:
    """Move them from where they begin, each to a place of its own: none can stand in for another unseen."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for module in modules:
            for weight in module.parameters():
                weight.add_(torch.randn(weight.shape, generator=generator), alpha=0.05)


@pytest.mark.parametrize("options", [{"student_steps": 2}, {"regression": RegressionConfig(steps=2)}])
def test_the_losses_of_a_step_are_those_by_hand(options: dict[str, Any], tmp_path: Path) -> None:
    store, keys, teacher = with_teacher(tmp_path, spread=0.1)
    fit = fit_config(steps=1, batch=2, accumulate=2)
    gan = GanConfig(width=8, lr=STILL)
    job = distill_job(str(tmp_path), fit, shift=2.0, guidance=3.0, gan=gan, fake_lr=STILL, **options)
    recipe = make_recipe(job, store, teacher, keys, CPU, 0, 1)
    session = set_up(recipe, fit, CPU, make_plain)
    move([engine.module for engine in session.engines.values()])
    several = (number for number in range(9) if len(recipe.batch(number)[-1].noises) == job.student_steps + 1)
    batches = recipe.batch(next(several))
    wanted = {name: loss.item() for name, loss in by_hand(recipe, batches).items()}
    reported = recipe.update(session.engines, session.frozen, batches, 0)
    assert {name: reported[name].item() for name in wanted} == pytest.approx(wanted, rel=1e-4)
    assert len(set(wanted.values())) == len(wanted)
