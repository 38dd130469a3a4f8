"""DeepSpeed, and its settings for a job."""

import os
from typing import Any

from pipelines.fit_config import FitConfig


def import_deepspeed(fit: FitConfig) -> Any:
    """Return DeepSpeed, told before it is imported what it shall not do."""
    # DeepSpeed decorates its Muon optimizer with torch.compile on import, which loads the whole compiler: 3 s on two
    # cores, for a function that is never called here.
    os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")
    # Otherwise DeepSpeed takes a GPU that it sees, even where this job trains on CPUs.
    os.environ.setdefault("DS_ACCELERATOR", "cuda" if fit.parallel.gpus_per_worker else "cpu")
    import deepspeed
    import deepspeed.ops

    # No compiled ops, and no look at which could be: DeepSpeed runs the compiler to find out, and would then spend a
    # minute of g++ on a shared-memory collective that serves inference only.
    deepspeed.ops.__compatible_ops__ = {}  # type: ignore[attr-defined]
    return deepspeed


def deepspeed_config(fit: FitConfig) -> dict[str, Any]:
    """Return DeepSpeed's settings for a job."""
    zero: dict[str, Any] = {"stage": fit.parallel.zero_stage}
    to_host = {"device": "cpu", "pin_memory": fit.parallel.gpus_per_worker > 0}
    if fit.parallel.offload != "none":
        zero["offload_optimizer"] = to_host
    if fit.parallel.offload == "parameters":
        zero["offload_param"] = to_host
    return {
        "train_batch_size": fit.batch,
        "gradient_accumulation_steps": fit.accumulate,
        "gradient_clipping": fit.optimizer.clip,
        "zero_optimization": zero,
        # AdamW of torch on CPUs, too: DeepSpeed's own CPU Adam would have to be compiled first.
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
        # Autocast keeps the weights in float32, which the moving average and the export want.
        "torch_autocast": {"enabled": fit.parallel.gpus_per_worker > 0, "dtype": "bfloat16"},
        "steps_per_print": 10**9,  # the board has the figures
    }
