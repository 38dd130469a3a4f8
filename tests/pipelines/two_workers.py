"""Two processes that train under ZeRO 3 what files hold: read whole by each, and in parts. Run by `both`."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.distributed

from equivdm.adapters import adapt
from equivdm.backbones import backbone_of
from equivdm.backbones.base import Conditions, DenoiserModule
from equivdm.backbones.deferred import materialise
from equivdm.config import BackboneConfig, LoraConfig, VideoCrafter2Config, WanConfig
from pipelines.engines import Engine, descend, make_deepspeed
from pipelines.fit_config import FitConfig, ParallelConfig
from pipelines.partition import whole
from pipelines.reading import place
from pipelines.zero import deepspeed_config, import_deepspeed
from tests.equivdm.backbones.videocrafter2 import tiny as videocrafter2
from tests.equivdm.backbones.wan import tiny as wan

CPU = torch.device("cpu")

FIT = FitConfig(batch=2, parallel=ParallelConfig(workers=2, cpus_per_worker=1, zero_stage=3))


def write(folder: Path) -> None:
    """Write the networks: two of the least size, and one of 200 MB, Wan's in several files."""
    (folder / "videocrafter2").mkdir()
    config = videocrafter2.write(folder / "videocrafter2")
    (folder / "videocrafter2.json").write_text(config.model_dump_json())
    wan.denoiser(vace=True).network.save_pretrained(folder / "wan" / "transformer", max_shard_size="40KB")
    sizes = {"num_attention_heads": 8, "attention_head_dim": 64, "ffn_dim": 2048, "num_layers": 12}
    wan.denoiser(**sizes).network.save_pretrained(folder / "large" / "transformer", max_shard_size="50MB")


def both(task: str, folder: Path) -> list[dict[str, Any]]:
    """Run a task in two processes, and return what each says."""
    command = [sys.executable, "-m", "tests.pipelines.two_workers", task, str(folder)]
    root, environment = Path(__file__).parents[2], os.environ | {"OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen([*command, str(rank)], cwd=root, env=environment | {"LOCAL_RANK": str(rank)})
        for rank in (0, 1)
    ]
    assert [process.wait() for process in processes] == [0, 0]
    return [json.loads((folder / f"{task}_{rank}.json").read_text()) for rank in (0, 1)]


def trained(folder: Path, rank: int) -> dict[str, Any]:
    """Losses of three steps by network and way of reading, and which weights are not the files' before them."""
    published = VideoCrafter2Config.model_validate_json((folder / "videocrafter2.json").read_text())
    lora, found = LoraConfig(rank=2), {}
    for name, config, adapters in (
        ("wan", WanConfig(model=str(folder / "wan")), None),
        ("adapters", WanConfig(model=str(folder / "wan")), lora),
        ("videocrafter2", published, None),
    ):
        for way in ("whole", "parts"):
            denoiser = backbone_of(config).open_denoiser()
            if way == "whole":
                materialise(denoiser, CPU)
            if adapters:
                adapt(denoiser, config, adapters, seed=4)
            engine = make_deepspeed(denoiser, FIT, 1e-2)
            odd = differing(engine, backbone_of(config).build_denoiser())
            found[f"{name} {way}"] = {"losses": losses(engine, config, rank), "odd": odd}
    return found


def differing(engine: Engine, wanted: DenoiserModule) -> list[str]:
    """Names of weights that are not bitwise the files'; of all on a worker that does not put them together."""
    parts = {name: each.ds_tensor for name, each in engine.module.named_parameters() if "lora" not in name}
    found = {name.replace(".base_layer", ""): each for name, each in whole(engine.module, parts).items()}
    return [name for name, each in wanted.state_dict().items() if name not in found or not found[name].equal(each)]


def losses(engine: Engine, config: BackboneConfig, rank: int) -> list[float]:
    """Train for three steps, each worker on data of its own."""
    generator, found = torch.Generator().manual_seed(rank), []
    draw = partial(torch.randn, generator=generator)
    for _ in range(3):
        if isinstance(config, VideoCrafter2Config):
            x, conditions = draw(1, 4, 4, 8, 8), Conditions(draw(1, 12, 24), None, torch.tensor([8.0]))
        else:
            x, control = draw(1, 16, *wan.GRID), draw(1, 32, *wan.GRID)
            conditions = Conditions(draw(1, 5, wan.FEATURES), control, torch.tensor([8.0]))
        time = torch.rand(1, generator=generator)

        def miss(part: torch.Tensor, time: torch.Tensor = time, shown: Conditions = conditions) -> torch.Tensor:
            return (engine(part, time, shown) - part).square().mean()

        found.append(descend(engine, [x], miss).item())
    return found


def measured(folder: Path, rank: int) -> dict[str, Any]:
    """Most bytes of its own memory that a worker takes while it reads the large network, whole and in parts."""
    del rank
    import_deepspeed(FIT)
    config = deepspeed_config(FIT)
    small, large = (backbone_of(WanConfig(model=str(folder / name))) for name in ("wan", "large"))
    place(small.open_denoiser(), config, CPU)  # what is there once for all
    first, second = large.open_denoiser(), large.open_denoiser()
    parts = grown(lambda: place(first, config, CPU))
    return {"parts": parts, "whole": grown(lambda: materialise(second, CPU))}


def grown(read: Callable[[], object]) -> int:
    """Bytes by which this process's anonymous memory grows at most while something is read."""
    before, most, done = own_memory(), 0, threading.Event()

    def watch() -> None:
        nonlocal most
        while not done.is_set():
            most = max(most, own_memory())
            time.sleep(1e-3)

    watcher = threading.Thread(target=watch)
    watcher.start()
    read()
    done.set()
    watcher.join()
    return most - before


def own_memory() -> int:
    """Bytes of anonymous memory: what is mapped from files is the system's to drop."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))


def main() -> None:
    task, folder, rank = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    torch.set_num_threads(1)
    group = f"file://{folder}/{task}_group"
    torch.distributed.init_process_group("gloo", init_method=group, rank=rank, world_size=2)
    found = {"trained": trained, "measured": measured}[task](folder, rank)
    (folder / f"{task}_{rank}.json").write_text(json.dumps(found))
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
