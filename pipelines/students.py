"""What a distilled student is recorded with, so that nobody samples it in another way than it was made for."""

import json

from equivdm.backbones import backbone_of
from equivdm.config import SamplerConfig
from equivdm.errors import UsageError
from pipelines.config import DistillJob
from pipelines.models import ModelRecord

SAMPLING = "sampling.json"
"""Name of the file beside a student's weights, for those who take it out of the store."""


def sampling_of(job: DistillJob, teacher: ModelRecord) -> str:
    """Return what that file says: what the network predicts, which noise it takes, and its one sampler."""
    noise, backbone = job.noise or teacher.noise, backbone_of(teacher.backbone)
    facts = {
        "backbone": backbone.kind,
        "objective": backbone.diffusion(teacher.objective).predicts,
        "noise": noise.model_dump(),
        "renoise": job.renoising(teacher.noise).model_dump(),
        "sampler": job.sampler.model_dump(),
        "teacher": teacher.key,
    }
    return json.dumps(facts, indent=2)


def check_sampler_of(model: ModelRecord, sampler: SamplerConfig) -> None:
    """Raise UsageError where a student is to be sampled in another way than it was distilled for, or others as one."""
    if model.kind != "distill":
        if sampler.kind == "renoise":
            raise UsageError(f"sampler: got kind=renoise, but {model.name} is no student: give a solver")
        return
    given, own = sampler.model_dump(), model.sampler.model_dump()
    if wrong := [name for name in own if given[name] != own[name]]:
        got, wanted = (", ".join(f"{name}={of[name]}" for name in wrong) for of in (given, own))
        raise UsageError(
            f"sampler: got {got}, but {model.name} was distilled for {wanted}: leave sampler out, or distil another"
        )
