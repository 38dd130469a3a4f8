"""What a distillation takes of a device's memory and time, from sizes alone: see `pipelines.estimate`.

Student, fake score and head are held like what is trained, the teacher by its weights alone. Activations are those of
the student's update: its own, and with a head the teacher's beside them, which the gradient goes through.
"""

from collections.abc import Sequence

from equivdm.backbones import backbone_of
from equivdm.config import BackboneConfig, Bucket
from equivdm.footprint import adapter_parameters
from pipelines.config import DistillJob
from pipelines.distill_config import GanConfig
from pipelines.distill_passes import again_passes, judge_passes, student_passes
from pipelines.estimate import FLOAT, Estimate, Sums, add_up, held, kept, micro_of


def estimate_distillation(
    config: DistillJob, backbone: BackboneConfig, clip: Bucket, device: str = "h200", mfu: float = 0.4
) -> Estimate:
    """Estimate a distillation of a teacher of some backbone on clips of one size.

    Raises UsageError where the network's sizes are not known, or it cannot take such clips.
    """
    kind, fit, parallel = backbone_of(backbone), config.fit, config.fit.parallel
    footprint, micro = kind.footprint(), micro_of(kind, fit, clip)
    whole = footprint.parameters
    adapters = adapter_parameters(footprint.linears, config.fake_lora.rank) if config.fake_lora else 0
    head = head_parameters(footprint.features, config.gan) if config.gan else 0
    trained = {"student": (whole, whole), "fake": (whole + adapters, adapters or whole)}
    trained |= {"head": (head, head)} if config.gan else {}
    on_device, on_host = dict[str, float](), dict[str, float]()
    for name, (parameters, learns) in trained.items():
        for total, own in zip((on_device, on_host), held(parameters, learns, fit), strict=True):
            for what, size in own.items():
                if what != "average" or name == "student":
                    total[what] = total.get(what, 0.0) + size
    teacher = on_host if parallel.offload == "parameters" else on_device
    teacher["teacher"] = FLOAT * whole / (parallel.workers if parallel.zero_stage == 3 else 1)
    on_device["activations"] = kept(footprint, micro, fit) * (2 if config.gan else 1)
    on_host["loading"] = FLOAT * footprint.largest
    forward, steps = footprint.flops(micro) * parallel.workers * fit.accumulate, (config.student_steps + 1) / 2
    useful = forward * (config.fake_updates * judge_passes(config, steps) + student_passes(config, steps))
    computed = useful + forward * (again_passes(config) if fit.checkpoint_activations else 0)
    sizes = [sum(each) for each in zip(*trained.values(), strict=True)]
    adapters_of = "fake_lora" if config.fake_lora is None else None
    sums = Sums(sizes[0] + whole, sizes[1], whole, on_device, on_host, useful, computed, adapters_of)
    return add_up(config, clip, sums, device, mfu)


def head_parameters(widths: Sequence[int], gan: GanConfig) -> int:
    """Return the weights of `equivdm.distillation.head.Head` on layers of so many channels."""
    return sum(width * gan.width + gan.width + gan.width + 1 for width in widths)
