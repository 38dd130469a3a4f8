"""What names the results of rendering: each is keyed by all that can change it, so that others are shared.

The particles of a shot know no model, and what was sampled for a window no file: to render again with another model
follows no motion again, and with another codec samples nothing again.
"""

from typing import Any

from equivdm.backbones import backbone_of
from equivdm.config import ControlConfig, NoiseConfig, SamplerConfig
from equivdm.control import control_identity
from equivdm.flow import flow_identity
from equivdm.render_config import OutputConfig
from pipelines.config import RenderJob
from pipelines.identity import fingerprint
from pipelines.models import ModelRecord
from pipelines.students import check_sampler_of

MOTION_VERSION, WINDOW_VERSION, VIDEO_VERSION = 1, 2, 1
"""Raised when the same shot, window or video would come out otherwise."""


def settings_of(job: RenderJob, model: ModelRecord) -> tuple[NoiseConfig, SamplerConfig]:
    """Return the noise and the sampler: the job's own where given, else the model's."""
    return job.noise or model.noise, job.sampler or model.sampler


def lineage_of(job: RenderJob, model: ModelRecord) -> dict[str, Any]:
    """Return the columns of a video that say how it came about."""
    return {
        "name": job.name,
        "model": model.key,
        "weights": model.weights,
        "seed": job.seed,
        "config": job.model_dump_json(),
        "max_attempts": job.work.max_attempts,
    }


def check_solver(job: RenderJob, model: ModelRecord) -> None:
    """Raise UsageError where the sampler does not go with the model."""
    from equivdm.sampling import check_sampler

    _, sampler = settings_of(job, model)
    check_sampler_of(model, sampler)
    check_sampler(sampler, backbone_of(model.backbone).diffusion(model.objective))


def noises_of(job: RenderJob, model: ModelRecord) -> list[NoiseConfig]:
    """Return the kind of each draw of noise that a video takes: what it starts from, and a student's between steps.

    The job may change the first. What comes between a student's steps is part of its sampler.
    """
    noise, sampler = settings_of(job, model)
    again = sampler.steps - 1 if sampler.kind == "renoise" else 0
    return [noise, *[model.renoise or noise] * again]


def sampler_identity(sampler: SamplerConfig) -> dict[str, object]:
    """Return what decides a solver's path. What is 1 stays out, as before it could be set, so that videos keep keys."""
    identity = sampler.model_dump()
    return {name: value for name, value in identity.items() if name not in ("shift", "guidance") or value != 1}


def motion_fingerprint(job: RenderJob, model: ModelRecord) -> str:
    """Return the hash of all that decides the particles of a shot."""
    return fingerprint({"stage": "shots", "version": MOTION_VERSION, **_motion(job, model)})


def window_fingerprint(job: RenderJob, model: ModelRecord) -> str:
    """Return the hash of all that decides what is sampled for a window."""
    _, sampler = settings_of(job, model)
    return fingerprint(
        {
            "stage": "spans",
            "version": WINDOW_VERSION,
            **_motion(job, model),
            "weights": model.weights,
            "text": backbone_of(model.backbone).text_identity(),
            "noises": [noise.model_dump() for noise in noises_of(job, model)],
            "sampler": sampler_identity(sampler),
            "use_control": job.use_control,
            "seed": job.seed,
        }
    )


def video_fingerprint(job: RenderJob, model: ModelRecord) -> str:
    """Return the hash of all that decides a video. The set's name is part of it: sets stay apart."""
    return fingerprint(
        {
            "stage": "videos",
            "version": VIDEO_VERSION,
            "name": job.name,
            "window": window_fingerprint(job, model),
            "shots": job.shots.model_dump(),
            "size": job.frame.output,
            "output": output_identity(job.output),
        }
    )


def output_identity(output: OutputConfig) -> dict[str, object]:
    """Return what decides the bytes of a file: what is lossless has no quality."""
    return output.model_dump(exclude={"crf", "preset"} if output.codec == "lossless" else set())


def control_of(job: RenderJob, model: ModelRecord) -> ControlConfig:
    """Return the condition that is computed: none, where the model takes none."""
    unseen = backbone_of(model.backbone).control_form() == "none"
    return ControlConfig(kind="none") if unseen else job.control


def _motion(job: RenderJob, model: ModelRecord) -> dict[str, Any]:
    """Return what decides noise and condition of every frame: the scale of the condition is found with the motion."""
    backbone = backbone_of(model.backbone)
    return {
        "flow": flow_identity(job.flow),
        "plan": job.plan.model_dump() | job.flow.occlusion.model_dump(),
        "frame": job.frame.model_dump(exclude={"output"}),
        "multiple": backbone.multiple,
        "window": job.window.model_dump(),
        "codec": backbone.codec_identity(),
        "control": control_identity(control_of(job, model)),
    }
